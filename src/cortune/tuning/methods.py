"""Tuning methods: what is trained on images and responses, and by which loss.

A method is one entry of :data:`METHODS`; the loop, the data and the artifacts are shared.
Each takes a backbone, the width of its output, the number of voxels (of each subject, if
the method pools subjects) and its section of the configuration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cortune.config import Contrastive, ContrastivePlus, Regression
from cortune.networks.backbones import normalise
from cortune.networks.device import Runtime
from cortune.networks.heads import (
    ContrastiveModel,
    Projection,
    RegressionModel,
    Tagged,
    pooled_sizes,
    published_sizes,
)
from cortune.tuning.batches import BatchSource
from cortune.tuning.loop import Plan, one_cycle
from cortune.tuning.losses import infonce
from cortune.tuning.optimizers import Adam, AdamW

Watch = Callable[[BatchSource, Runtime], dict[str, float]]


@dataclass(frozen=True)
class Task:
    """One network being tuned.

    Parameters
    ----------
    model : nn.Module
        Has a ``backbone``; its other parameters are the head.
    objective : callable
        ``objective(images, responses)``: scalar loss.
    optimizer : torch.optim.Optimizer
    plan : Plan
    watch : callable
        ``watch(validation, runtime)``: measures of the model on held-out batches.
    drop_last : bool
        Whether the last, smaller batch of an epoch is left out.
    """

    model: nn.Module
    objective: Callable[[Tensor, Any], Tensor]
    optimizer: torch.optim.Optimizer
    plan: Plan
    watch: Watch
    drop_last: bool = field(default=False)


def contrastive(backbone: nn.Module, n_scores: int, n_voxels: int, settings: Contrastive) -> Task:
    """Tune by InfoNCE between images and responses, all weights: the published recipe.

    Source: Mulrooney & Brockmeier 2024, section 2; Adam, constant learning rate.
    """
    projection = Projection(*published_sizes(n_voxels))
    return _published(ContrastiveModel(backbone, n_scores, n_voxels, projection), settings)


def pooled_mean(
    backbone: nn.Module, n_scores: int, n_voxels: Mapping[str, int], settings: Contrastive
) -> Task:
    """Tune one network to an ROI of several subjects; h is their mean number of voxels.

    Source: Mulrooney & Brockmeier 2024, the pooled model "avg".
    """
    projection = Projection(*pooled_sizes(list(n_voxels.values())))
    return _published(ContrastiveModel(backbone, n_scores, n_voxels, projection), settings)


def pooled_max(
    backbone: nn.Module,
    n_scores: int,
    n_voxels: Mapping[str, int],
    settings: Contrastive,
    largest: int,
) -> Task:
    """Tune one network to an ROI of several subjects; h is the largest ROI of the data set.

    Source: Mulrooney & Brockmeier 2024, the pooled model "const" (there h = 5741).
    """
    projection = Projection(*pooled_sizes(list(n_voxels.values()), largest))
    return _published(ContrastiveModel(backbone, n_scores, n_voxels, projection), settings)


def _published(model: ContrastiveModel, settings: Contrastive) -> Task:
    def objective(images: Tensor, responses: Tensor | Tagged) -> Tensor:
        image_z, response_z = model(images, responses)
        return infonce(image_z, response_z, settings.temperature)

    optimizer = Adam(model.parameters(), lr=settings.learning_rate)
    plan = Plan(settings.epochs, settings.learning_rate)
    return Task(model, objective, optimizer, plan, _watch_bound(model, settings.temperature))


def contrastive_plus(
    backbone: nn.Module, n_scores: int, n_voxels: int, settings: ContrastivePlus
) -> Task:
    """Tune contrastively with each improvement that the configuration asks for.

    Not from the paper. Every difference from :func:`contrastive` is one key. `n_scores` is
    the width of ``image_layer``, where that is set.
    """
    n_hidden, published_z = published_sizes(n_voxels)
    projection = Projection(
        n_hidden,
        settings.embedding_size or published_z,
        norm=settings.norm,
        activation=settings.activation,
        per_modality=settings.norm_per_modality,
    )
    learned = settings.temperature if settings.learn_temperature else None
    model = ContrastiveModel(
        backbone, n_scores, n_voxels, projection, learned, settings.image_layer
    )

    def temperature() -> Tensor:
        return model.temperature() if learned else torch.tensor(settings.temperature)

    def objective(images: Tensor, responses: Tensor) -> Tensor:
        image_z, response_z = model(photometric(images, settings.augmentation), responses)
        return infonce(image_z, response_z, temperature(), symmetric=settings.symmetric)

    optimizer = AdamW(_decayed(model, settings.weight_decay), lr=settings.learning_rate)
    plan = Plan(
        settings.epochs,
        settings.learning_rate,
        one_cycle if settings.schedule == "one_cycle" else _constant,
        "validation_bound_nats" if settings.keep_best else None,
    )
    watch = _watch_bound(model, temperature)
    return Task(model, objective, optimizer, plan, watch, settings.drop_last)


def regression(backbone: nn.Module, n_scores: int, n_voxels: int, settings: Regression) -> Task:
    """Tune by predicting every voxel linearly, mean squared error, all weights.

    Source: the regression baseline of Mulrooney & Brockmeier 2024.
    """
    model = RegressionModel(backbone, n_scores, n_voxels)

    def objective(images: Tensor, responses: Tensor) -> Tensor:
        return functional.mse_loss(model(images).float(), responses)

    def watch(validation: BatchSource, runtime: Runtime) -> dict[str, float]:
        predicted, observed = [], []
        with torch.no_grad(), runtime.autocast():
            for images, responses in validation.in_order():
                predicted.append(model(normalise(images.to(runtime.device))).float().cpu())
                observed.append(responses)
        a, b = torch.cat(predicted), torch.cat(observed)
        r = functional.cosine_similarity(a - a.mean(0), b - b.mean(0), dim=0)
        return {"validation_mse": float(functional.mse_loss(a, b)), "validation_r": float(r.mean())}

    optimizer = Adam(model.parameters(), lr=settings.learning_rate)
    return Task(model, objective, optimizer, Plan(settings.epochs, settings.learning_rate), watch)


def embed(
    model: ContrastiveModel, batches: BatchSource, runtime: Runtime
) -> list[tuple[Tensor, Tensor]]:
    """Embed all samples, one pair (n, z), (n, z) per subject; float32, on the CPU.

    The rows of a pair are in the order of the samples.
    """
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    with torch.no_grad(), runtime.autocast():
        for images, responses in batches.in_order():
            subject = responses.subject if isinstance(responses, Tagged) else ""
            pair = model(normalise(images.to(runtime.device)), responses.to(runtime.device))
            parts.setdefault(subject, []).append(tuple(z.float().cpu() for z in pair))
    return [
        (torch.cat([image for image, _ in pairs]), torch.cat([response for _, response in pairs]))
        for pairs in parts.values()
    ]


def _watch_bound(model: ContrastiveModel, temperature: float | Callable[[], Tensor]) -> Watch:
    """Return a function that measures log K minus the loss on validation images.

    For a pooled model, subjects' bounds are averaged.
    """

    def watch(validation: BatchSource, runtime: Runtime) -> dict[str, float]:
        tau = float(temperature().detach() if callable(temperature) else temperature)
        pairs = embed(model, validation, runtime)
        bounds = [math.log(len(a)) - float(infonce(a, b, tau)) for a, b in pairs]
        log_k = [math.log(len(a)) for a, _ in pairs]
        return {
            "validation_bound_nats": sum(bounds) / len(bounds),
            "validation_log_k": sum(log_k) / len(log_k),
            "temperature": tau,
        }

    return watch


def photometric(images: Tensor, strength: float) -> Tensor:
    """Jitter contrast and brightness of each image; positions stay, as retinotopy demands."""
    if strength == 0:
        return images
    shape = (len(images), 1, 1, 1)
    contrast = 1 + strength * (2 * torch.rand(shape, device=images.device) - 1)
    brightness = strength * (2 * torch.rand(shape, device=images.device) - 1)
    return images * contrast + brightness


def _decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Apply weight decay to matrices and kernels only, not to biases, norms, temperature."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _constant(progress: float) -> float:
    return 1.0


METHODS: dict[str, Callable[..., Task]] = {
    "contrastive": contrastive,
    "contrastive_plus": contrastive_plus,
    "regression": regression,
    "pooled_mean": pooled_mean,
    "pooled_max": pooled_max,
    "pooled_loso": pooled_mean,
}
