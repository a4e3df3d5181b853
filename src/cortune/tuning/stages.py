"""The stages that make networks: the backbone, and networks tuned to an ROI."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from cortune.artifacts import PathLike, sha256, write_csv, write_json
from cortune.config import Backbone
from cortune.data.units import UnitData
from cortune.networks.backbones import build_backbone, load_backbone
from cortune.networks.device import Runtime
from cortune.networks.layers import check_layers
from cortune.networks.store import load_network, n_scores, save_network
from cortune.seeds import torch_seed
from cortune.tuning.batches import Batches
from cortune.tuning.loop import History, train
from cortune.tuning.methods import METHODS
from cortune.versions import Provenance

logger = logging.getLogger(__name__)


class NetworkOutputs(Protocol):
    """Paths that a tuning job writes."""

    network: str
    history: str


class PretrainOutputs(NetworkOutputs, Protocol):
    """Paths that pretraining writes."""

    accuracy: str


def prepare_backbone(settings: Backbone, path: PathLike, provenance: Provenance, seed: int) -> None:
    """Write the backbone with its torchvision, local or random weights.

    Raises
    ------
    InputError
        If the model, its weights or a named layer do not exist.
    """
    from dataclasses import replace

    model = load_backbone(settings.name, settings.weights, seed=seed).eval()
    check_layers(model, settings.layers)
    local = Path(settings.weights).expanduser()
    if local.is_file():
        provenance = replace(provenance, raw={local.name: sha256(local)})
    num_classes = n_scores(model, settings.input_size)
    save_network(path, model, provenance, name=settings.name, num_classes=num_classes)


def pretrain_backbone(
    settings: Backbone,
    outputs: PretrainOutputs,
    provenance: Provenance,
    runtime: Runtime,
    *,
    seed: int,
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
    """
    from cortune.simulate import labelled_scenes
    from cortune.tuning.pretrain import classification

    recipe = settings.pretrain
    images, labels = labelled_scenes(
        recipe.n_images, size=settings.input_size, n_classes=recipe.n_classes, seed=seed
    )
    n_test = max(recipe.n_images // 10, 1)
    options: dict[str, Any] = {"batch_size": recipe.batch_size, "seed": seed}
    held_out = Batches(images, np.arange(n_test), labels[:n_test], **options)
    batches = Batches(images, np.arange(n_test, len(images)), labels[n_test:], **options)
    model = build_backbone(settings.name, seed=seed, num_classes=recipe.n_classes)
    check_layers(model, settings.layers)
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
        checkpoint=_scratch(outputs.network),
        identity=provenance.version,
    )
    accuracy = history[-1]["validation_accuracy"]
    logger.info("held-out accuracy %.3f, chance %.3f", accuracy, 1 / recipe.n_classes)
    result = {"accuracy": accuracy, "chance": 1 / recipe.n_classes, "n_test": n_test}
    write_json(outputs.accuracy, {**result, "provenance": provenance.as_dict()})
    _write_history(outputs.history, history, provenance)
    save_network(
        outputs.network, model, provenance, name=settings.name, num_classes=recipe.n_classes
    )
    _scratch(outputs.network).unlink(missing_ok=True)


def tune_network(
    method: str,
    unit: UnitData,
    settings: Any,
    backbone: PathLike,
    outputs: NetworkOutputs,
    provenance: Provenance,
    runtime: Runtime,
    *,
    workers: int = 0,
) -> History:
    """Tune a backbone to the responses of one ROI.

    Training sees the images of set ``tune``; those of set ``validation`` are measured
    after each epoch; those of set ``test`` are not touched.

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
        ``network`` (safetensors: backbone and head) and ``history`` (CSV: epoch, loss,
        validation bound in nats).
    provenance : Provenance
    runtime : Runtime
    workers : int
        Processes that load images.

    Returns
    -------
    list of dict
        The history.
    """
    start = load_network(backbone)
    torch.manual_seed(torch_seed(provenance.seed, "head", str(outputs.network)))
    n_voxels = unit.responses.shape[1]
    task = METHODS[method](start.backbone, start.num_classes, n_voxels, settings)
    _on(task.model, runtime)
    tune, validation = (
        _batches(unit, s, settings, provenance, workers) for s in ("tune", "validation")
    )
    logger.info("%d images to tune on, %d to watch", len(tune), len(validation))
    history = train(
        task.model,
        task.objective,
        tune,
        task.optimizer,
        task.plan,
        runtime,
        seed=provenance.seed,
        watch=lambda: task.watch(validation, runtime),
        checkpoint=_scratch(outputs.network),
        identity=f"{provenance.version} {outputs.network}",
    )
    head = {
        key: value
        for key, value in task.model.state_dict().items()
        if not key.startswith("backbone.")
    }
    _write_history(outputs.history, history, provenance)
    save_network(
        outputs.network,
        start.backbone,
        provenance,
        name=start.name,
        num_classes=start.num_classes,
        head=head,
        tuned_on=[
            identity
            for identity, name in zip(unit.images.identities, unit.images.sets, strict=True)
            if name != "test"
        ],
    )
    _scratch(outputs.network).unlink(missing_ok=True)
    return history


def _batches(
    unit: UnitData, name: str, settings: Any, provenance: Provenance, workers: int
) -> Batches:
    rows = unit.rows(name)
    return Batches(
        unit.images.cache,
        unit.images.rows[rows],
        unit.responses[rows],
        batch_size=settings.batch_size,
        seed=provenance.seed,
        workers=workers,
    )


def _on(model: torch.nn.Module, runtime: Runtime) -> torch.nn.Module:
    """Move a model to the device, weights channels last, as its images are."""
    return model.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _scratch(network: PathLike) -> Path:
    """Return where the checkpoint of a network lies while it is trained.

    Beside the results, not among them: Snakemake removes what an interrupted job was
    writing, and the checkpoint must outlive that.
    """
    path = Path(network).resolve()
    for parent in path.parents:
        if parent.name == "results":
            return parent / "scratch" / path.relative_to(parent).with_suffix(".checkpoint")
    return path.with_suffix(".checkpoint")


def _write_history(path: PathLike, history: History, provenance: Provenance) -> None:
    import pandas as pd

    write_csv(path, pd.DataFrame(history), provenance)
