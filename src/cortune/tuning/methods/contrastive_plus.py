"""The published method with improvements, each switched by a key of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from cortune.section import Count, Positive, Section, Share
from cortune.tuning.methods import method

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cortune.networks.heads import Tagged
    from cortune.tuning.task import Task, Watch


class ContrastivePlus(Section):
    """Our improved recipe of contrastive tuning.

    Every difference from `contrastive` is one key. `regression_plus` follows it, too.
    """

    temperature: Positive = 0.3
    """Temperature of the loss; its start, where it is learned."""
    learn_temperature: bool = False
    """Learn the temperature (published is fixed)."""
    symmetric: bool = False
    """Also tell images apart for each response (published does not)."""
    norm: Literal["batch", "layer"] = "batch"
    """Normalisation in the shared MLP (published is batch)."""
    norm_per_modality: bool = True
    """Norms of their own for images and for responses (published shares them, so that the
    running statistics used after training fit neither)."""
    activation: Literal["relu", "gelu"] = "gelu"
    """Nonlinearity in the shared MLP (published is relu)."""
    embedding_size: Count | None = 128
    """Dimensions z of the embedding; null is the published one fifth of the voxels."""
    image_layer: str | None = None
    """Layer of the backbone whose output is mapped to the embedding, such as the last
    convolutional one, which keeps places apart; null is the class scores, as published. Layers
    beyond it are not tuned."""
    batch_size: Annotated[int, Field(ge=2)] = 1024
    """Images per step, and responses each is told apart from."""
    drop_last: bool = True
    """Leave out the last, smaller batch of an epoch (published keeps it)."""
    epochs: Count = 30
    """Passes over the tuning images."""
    learning_rate: Positive = 2.0e-4
    """Peak learning rate of AdamW."""
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    """Warm-up and cosine decay, or the published constant rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """Weight decay of matrices and kernels (published is 0)."""
    keep_best: bool = True
    """Keep the epoch with the highest bound on validation images, or of `regression_plus` the
    lowest squared error (published keeps the last)."""
    validation: Share = 0.1
    """Share of the tuning images that the epoch is chosen by instead of being tuned on, where
    `split.validation` is 0."""
    augmentation: Share = 0.0
    """Strength of random contrast and brightness; positions are never changed, since voxels see
    places."""


@method("contrastive_plus", recipe=ContrastivePlus, order=30, colour="#123d6b")
def contrastive_plus(
    backbone: nn.Module, n_scores: int, n_voxels: int, recipe: ContrastivePlus
) -> Task:
    """As `contrastive`, with each improvement that its recipe asks for; ours.

    Not from the paper. `n_scores` is the width of ``image_layer``, where that is set.
    """
    from cortune.networks.heads import published_sizes

    n_hidden, published_z = published_sizes(n_voxels)
    z = recipe.embedding_size or published_z
    return plus_contrastive(backbone, n_scores, n_voxels, recipe, (n_hidden, z))


def plus_contrastive(
    backbone: nn.Module,
    n_scores: int,
    n_voxels: int | Mapping[str, int],
    recipe: ContrastivePlus,
    sizes: tuple[int, int],
) -> Task:
    """Return the contrastive task of a network of one unit or several.

    Parameters
    ----------
    backbone, n_scores, n_voxels, recipe
        As of :class:`cortune.tuning.methods.Method`.
    sizes : tuple of int
        h and z of the shared MLP.
    """
    import torch

    from cortune.networks.heads import ContrastiveModel, Projection
    from cortune.tuning.losses import infonce
    from cortune.tuning.task import watch_bound

    projection = Projection(
        *sizes,
        norm=recipe.norm,
        activation=recipe.activation,
        per_modality=recipe.norm_per_modality,
    )
    learned = recipe.temperature if recipe.learn_temperature else None
    model = ContrastiveModel(backbone, n_scores, n_voxels, projection, learned, recipe.image_layer)

    def temperature() -> Tensor:
        return model.temperature() if learned else torch.tensor(recipe.temperature)

    def objective(images: Tensor, responses: Tensor | Tagged) -> Tensor:
        image_z, response_z = model(images, responses)
        return infonce(image_z, response_z, temperature(), symmetric=recipe.symmetric)

    watch = watch_bound(model, temperature)
    return plus_task(model, objective, recipe, watch, "validation_bound_nats")


def plus_task(
    model: nn.Module,
    objective: Callable[[Tensor, Any], Tensor],
    recipe: ContrastivePlus,
    watch: Watch,
    best: str,
) -> Task:
    """Return the task of training a model by an objective, all else by the recipe.

    Parameters
    ----------
    model, objective, watch
        As of :class:`~cortune.tuning.task.Task`; `objective` is given images after
        augmentation.
    recipe : ContrastivePlus
    best : str
        Measure whose best epoch is kept, where the recipe keeps it; see
        :class:`~cortune.tuning.loop.Plan`.
    """
    from cortune.tuning.loop import Plan, one_cycle
    from cortune.tuning.optimizers import AdamW
    from cortune.tuning.task import Task

    optimizer = AdamW(_decayed(model, recipe.weight_decay), lr=recipe.learning_rate)
    plan = Plan(
        recipe.epochs,
        recipe.learning_rate,
        one_cycle if recipe.schedule == "one_cycle" else _constant,
        best if recipe.keep_best else None,
    )

    def augmented(images: Tensor, responses: Any) -> Tensor:
        return objective(photometric(images, recipe.augmentation), responses)

    return Task(model, augmented, optimizer, plan, watch, recipe.drop_last)


@method(
    "regression_plus",
    recipe=ContrastivePlus,
    section="contrastive_plus",
    order=15,
    colour="#94591a",
    embeds=False,
)
def regression_plus(
    backbone: nn.Module, n_scores: int, n_voxels: int, recipe: ContrastivePlus
) -> Task:
    """As `regression`, under the recipe of `contrastive_plus`; ours.

    Not from the paper. Layer, optimizer, schedule, passes and the choice of the epoch are those
    of `contrastive_plus`, whose section it shares, so that the two differ by head and loss alone.
    """
    from torch.nn.functional import mse_loss

    from cortune.networks.heads import RegressionModel
    from cortune.tuning.task import watch_predictions

    model = RegressionModel(backbone, n_scores, n_voxels, recipe.image_layer)

    def objective(images: Tensor, responses: Tensor) -> Tensor:
        return mse_loss(model(images).float(), responses)

    return plus_task(model, objective, recipe, watch_predictions(model), "-validation_mse")


def photometric(images: Tensor, strength: float) -> Tensor:
    """Jitter contrast and brightness of each image; positions stay, as retinotopy demands."""
    import torch

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
