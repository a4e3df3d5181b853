"""Predictions of networks on the test images of probes, as the landscape reads them.

One HDF5 artifact per probe and model, with

=====================  ===================  ===================================================
``log_probabilities``  (n_test, n_classes)  float32, natural logarithms of what sums to 1
``labels``             (n_test,)            integer, the true classes from 0
``identities``         (n_test,)            UTF-8 names of the images; or ``test_rows``, integers,
                                            their rows in the probe's data set
=====================  ===================  ===================================================

and text attributes ``probe``, ``model`` (a name of its own), ``subject``, ``hemisphere``,
``roi``, ``method`` and ``replicate``, empty where a model has none (the untuned network has no
subject, hemisphere or ROI; a pooled network has no subject). All models of a probe have the same
test images in the same order, and all probes the same models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cortune.artifacts import PathLike, hdf5_reader
from cortune.errors import InputError
from cortune.landscape.dissimilarity import (
    REFERENCES,
    Floats,
    Ints,
    images_per_block,
    with_references,
)

_AGAIN = "Remove it and run the workflow again: it will be rebuilt."


@dataclass(frozen=True)
class Model:
    """A network and what it was tuned to; empty where it has no such thing."""

    model: str
    subject: str = ""
    hemisphere: str = ""
    roi: str = ""
    method: str = ""
    replicate: str = ""


REFERENCE_MODELS = tuple(Model(name) for name in REFERENCES)
_NAMES = tuple(asdict(Model("")))


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of several networks on the test images of one probe.

    Parameters
    ----------
    probe : str
    models : tuple of Model
    paths : tuple of Path
        One file per model.
    labels : array of shape (n_images,)
        True classes.
    n_classes : int
    """

    probe: str
    models: tuple[Model, ...]
    paths: tuple[Path, ...]
    labels: Ints
    n_classes: int

    def blocks(self, memory_mb: float) -> Iterator[Floats]:
        """Read log-probabilities of some images at a time, truth and ignorance appended.

        Yields
        ------
        array of shape (n_models + 2, any, n_classes), float32
        """
        n_images = len(self.labels)
        step = images_per_block(len(self.models) + 2, self.n_classes, memory_mb)
        for at in range(0, n_images, step):
            rows = slice(at, min(at + step, n_images))
            block = np.empty((len(self.models), rows.stop - at, self.n_classes), dtype=np.float32)
            for index, path in enumerate(self.paths):
                with hdf5_reader(path) as file:
                    block[index] = file["log_probabilities"][rows]
            yield with_references(block, self.labels[rows])


def open_predictions(paths: Sequence[PathLike]) -> list[Predictions]:
    """Check predictions and sort them by probe and model, without reading log-probabilities.

    Parameters
    ----------
    paths : sequence of path
        Files of any number of probes and models, in any order.

    Returns
    -------
    list of Predictions
        By name of the probe; the models of each in order of their names.

    Raises
    ------
    InputError
        If a file lacks something, a model is there twice, or missing from a probe, or
        differs from the others in its test images, their order or the classes.
    """
    by_probe: dict[str, dict[str, tuple[Model, Path]]] = {}
    for path in map(Path, paths):
        probe, model = _read_names(path)
        models = by_probe.setdefault(probe, {})
        if model.model in models:
            raise InputError(
                path,
                f"model {model.model} of probe {probe}, as in {models[model.model][1]}",
                "each model once per probe",
                "Give every network a name of its own.",
            )
        models[model.model] = (model, path)
    if not by_probe:
        raise InputError(
            "predictions", "none", "the predictions of at least one network", "Configure a probe."
        )
    _check_same_models(by_probe)
    return [
        _checked(probe, [models[name] for name in sorted(models)])
        for probe, models in sorted(by_probe.items())
    ]


def _read_names(path: Path) -> tuple[str, Model]:
    with hdf5_reader(path) as file:
        names = ("probe", *_NAMES)
        missing = [name for name in names if name not in file.attrs]
        if missing:
            raise InputError(path, f"no attribute {missing[0]}", ", ".join(names), _AGAIN)
        probe, *values = (str(file.attrs[name]) for name in names)
    if values[0] in ("", *REFERENCES):
        raise InputError(
            path,
            f"a model named {values[0]!r}",
            f"another name than {' and '.join(REFERENCES)}, which the landscape adds",
            "Rename the network.",
        )
    return probe, Model(*values)


def _check_same_models(by_probe: dict[str, dict[str, tuple[Model, Path]]]) -> None:
    probes = sorted(by_probe)
    expected = {model for model, _ in by_probe[probes[0]].values()}
    for probe in probes[1:]:
        differing = expected ^ {model for model, _ in by_probe[probe].values()}
        if differing:
            name = min(model.model for model in differing)
            raise InputError(
                f"probes {probes[0]} and {probe}",
                f"model {name} in one of them only, or tuned to something else",
                "the same models in every probe",
                "Probe every network with every probe.",
            )


def _checked(probe: str, entries: Sequence[tuple[Model, Path]]) -> Predictions:
    reference: dict[str, Any] = {}
    for _, path in entries:
        found = _read_test_set(path)
        reference = reference or found | {"path": path}
        for what in ("kind", "images", "labels", "n_classes"):
            if not np.array_equal(found[what], reference[what]):
                raise InputError(
                    path,
                    f"other {_WHAT[what]} than in {reference['path']}",
                    f"the same test images, in the same order, for every model of {probe}",
                    "Probe all networks with the same data set and the same split.",
                )
    models, paths = zip(*entries, strict=True)
    return Predictions(probe, models, paths, reference["labels"], reference["n_classes"])


_WHAT = {
    "kind": "names of test images (identities or test_rows)",
    "images": "test images, or another order of them,",
    "labels": "labels of the test images",
    "n_classes": "classes",
}


def _read_test_set(path: Path) -> dict[str, Any]:
    with hdf5_reader(path) as file:
        kind = next((name for name in ("identities", "test_rows") if name in file), None)
        if kind is None or "log_probabilities" not in file or "labels" not in file:
            raise InputError(
                path,
                f"data sets {', '.join(file) or 'none'}",
                "log_probabilities, labels and identities or test_rows",
                _AGAIN,
            )
        shape, labels, images = file["log_probabilities"].shape, file["labels"][()], file[kind][()]
    if (
        len(shape) != 2
        or not labels.size
        or labels.shape != shape[:1]
        or images.shape != shape[:1]
        or labels.min() < 0
        or labels.max() >= shape[1]
    ):
        raise InputError(
            path,
            f"log_probabilities of shape {shape}, {labels.size} labels, {len(images)} {kind}",
            "a row per test image, and a label from 0 below the number of classes",
            _AGAIN,
        )
    return {"kind": kind, "images": images, "labels": labels, "n_classes": shape[1]}
