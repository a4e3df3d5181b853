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
) -> list[tuple[Tensor, Tensor]]:
    """Embed all samples, one pair (n, z), (n, z) per subject; float32, on the CPU.

    The rows of a pair are in the order of the samples.
    """
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    with torch.no_grad(), runtime.autocast():
        for images, responses in batches.in_order():
            subject = responses.subject if isinstance(responses, Tagged) else ""
            pair = model(normalise(images.to(runtime.device), model), responses.to(runtime.device))
            parts.setdefault(subject, []).append(tuple(z.float().cpu() for z in pair))
    return [
        (torch.cat([image for image, _ in pairs]), torch.cat([response for _, response in pairs]))
        for pairs in parts.values()
    ]


def watch_bound(model: ContrastiveModel, temperature: float | Callable[[], Tensor]) -> Watch:
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
