"""Tuning methods: what is trained on images and responses, and by which loss.

A method is one entry of :data:`METHODS`; the loop, the data and the artifacts are shared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cortune.config import Contrastive
from cortune.networks.backbones import normalise
from cortune.networks.device import Runtime
from cortune.networks.heads import ContrastiveModel
from cortune.tuning.batches import Batches
from cortune.tuning.loop import Plan
from cortune.tuning.losses import infonce


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
    """

    model: nn.Module
    objective: Callable[[Tensor, Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    plan: Plan
    watch: Callable[[Batches, Runtime], dict[str, float]]


def contrastive(backbone: nn.Module, n_scores: int, n_voxels: int, settings: Contrastive) -> Task:
    """Tune by InfoNCE between images and responses, all weights: the published recipe.

    Source: Mulrooney & Brockmeier 2024, section 2; Adam, constant learning rate.
    """
    model = ContrastiveModel(backbone, n_scores, n_voxels)

    def objective(images: Tensor, responses: Tensor) -> Tensor:
        image_z, response_z = model(images, responses)
        return infonce(image_z, response_z, settings.temperature)

    def watch(validation: Batches, runtime: Runtime) -> dict[str, float]:
        image_z, response_z = embed(model, validation, runtime)
        loss = float(infonce(image_z, response_z, settings.temperature))
        return {
            "validation_bound_nats": math.log(len(image_z)) - loss,
            "validation_log_k": math.log(len(image_z)),
        }

    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    return Task(model, objective, optimizer, Plan(settings.epochs, settings.learning_rate), watch)


def embed(model: ContrastiveModel, batches: Batches, runtime: Runtime) -> tuple[Tensor, Tensor]:
    """Embed all samples: two tensors (n, z) on the CPU, float32, rows in order."""
    parts = []
    with torch.no_grad(), runtime.autocast():
        for images, responses in batches.in_order():
            images = normalise(images.to(runtime.device))
            parts.append([z.float().cpu() for z in model(images, responses.to(runtime.device))])
    image_z, response_z = (torch.cat(z) for z in zip(*parts, strict=True))
    return image_z, response_z


METHODS: dict[str, Callable[..., Task]] = {"contrastive": contrastive}
