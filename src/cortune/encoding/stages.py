"""The stage that fits encoding models: one network, one ROI of one subject."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import PathLike, hdf5_reader
from cortune.data.prepare import read_responses
from cortune.data.records import Responses
from cortune.data.splits import SETS, assert_disjoint
from cortune.encoding.banded import ALL_LAYERS, AllLayersEncoding, encode_all_layers
from cortune.encoding.components import read_components
from cortune.encoding.protocols import Settings, encode_unit
from cortune.encoding.results import UnitEncoding, write_encoding
from cortune.errors import InputError
from cortune.features import Grams
from cortune.versions import Provenance


def encode_roi(
    grams: PathLike,
    responses: PathLike,
    roi: str,
    path: PathLike,
    provenance: Provenance,
    settings: Settings,
    *,
    protocols: Sequence[str],
    n_folds: int,
    n_iter: int = 30,
    components: PathLike | None = None,
) -> None:
    """Fit, select and score the encoding models of one unit.

    Parameters
    ----------
    grams : path
        Gram matrices of a network (:func:`cortune.features.extract_features`).
    responses : path
        Prepared responses (:func:`cortune.data.prepare.prepare_responses`).
    roi : str
    path : path
        HDF5 file to write (:func:`cortune.encoding.results.write_encoding`).
    provenance : Provenance
    settings : Settings
    protocols : sequence of str
        Keys of :data:`cortune.encoding.folds.PROTOCOLS`, and ``all_layers``.
    n_folds : int
    n_iter : int
        Weightings of the layers that ``all_layers`` tries.
    components : path, optional
        The Gram matrices decomposed (:func:`cortune.encoding.components.decompose_features`);
        by default they are decomposed here.

    Raises
    ------
    LeakageError
        If the network was tuned on an image that would score it.
    InputError
        If the two files do not hold the same images.
    """
    with open_inputs(grams, responses, roi) as inputs:
        target = inputs.target
        single = [name for name in protocols if name != ALL_LAYERS]
        unit = (inputs.grams, target.values, inputs.sets, settings)
        options: dict[str, Any] = {
            "n_folds": n_folds,
            "noise_ceiling": target.noise_ceiling,
            "vertices": target.vertices,
        }
        results: dict[str, UnitEncoding] = {}
        joint: AllLayersEncoding | None = None
        if single:
            with hdf5_reader(components) if components else nullcontext() as file:
                models = partial(read_components, file, device=settings.device) if file else None
                results = encode_unit(*unit, protocols=single, models=models, **options)
        if ALL_LAYERS in protocols:
            joint = encode_all_layers(*unit, n_iter=n_iter, **options)
            results[ALL_LAYERS] = joint.encoding
    write_encoding(path, results, provenance, joint)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What encoding models of one unit are fitted on.

    Parameters
    ----------
    grams : Grams
        Gram matrices of the network, read one at a time.
    target : Responses
        The ROI's responses; row i is the response to image i of the Grams.
    sets : dict of str to array of bool
        The images of each of :data:`cortune.data.splits.SETS`, as masks.
    """

    grams: Grams
    target: Responses
    sets: dict[str, NDArray[np.bool_]]


@contextmanager
def open_inputs(grams: PathLike, responses: PathLike, roi: str) -> Iterator[Inputs]:
    """Open a network's Grams with the responses to the same images.

    Parameters
    ----------
    grams, responses, roi
        As in :func:`encode_roi`.

    Raises
    ------
    LeakageError
        If the network was tuned on a test image.
    InputError
        If the two files do not hold the same images.
    """
    with hdf5_reader(grams) as file:
        network = Grams(file)
        target = read_responses(Path(responses), roi, network.names)
        sets = {name: network.sets == name for name in SETS}
        unseen = network.identities[sets["test"] | sets["fit"]]
        assert_disjoint(network.tuned_on.tolist(), unseen.tolist(), f"{grams} and its test images")
        rows = _rows(network.identities, target.identities, grams)
        identities = tuple(network.identities.tolist())
        matched = replace(target, values=target.values[rows], identities=identities)
        yield Inputs(network, matched, sets)


def _rows(wanted: Any, available: Sequence[str], grams: PathLike) -> np.ndarray[Any, Any]:
    """Return the response row of every image of a Gram."""
    row = {identity: position for position, identity in enumerate(available)}
    missing = [identity for identity in wanted if identity not in row]
    if missing:
        raise InputError(
            grams,
            f"image {missing[0]} without responses ({len(missing)} such images)",
            "images that the subject has responses to",
            "Remove the file and run the workflow again: it will be rebuilt.",
        )
    return np.array([row[identity] for identity in wanted])
