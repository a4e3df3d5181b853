"""The stages that make networks: the backbone, and networks tuned to an ROI."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from cortune.artifacts import PathLike, remove_leftovers, sha256, write_json, write_rows
from cortune.data.splits import assert_disjoint
from cortune.data.units import UnitData
from cortune.errors import InputError
from cortune.networks.adapters import How, adapt
from cortune.networks.backbones import load_backbone, origin_of, planned
from cortune.networks.device import Runtime
from cortune.networks.heads import ContrastiveModel
from cortune.networks.layers import check_layers, layer_width
from cortune.networks.store import (
    SavedNetwork,
    load_network,
    n_scores,
    save_network,
)
from cortune.networks.weights import without_memory
from cortune.seeds import torch_seed
from cortune.tuning.batches import Batches, BatchSource, SubjectBatches
from cortune.tuning.embeddings import ONE, Embedding, write_embeddings
from cortune.tuning.loop import History, train
from cortune.tuning.methods import METHODS
from cortune.tuning.pretrain import Backbone, classification
from cortune.tuning.task import Task, embed
from cortune.versions import Provenance

logger = logging.getLogger(__name__)
_EMBED_BATCH = 256


class NetworkOutputs(Protocol):
    """Paths that a tuning job writes."""

    network: str
    history: str
    embeddings: str


class PretrainOutputs(Protocol):
    """Paths that pretraining writes."""

    network: str
    history: str
    accuracy: str


def prepare_backbone(settings: Backbone, path: PathLike, provenance: Provenance, seed: int) -> None:
    """Write the backbone with its published, local or random weights.

    Raises
    ------
    InputError
        If the model, its weights or a named layer do not exist.
    """
    model = load_backbone(
        settings.name, settings.weights, seed=seed, input_size=settings.input_size
    ).eval()
    _check_named(model, settings)
    local = Path(settings.weights).expanduser()
    if local.is_file():
        provenance = replace(provenance, raw={"weights": sha256(local)})
    num_classes = n_scores(model, origin_of(model).preprocessing.input_size)
    save_network(path, model, provenance, num_classes=num_classes)


def pretrain_backbone(
    settings: Backbone,
    outputs: PretrainOutputs,
    provenance: Provenance,
    runtime: Runtime,
    *,
    seed: int,
    checkpoint: Path | None = None,
) -> None:
    """Train the backbone to classify simulated scenes, and measure it on held-out ones.

    The scenes' identities are disjoint from every data set's. A tenth is held out.

    Parameters
    ----------
    settings : Backbone
    outputs : PretrainOutputs
        ``network``, ``history`` (CSV) and ``accuracy`` (JSON: accuracy, chance, n_test).
    provenance : Provenance
    runtime : Runtime
    seed : int
    checkpoint : path, optional
        Where the state of training is kept, so that a killed job goes on.

    Raises
    ------
    InputError
        If a named layer does not exist.
    """
    from cortune.simulate import labelled_scenes

    recipe = settings.pretrain
    origin = planned(settings.name, "pretrain", input_size=settings.input_size)
    _check_named(without_memory(origin.build), settings)
    images, labels = labelled_scenes(
        recipe.n_images,
        size=origin.preprocessing.input_size,
        n_classes=recipe.n_classes,
        seed=seed,
    )
    n_test = max(recipe.n_images // 10, 1)
    options: dict[str, Any] = {"batch_size": recipe.batch_size, "seed": seed}
    held_out = Batches(images, np.arange(n_test), labels[:n_test], **options)
    batches = Batches(images, np.arange(n_test, len(images)), labels[n_test:], **options)
    options = {**origin.options, "num_classes": recipe.n_classes}
    model = replace(origin, options=options).build(seed)
    task = classification(_on(model, runtime), recipe)
    history = train(
        model,
        task.objective,
        batches,
        task.optimizer,
        task.plan,
        runtime,
        seed=seed,
        watch=lambda: task.watch(held_out, runtime),
        checkpoint=checkpoint,
        identity=provenance.version,
    )
    accuracy = history[-1]["validation_accuracy"]
    logger.info("held-out accuracy %.3f, chance %.3f", accuracy, 1 / recipe.n_classes)
    result = {"accuracy": accuracy, "chance": 1 / recipe.n_classes, "n_test": n_test}
    write_json(outputs.accuracy, {**result, "provenance": provenance.as_dict()})
    _write_history(outputs.history, history, provenance)
    save_network(outputs.network, model, provenance, num_classes=recipe.n_classes)
    _forget(checkpoint)


def _check_named(model: torch.nn.Module, settings: Backbone) -> None:
    """Refuse a misspelt layer before anything is tuned; features are extracted after that."""
    if isinstance(settings.layers, list):
        check_layers(model, settings.layers)


def tune_network(
    method: str,
    unit: UnitData,
    settings: Any,
    backbone: PathLike,
    outputs: NetworkOutputs,
    provenance: Provenance,
    runtime: Runtime,
    *,
    seeded: str,
    how: How = "all",
    checkpoint: Path | None = None,
    workers: int = 0,
) -> History:
    """Tune a backbone to the responses of one ROI.

    Training sees the images of set ``tune``; those of set ``validation``, if any, are measured
    after each epoch; those of set ``test`` are only embedded when tuning is over. A method that
    selects keeps a validation set of its own where the split has none
    (:meth:`cortune.data.units.UnitData.holding_back`).

    Parameters
    ----------
    method : str
        A key of :data:`cortune.tuning.methods.METHODS`.
    unit : UnitData
    settings : object
        The method's section of the configuration.
    backbone : path
        The network to start from.
    outputs : NetworkOutputs
        ``network`` (safetensors: backbone and head), ``history`` (CSV: epoch, loss,
        held-out measures) and ``embeddings`` (HDF5: test images and responses as the tuned
        head embeds them).
    provenance : Provenance
    runtime : Runtime
    seeded : str
        What tells the random draws of this network from those of others
        (:attr:`cortune.address.Address.seeded`).
    how : "all" or Adapt
        What of the backbone is tuned (:func:`cortune.networks.adapters.adapt`).
    checkpoint : path, optional
        Where the state of training is kept, so that a killed job goes on.
    workers : int
        Processes that load images.

    Returns
    -------
    list of dict
        The history.
    """
    unit = _watched(method, unit, settings, provenance.seed)
    start = load_network(backbone)
    n_voxels = unit.responses.shape[1]
    task = _task(method, start, [unit], n_voxels, settings, provenance.seed, seeded, how)
    tune, validation = (
        _batches(unit, name, settings, provenance.seed, workers, task.drop_last)
        for name in ("tune", "validation")
    )
    units = {ONE: unit}
    return _tune(
        task, start, tune, validation, units, outputs, provenance, runtime, checkpoint, workers
    )


def tune_pooled(
    method: str,
    units: Mapping[str, UnitData],
    settings: Any,
    backbone: PathLike,
    outputs: NetworkOutputs,
    provenance: Provenance,
    runtime: Runtime,
    *,
    seeded: str,
    how: How = "all",
    largest_roi: int | None = None,
    interleaved: bool = True,
    checkpoint: Path | None = None,
    workers: int = 0,
) -> History:
    """Tune one backbone to several units.

    Batches hold one subject each, with the responses of all of its units.

    Parameters
    ----------
    method : str
        One that pools subjects, or joins hemispheres or ROIs.
    units : mapping of str to UnitData
        By subject, with the names of units as their parts.
    settings, backbone, outputs, provenance, runtime, seeded, how, checkpoint, workers
        As for :func:`tune_network`.
    largest_roi : int, optional
        Voxels of the largest ROI of the data set: the width of ``pooled_max``.
    interleaved : bool
        As for :class:`cortune.tuning.batches.SubjectBatches`.

    Returns
    -------
    list of dict
        The history.

    Raises
    ------
    LeakageError
        If an image of one subject's tuning or validation set is in another's test set.
    """
    units = {s: _watched(method, unit, settings, provenance.seed) for s, unit in units.items()}
    tuned_on = {mark for unit in units.values() for mark in _tuned_on(unit)}
    for subject, unit in units.items():
        unseen = unit.images.marks("test", "fit")
        assert_disjoint(tuned_on, unseen, f"tuning and the test images of {subject}")
    start = load_network(backbone)
    parts = {subject: unit.parts for subject, unit in units.items()}
    n_voxels = {name: width for part in parts.values() for name, width in part.items()}
    options = {"largest": largest_roi} if METHODS[method].largest else {}
    each = list(units.values())
    task = _task(method, start, each, n_voxels, settings, provenance.seed, seeded, how, **options)
    tune, validation = (
        SubjectBatches(
            {
                subject: found
                for subject, unit in units.items()
                if (
                    found := _batches(
                        unit, name, settings, provenance.seed, workers, task.drop_last
                    )
                )
            },
            parts,
            provenance.seed,
            interleaved=interleaved,
        )
        for name in ("tune", "validation")
    )
    return _tune(
        task, start, tune, validation, units, outputs, provenance, runtime, checkpoint, workers
    )


def _task(
    method: str,
    start: SavedNetwork,
    units: Sequence[UnitData],
    n_voxels: int | Mapping[str, int],
    settings: Any,
    seed: int,
    seeded: str,
    how: How,
    **options: Any,
) -> Task:
    """Return the task of tuning a network; adapters and its head are drawn by the seed."""
    build = METHODS[method].build
    if build is None:
        raise ValueError(f"{method} tunes nothing")
    torch.manual_seed(torch_seed(seed, "head", seeded))
    adapt(start.backbone, how)
    width, layer = start.num_classes, getattr(settings, "image_layer", None)
    if layer is not None:
        check_layers(start.backbone, [layer], f"{METHODS[method].section}.image_layer")
        width = layer_width(start.backbone, layer, units[0].images.cache.shape[1])
    return build(start.backbone, width, n_voxels, settings, **options)


def _tune(
    task: Task,
    start: SavedNetwork,
    tune: BatchSource | None,
    validation: BatchSource | None,
    units: Mapping[str, UnitData],
    outputs: NetworkOutputs,
    provenance: Provenance,
    runtime: Runtime,
    checkpoint: Path | None,
    workers: int,
) -> History:
    """Train a task; save its network, history and held-out embeddings."""
    tuned_on = sorted({mark for unit in units.values() for mark in _tuned_on(unit)})
    assert tune is not None
    logger.info("%d images to tune on, %d to watch", len(tune), len(validation or ()))
    _on(task.model, runtime)
    history = train(
        task.model,
        task.objective,
        tune,
        task.optimizer,
        task.plan,
        runtime,
        seed=provenance.seed,
        watch=(lambda: task.watch(validation, runtime)) if validation else None,
        checkpoint=checkpoint,
        identity=f"{provenance.version} {outputs.network}",
    )
    head = {
        key: value
        for key, value in task.model.state_dict().items()
        if not key.startswith("backbone.")
    }
    embeddings = {}
    if isinstance(task.model, ContrastiveModel):
        embeddings = _held_out(task.model, units, tuned_on, runtime, workers)
    write_embeddings(outputs.embeddings, embeddings, provenance)
    _write_history(outputs.history, history, provenance)
    save_network(
        outputs.network,
        start.backbone,
        provenance,
        num_classes=start.num_classes,
        head=head,
        tuned_on=tuned_on,
        base=start.path,
    )
    _forget(checkpoint)
    return history


def _held_out(
    model: ContrastiveModel,
    units: Mapping[str, UnitData],
    tuned_on: Sequence[str],
    runtime: Runtime,
    workers: int,
) -> dict[str, Embedding]:
    """Embed each unit's test images and responses."""
    model.eval()
    found = {}
    for subject, unit in units.items():
        rows = unit.rows("test")
        batches = Batches(
            unit.images.cache,
            unit.images.rows[rows],
            unit.responses[rows],
            batch_size=_EMBED_BATCH,
            seed=0,
            workers=workers,
        )
        source: BatchSource = batches
        if unit.parts:
            source = SubjectBatches({subject: batches}, {subject: unit.parts}, 0)
        identities = tuple(unit.images.identities[row] for row in rows)
        for name, (image_z, response_z) in embed(model, source, runtime).items():
            z = image_z.numpy(), response_z.numpy()
            found[name or ONE] = Embedding(identities, *z, tuple(tuned_on))
    return found


def _tuned_on(unit: UnitData) -> set[str]:
    """Return the images that tuning sees or watches, by identity and by content."""
    return unit.images.marks("tune", "validation")


def _watched(method: str, unit: UnitData, settings: Any, seed: int) -> UnitData:
    """Return a unit with images to watch, where its method selects by them."""
    unit = unit.holding_back(getattr(settings, "validation", 0.0), seed)
    if getattr(settings, "keep_best", False) and "validation" not in unit.images.sets:
        raise InputError(
            f"{METHODS[method].section}.keep_best",
            "true without validation images",
            "images to choose the epoch by",
            "Set it to false, or raise `validation` of the method or of `split`.",
        )
    return unit


def _batches(
    unit: UnitData, name: str, settings: Any, seed: int, workers: int, drop_last: bool
) -> Batches | None:
    """Return the batches of a set; None where there is nothing to watch."""
    if name == "validation" and name not in unit.images.sets:
        return None
    rows = unit.rows(name)
    return Batches(
        unit.images.cache,
        unit.images.rows[rows],
        unit.responses[rows],
        batch_size=settings.batch_size,
        seed=seed,
        workers=workers,
        drop_last=drop_last,
    )


def _on(model: torch.nn.Module, runtime: Runtime) -> torch.nn.Module:
    """Move a model to the device, weights channels last, as its images are."""
    return model.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _forget(checkpoint: Path | None) -> None:
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
        remove_leftovers(checkpoint)


def _write_history(path: PathLike, history: History, provenance: Provenance) -> None:
    write_rows(path, history, provenance)
