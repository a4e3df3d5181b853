"""The backbone, and the demo's training of it: classification of labelled scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cortune.section import Classes, Count, Distinct, Positive, Section

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cortune.networks.device import Runtime
    from cortune.tuning.batches import BatchSource
    from cortune.tuning.task import Task


class Pretrain(Section):
    """Training on labelled simulated scenes; read only when `weights` is `pretrain`."""

    n_images: Annotated[int, Field(ge=100)] = 20000
    """Labelled scenes; a tenth is held out to measure accuracy."""
    n_classes: Classes = 20
    """Object classes."""
    epochs: Count = 12
    """Passes over the scenes."""
    batch_size: Annotated[int, Field(ge=2)] = 128
    """Images per step."""
    learning_rate: Positive = 3.0e-3
    """Peak of the one-cycle schedule (AdamW)."""


class AutoLayers(Section):
    """Layers that are chosen."""

    auto: Count
    """How many, evenly spaced in depth."""


class Backbone(Section):
    """The image network that is tuned."""

    name: str = "alexnet"
    """Any torchvision classification model, `timm/<model>.<tag>`, `open_clip/<model>/<tag>`, or
    `alexnet_small` (the demo's)."""
    weights: str = "published"
    """`published` (those that the name states; of torchvision the first ones, as a rule
    `IMAGENET1K_V1`), a torchvision weights name, the path of a local file (safetensors or a state
    dict saved by torch), `random`, or `pretrain` (train on simulated scenes within the
    workflow)."""
    input_size: Annotated[int, Field(ge=16, le=1024)] | None = None
    """Width and height of the network's input in pixels; null is that of its makers. Position
    embeddings of timm's and OpenCLIP's networks are resized to it."""
    crop: bool = False
    """Scale pictures by their shorter side and crop the centre, as the network's makers do, rather
    than show them whole; then voxels of the periphery saw what the network does not."""
    layers: Literal["auto"] | AutoLayers | Annotated[list[str], Field(min_length=1), *Distinct] = (
        Field(
            default=[
                *(f"features.{i}" for i in (2, 5, 7, 9, 12)),
                *(f"classifier.{i}" for i in (2, 5, 6)),
            ],
        )
    )
    """Names of the modules whose output is used as features, in order of depth (`cortune layers`
    lists them); or `auto`, 8 blocks evenly spaced in depth, `{auto: 12}` for 12."""
    tokens: Literal["all", "class", "mean", "patches"] = "all"
    """What of layers that give tokens is a feature: all of them, the class token, or the patches'
    mean or all of these. Other layers are taken whole."""
    pretrain: Pretrain = Field(default_factory=Pretrain)


def classification(model: nn.Module, recipe: Pretrain) -> Task:
    """Return the task of classifying images: cross-entropy, AdamW, one cycle."""
    import torch
    from torch.nn.functional import cross_entropy

    from cortune.networks.backbones import normalise
    from cortune.tuning.loop import Plan, one_cycle
    from cortune.tuning.optimizers import AdamW
    from cortune.tuning.task import Task

    def objective(images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(model(images).float(), labels)

    def watch(held_out: BatchSource, runtime: Runtime) -> dict[str, float]:
        correct = 0
        with torch.no_grad(), runtime.autocast():
            for images, labels in held_out.in_order():
                scores = model(normalise(images.to(runtime.device), model))
                correct += int((scores.argmax(1).cpu() == labels).sum())
        return {"validation_accuracy": correct / len(held_out)}

    optimizer = AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.05)
    plan = Plan(recipe.epochs, recipe.learning_rate, one_cycle)
    return Task(model, objective, optimizer, plan, watch)
