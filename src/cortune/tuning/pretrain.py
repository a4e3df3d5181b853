"""Training of the demo's backbone: classification of labelled scenes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cortune.config import Pretrain
from cortune.networks.backbones import normalise
from cortune.networks.device import Runtime
from cortune.tuning.batches import BatchSource
from cortune.tuning.loop import Plan, one_cycle
from cortune.tuning.methods import Task
from cortune.tuning.optimizers import AdamW


def classification(model: nn.Module, settings: Pretrain) -> Task:
    """Return the task of classifying images: cross-entropy, AdamW, one cycle."""

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(model(images).float(), labels)

    def watch(held_out: BatchSource, runtime: Runtime) -> dict[str, float]:
        correct = 0
        with torch.no_grad(), runtime.autocast():
            for images, labels in held_out.in_order():
                scores = model(normalise(images.to(runtime.device)))
                correct += int((scores.argmax(1).cpu() == labels).sum())
        return {"validation_accuracy": correct / len(held_out)}

    optimizer = AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.05)
    return Task(
        model, objective, optimizer, Plan(settings.epochs, settings.learning_rate, one_cycle), watch
    )
