"""The paper's baseline: every voxel predicted linearly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cortune.section import Count, Positive, Section
from cortune.tuning.methods import method

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cortune.networks.device import Runtime
    from cortune.tuning.batches import BatchSource
    from cortune.tuning.task import Task


class Regression(Section):
    """The paper's regression baseline: every voxel predicted linearly from the output."""

    batch_size: Annotated[int, Field(ge=2)] = 1024
    """Images per step."""
    epochs: Count = 75
    """Passes over the tuning images."""
    learning_rate: Positive = 2.5e-5
    """Learning rate of Adam."""


@method("regression", recipe=Regression, order=10, colour="#d98b2b", embeds=False)
def regression(backbone: nn.Module, n_scores: int, n_voxels: int, recipe: Regression) -> Task:
    """Every voxel predicted linearly, by mean squared error; the paper's baseline.

    All weights are tuned. Source: the regression baseline of Mulrooney & Brockmeier 2024.
    """
    import torch
    from torch.nn import functional

    from cortune.networks.backbones import normalise
    from cortune.networks.heads import RegressionModel
    from cortune.tuning.loop import Plan
    from cortune.tuning.optimizers import Adam
    from cortune.tuning.task import Task

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

    optimizer = Adam(model.parameters(), lr=recipe.learning_rate)
    return Task(model, objective, optimizer, Plan(recipe.epochs, recipe.learning_rate), watch)
