"""What one network is tuned by: its model and loss, and what is watched meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cortune.networks.backbones import normalise
from cortune.networks.device import Runtime
from cortune.networks.heads import ContrastiveModel, Tagged
from cortune.tuning.batches import BatchSource
from cortune.tuning.loop import Plan
from cortune.tuning.losses import infonce

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


def embed(
    model: ContrastiveModel, batches: BatchSource, runtime: Runtime
) -> dict[str, tuple[Tensor, Tensor]]:
    """Embed all samples, a pair (n, z), (n, z) for each unit; float32, on the CPU.

    The rows of a pair are in the order of the samples. The unit of a model that has one alone is
    called "".
    """
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    with torch.no_grad(), runtime.autocast():
        for images, responses in batches.in_order():
            units = responses.parts if isinstance(responses, Tagged) else [""]
            pair = model(normalise(images.to(runtime.device), model), responses.to(runtime.device))
            image_z, response_z = (z.float().cpu() for z in pair)
            for unit, of_unit in zip(units, torch.split(response_z, len(image_z)), strict=True):
                found.setdefault(unit, []).append((image_z, of_unit))
    return {
        unit: (torch.cat([image for image, _ in pairs]), torch.cat([each for _, each in pairs]))
        for unit, pairs in found.items()
    }


def watch_bound(model: ContrastiveModel, temperature: float | Callable[[], Tensor]) -> Watch:
    """Return a function that measures log K minus the loss on validation images.

    For a model of several units, their bounds are averaged.
    """

    def watch(validation: BatchSource, runtime: Runtime) -> dict[str, float]:
        tau = float(temperature().detach() if callable(temperature) else temperature)
        pairs = embed(model, validation, runtime).values()
        bounds = [math.log(len(a)) - float(infonce(a, b, tau)) for a, b in pairs]
        log_k = [math.log(len(a)) for a, _ in pairs]
        return {
            "validation_bound_nats": sum(bounds) / len(bounds),
            "validation_log_k": sum(log_k) / len(log_k),
            "temperature": tau,
        }

    return watch


def watch_predictions(model: nn.Module) -> Watch:
    """Return a function that measures squared error and mean r on validation images."""

    def watch(validation: BatchSource, runtime: Runtime) -> dict[str, float]:
        predicted, observed = [], []
        with torch.no_grad(), runtime.autocast():
            for images, responses in validation.in_order():
                predicted.append(model(normalise(images.to(runtime.device), model)).float().cpu())
                observed.append(responses)
        a, b = torch.cat(predicted), torch.cat(observed)
        r = functional.cosine_similarity(a - a.mean(0), b - b.mean(0), dim=0)
        return {"validation_mse": float(functional.mse_loss(a, b)), "validation_r": float(r.mean())}

    return watch
