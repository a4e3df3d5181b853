"""Backbones: image networks by name, and their weights from anywhere.

Which networks there are say the families (:mod:`cortune.networks.families`). Weights come
from their makers, from a local file, or from a seed. A network knows how it is shown images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.networks.families import PUBLISHED, Preprocessing, Tokens, find_family
from cortune.networks.weights import as_checkpoint, description, fitted, read_checkpoint
from cortune.seeds import torch_seed

if TYPE_CHECKING:
    from torch import Tensor, nn

_RANDOM, _PRETRAIN = "random", "pretrain"


@dataclass(frozen=True)
class Origin:
    """What of a network its weights do not tell.

    Parameters
    ----------
    name : str
        As for :func:`build_backbone`.
    preprocessing : Preprocessing
        How it is shown images.
    options : mapping
        What its family built it with.
    """

    name: str
    preprocessing: Preprocessing
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def readout(self) -> str:
        """What its output is: ``logits``, ``pooled`` features or a ``projection``."""
        family, known = find_family(self.name)
        return family.readout(known)

    def build(self, seed: int = 0) -> nn.Module:
        """Build such a network with random weights."""
        shown, options = self.preprocessing, self.options
        return build_backbone(self.name, seed=seed, preprocessing=shown, **options)


def origin_of(model: nn.Module) -> Origin:
    """Return the origin of a network, or of the one that is a part of a model.

    Raises
    ------
    LookupError
        If no part of it was made by :func:`build_backbone`.
    """
    for module in model.modules():
        if "origin" in vars(module):
            return vars(module)["origin"]  # type: ignore[no-any-return]
    raise LookupError(f"{type(model).__name__} was not made by build_backbone")


def set_origin(model: nn.Module, origin: Origin) -> None:
    """Say where a network is from."""
    vars(model)["origin"] = origin


def tokens_of(model: nn.Module) -> Tokens:
    """Return how layers of a network are laid out that see places as tokens."""
    family, _ = find_family(origin_of(model).name)
    return family.tokens(model)


def build_backbone(
    name: str,
    *,
    seed: int = 0,
    num_classes: int | None = None,
    preprocessing: Preprocessing | None = None,
    **options: Any,
) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    name : str
        ``alexnet_small`` or any classification model of torchvision; ``family/network`` of
        other sources, and where several families have one of that name.
    seed : int
        Seed of the initialisation.
    num_classes : int, optional
        Width of the class scores; the model's own default otherwise.
    preprocessing : Preprocessing, optional
        How it is shown images; as its makers show them otherwise.
    **options
        What else its family builds it with.

    Raises
    ------
    InputError
        If there is no such model.
    """
    import torch

    family, known = find_family(name)
    if num_classes is not None:
        options = {"num_classes": num_classes, **options}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "backbone", known))
        model = family.build(known, **options)
    shown = preprocessing or family.preprocessing(known, _RANDOM)
    set_origin(model, Origin(name, shown, options))
    return model


def load_backbone(
    name: str, weights: str = PUBLISHED, *, seed: int = 0, input_size: int | None = None
) -> nn.Module:
    """Build a network and give it its weights.

    Parameters
    ----------
    name : str
        As for :func:`build_backbone`.
    weights : str
        ``random``; ``published``, those that the name states or its makers' first ones; the
        name of other published weights, such as ``IMAGENET1K_V1`` (downloaded once into a
        cache); or the path of a local file: safetensors, or a checkpoint saved by torch,
        which is read without unpickling code (:mod:`cortune.networks.weights`).
    seed : int
        Seed of ``random`` weights.
    input_size : int, optional
        Edge of the images that it will see, pixels; as its makers show them otherwise.

    Raises
    ------
    InputError
        If the weights do not exist, cannot be had offline, or do not fit the network.
    """
    origin = planned(name, weights, input_size=input_size)
    if weights in (_RANDOM, _PRETRAIN):
        return origin.build(seed)
    family, known = find_family(name)

    def build(options: Mapping[str, Any]) -> nn.Module:
        return replace(origin, options={**origin.options, **options}).build(seed)

    if is_file(weights):
        checkpoint = read_checkpoint(Path(weights).expanduser())
    else:
        found = family.published(known, weights)
        label = f"published {known} {weights}"
        checkpoint = (
            read_checkpoint(found) if isinstance(found, Path) else as_checkpoint(label, found)
        )
    return fitted(known, family, checkpoint, build)


def planned(name: str, weights: str = PUBLISHED, *, input_size: int | None = None) -> Origin:
    """Return the origin of a network that :func:`load_backbone` will load, from names alone.

    Raises
    ------
    InputError
        If there is no such network.
    """
    family, known = find_family(name)
    makers = preprocessing(name, weights)
    size = input_size or makers.input_size
    own = description(Path(weights).expanduser()) or {}
    options = {**own.get("options", {}), **family.sized(known, makers.input_size, size)}
    return Origin(name, makers.at(size), options)


def is_file(weights: str) -> bool:
    """Return whether weights are named by the path of a local file."""
    path = Path(weights).expanduser()
    return bool(path.suffix) or path.exists()


def weights_entry(name: str, weights: str) -> Any:
    """Return the entry of published weights; nothing is downloaded.

    Raises
    ------
    InputError
        If there is no such model, or no such weights of it.
    """
    family, known = find_family(name)
    return family.weights_entry(known, weights)


def preprocessing(name: str, weights: str = PUBLISHED) -> Preprocessing:
    """Return how a network's makers show it images; of a network of Cortune, how it was."""
    family, known = find_family(name)
    own = description(Path(weights).expanduser()) or {}
    if "preprocessing" in own:
        return Preprocessing.of(own["preprocessing"])
    return family.preprocessing(known, weights)


def class_scores(output: Any) -> Tensor:
    """Return the class scores of a network's output (some models return a named tuple)."""
    return output.logits if hasattr(output, "logits") else output  # type: ignore[no-any-return]


def normalise(images: Tensor, shown: nn.Module | Preprocessing = Preprocessing()) -> Tensor:  # noqa: B008
    """Turn uint8 images (n, s, s, 3) into normalised floats (n, 3, s, s), channels last.

    Parameters
    ----------
    images : Tensor
    shown : Preprocessing, or a network or model, whose own is used
        Default is ImageNet's mean and deviation.
    """
    import torch

    if not isinstance(shown, Preprocessing):
        shown = origin_of(shown).preprocessing
    centre = torch.tensor(shown.mean, device=images.device)
    scale = 1.0 / (255.0 * torch.tensor(shown.std, device=images.device))
    floats = images.to(torch.float32).mul_(scale).sub_(centre * 255.0 * scale)
    return floats.permute(0, 3, 1, 2)
