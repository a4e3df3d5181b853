"""The published method, and the networks of several subjects that follow its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cortune.section import Count, Positive, Section
from cortune.tuning.methods import method

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cortune.networks.heads import ContrastiveModel, Tagged
    from cortune.tuning.task import Task


class Contrastive(Section):
    """The published recipe of contrastive tuning (Mulrooney & Brockmeier 2024)."""

    temperature: Positive = 0.3
    """Temperature of the InfoNCE loss."""
    batch_size: Annotated[int, Field(ge=2)] = 1024
    """Images per step; also the number of responses each image is told apart from. A larger
    value than there are tuning images means one batch per epoch."""
    epochs: Count = 30
    """Passes over the tuning images."""
    learning_rate: Positive = 1.0e-4
    """Learning rate of Adam."""


def contrastive_bytes(n_voxels: int, n_scores: int = 1000) -> int:
    """Return what the published head takes in tuning: float32 weights, gradients, two moments."""
    h, z = int(0.8 * n_voxels), int(0.2 * n_voxels)
    return 16 * (n_voxels * h + n_scores * h + 2 * h * h + h * z)


@method("contrastive", recipe=Contrastive, order=20, colour="#1f6fb4")
def contrastive(backbone: nn.Module, n_scores: int, n_voxels: int, recipe: Contrastive) -> Task:
    """Images and responses told apart by InfoNCE; the paper's.

    All weights are tuned. Source: Mulrooney & Brockmeier 2024, section 2; Adam, constant
    learning rate.
    """
    from cortune.networks.heads import ContrastiveModel, Projection, published_sizes

    projection = Projection(*published_sizes(n_voxels))
    return _published(ContrastiveModel(backbone, n_scores, n_voxels, projection), recipe)


@method(
    "pooled_mean",
    recipe=Contrastive,
    section="contrastive",
    order=40,
    colour="#2c9c6a",
    pools="all",
)
@method(
    "pooled_max",
    about="As `pooled_mean`, as wide as the largest ROI of the data set; the paper's.",
    recipe=Contrastive,
    section="contrastive",
    order=50,
    colour="#7bc043",
    pools="all",
    largest=True,
)
@method(
    "pooled_loso",
    about="As `pooled_mean`, of all subjects but the one it is evaluated on.",
    recipe=Contrastive,
    section="contrastive",
    order=60,
    colour="#8a5fbf",
    pools="others",
)
def pooled(
    backbone: nn.Module,
    n_scores: int,
    n_voxels: Mapping[str, int],
    recipe: Contrastive,
    largest: int | None = None,
) -> Task:
    """One network for an ROI of all subjects, as wide as theirs on average; the paper's.

    Source: Mulrooney & Brockmeier 2024, the pooled models "avg", whose h is the mean number of
    voxels, and "const", whose h is that of the largest ROI of the data set (there 5741).
    """
    from cortune.networks.heads import ContrastiveModel, Projection, pooled_sizes

    projection = Projection(*pooled_sizes(list(n_voxels.values()), largest))
    return _published(ContrastiveModel(backbone, n_scores, n_voxels, projection), recipe)


def _published(model: ContrastiveModel, recipe: Contrastive) -> Task:
    from cortune.tuning.loop import Plan
    from cortune.tuning.losses import infonce
    from cortune.tuning.optimizers import Adam
    from cortune.tuning.task import Task, watch_bound

    def objective(images: Tensor, responses: Tensor | Tagged) -> Tensor:
        image_z, response_z = model(images, responses)
        return infonce(image_z, response_z, recipe.temperature)

    optimizer = Adam(model.parameters(), lr=recipe.learning_rate)
    plan = Plan(recipe.epochs, recipe.learning_rate)
    return Task(model, objective, optimizer, plan, watch_bound(model, recipe.temperature))
