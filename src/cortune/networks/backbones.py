"""Backbones: image networks by name, and their weights from anywhere.

Which networks there are say the families (:mod:`cortune.networks.families`). Weights come
from their makers, from a local file, or from a seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.networks.families import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, find_family
from cortune.networks.weights import as_checkpoint, fitted, read_checkpoint
from cortune.seeds import torch_seed

if TYPE_CHECKING:
    from torch import Tensor, nn


def build_backbone(
    name: str, *, seed: int = 0, num_classes: int | None = None, **options: Any
) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    name : str
        ``alexnet_small`` or any classification model of torchvision; ``family/network`` where
        several families have one of that name.
    seed : int
        Seed of the initialisation.
    num_classes : int, optional
        Width of the output; the model's own default otherwise.
    **options
        What else its family builds it with (:func:`build_options`).

    Raises
    ------
    InputError
        If there is no such model.
    """
    import torch

    family, known = find_family(name)
    chosen = options if num_classes is None else {"num_classes": num_classes, **options}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "backbone", known))
        model = family.build(known, **chosen)
    vars(model)["build_options"] = options
    return model


def build_options(model: nn.Module) -> dict[str, Any]:
    """Return what a network was built with that its weights do not tell."""
    options: dict[str, Any] = vars(model).get("build_options", {})
    return options


def load_backbone(name: str, weights: str, *, seed: int = 0) -> nn.Module:
    """Build a network and give it its weights.

    Parameters
    ----------
    name : str
        As for :func:`build_backbone`.
    weights : str
        ``random``; the name of published weights, such as ``IMAGENET1K_V1`` (downloaded once
        into torch's cache); or the path of a local file: safetensors, or a checkpoint saved
        by torch, which is read without unpickling code (:mod:`cortune.networks.weights`).
    seed : int
        Seed of ``random`` weights.

    Raises
    ------
    InputError
        If the weights do not exist, cannot be had offline, or do not fit the network.
    """
    if weights == "random":
        return build_backbone(name, seed=seed)
    family, known = find_family(name)
    path = Path(weights).expanduser()
    if path.suffix or path.exists():
        checkpoint = read_checkpoint(path)
    else:
        state = family.published_state(known, weights)
        checkpoint = as_checkpoint(f"published {known} {weights}", state)
    return fitted(
        known, family, checkpoint, lambda options: build_backbone(name, seed=seed, **options)
    )


def weights_entry(name: str, weights: str) -> Any:
    """Return the entry of published weights; nothing is downloaded.

    Raises
    ------
    InputError
        If there is no such model, or no such weights of it.
    """
    family, known = find_family(name)
    return family.weights_entry(known, weights)


def preprocessing(name: str, weights: str) -> Preprocessing:
    """Return how a network's makers show it images."""
    family, known = find_family(name)
    return family.preprocessing(known, weights)


def class_scores(output: Any) -> Tensor:
    """Return the class scores of a network's output (some models return a named tuple)."""
    return output.logits if hasattr(output, "logits") else output  # type: ignore[no-any-return]


def normalise(
    images: Tensor,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Tensor:
    """Turn uint8 images (n, s, s, 3) into normalised floats (n, 3, s, s), channels last.

    The default is ImageNet's statistics; a network's own are its :class:`Preprocessing`'s.
    """
    import torch

    centre = torch.tensor(mean, device=images.device)
    scale = 1.0 / (255.0 * torch.tensor(std, device=images.device))
    floats = images.to(torch.float32).mul_(scale).sub_(centre * 255.0 * scale)
    return floats.permute(0, 3, 1, 2)
