"""The paper's baseline: every voxel predicted linearly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cortune.section import Count, Positive, Section
from cortune.tuning.methods import method

if TYPE_CHECKING:
    from torch import Tensor, nn

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
    from torch.nn.functional import mse_loss

    from cortune.networks.heads import RegressionModel
    from cortune.tuning.loop import Plan
    from cortune.tuning.optimizers import Adam
    from cortune.tuning.task import Task, watch_predictions

    model = RegressionModel(backbone, n_scores, n_voxels)

    def objective(images: Tensor, responses: Tensor) -> Tensor:
        return mse_loss(model(images).float(), responses)

    optimizer = Adam(model.parameters(), lr=recipe.learning_rate)
    plan = Plan(recipe.epochs, recipe.learning_rate)
    return Task(model, objective, optimizer, plan, watch_predictions(model))
