"""The stage that fits encoding models on growing numbers of images."""

from __future__ import annotations

from collections.abc import Iterable

from cortune.artifacts import PathLike
from cortune.encoding.protocols import Settings, size_curve
from cortune.encoding.results import UnitEncoding, read_encoding, write_encoding
from cortune.encoding.stages import open_inputs
from cortune.errors import InputError
from cortune.versions import Provenance


def fit_size_curve(
    grams: PathLike,
    responses: PathLike,
    roi: str,
    path: PathLike,
    provenance: Provenance,
    settings: Settings,
    *,
    sizes: Iterable[int],
    n_folds: int,
) -> None:
    """Fit one unit's encoding models on growing subsets of the images of ``fit``.

    Where there are none, of the tuning images. The test images score every size
    (:func:`cortune.encoding.protocols.size_curve`).

    Parameters
    ----------
    grams : path
        Gram matrices of a network over all images, those it was tuned on included
        (:func:`cortune.features.extract_features`).
    responses : path
        Prepared responses (:func:`cortune.data.prepare.prepare_responses`).
    roi : str
    path : path
        HDF5 file to write, a group per size; see :func:`read_size_curve`.
    provenance : Provenance
    settings : Settings
    sizes : iterable of int
        Numbers of images to fit on; those beyond the images there are become all of them.
    n_folds : int
        Folds within a subset, to choose penalty and layer.

    Raises
    ------
    LeakageError
        If the network was tuned on an image that would score it.
    InputError
        If the Grams lack these images, the two files do not hold the same images, or
        a size is too small for its folds.
    """
    with open_inputs(grams, responses, roi) as inputs:
        if not (inputs.sets["fit"] | inputs.sets["tune"]).any():
            held = sorted(name for name, members in inputs.sets.items() if members.any())
            raise InputError(
                grams,
                f"images of set {' and '.join(held)} alone",
                "the tuning images, which a size curve is fitted on",
                "Set encoding.size_curve.sizes, and extract the features again.",
            )
        results = size_curve(
            inputs.grams, inputs.target.values, inputs.sets, settings, sizes=sizes, n_folds=n_folds
        )
    write_encoding(path, {str(size): result for size, result in results.items()}, provenance)


def read_size_curve(path: PathLike) -> dict[int, UnitEncoding]:
    """Read what :func:`fit_size_curve` wrote: encodings by number of images, ascending.

    Raises
    ------
    InputError
        If the file is not readable or lacks a field.
    """
    return dict(sorted((int(size), result) for size, result in read_encoding(path).items()))
