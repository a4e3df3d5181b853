"""Backbones: image networks by name, and their weights from anywhere.

Any torchvision classification model is accepted by name, besides the demo's
``alexnet_small``. Weights come from torchvision, from a local file, or from a seed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.errors import InputError
from cortune.seeds import torch_seed

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SMALL = "alexnet_small"


def build_backbone(name: str, *, seed: int = 0, num_classes: int | None = None) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    name : str
        ``alexnet_small`` or any classification model of torchvision.
    seed : int
        Seed of the initialisation.
    num_classes : int, optional
        Width of the output; the model's own default otherwise.

    Raises
    ------
    InputError
        If there is no such model.
    """
    import torch

    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "backbone", name))
        if name == SMALL:
            from cortune.networks.alexnet_small import AlexNetSmall

            return AlexNetSmall(**options)
        _check_name(name)
        from torchvision.models import get_model

        return get_model(name, weights=None, **options)  # type: ignore[no-any-return]


def load_backbone(name: str, weights: str, *, seed: int = 0) -> nn.Module:
    """Build a network and give it its weights.

    Parameters
    ----------
    name : str
        As for :func:`build_backbone`.
    weights : str
        ``random``; the name of a torchvision weights entry, such as ``IMAGENET1K_V1``
        (downloaded once into torch's cache); or the path of a local file: safetensors, or
        a state dict saved by torch, which is read without unpickling code.
    seed : int
        Seed of ``random`` weights.

    Raises
    ------
    InputError
        If the weights do not exist, cannot be had offline, or do not fit the network.
    """
    if weights == "random":
        return build_backbone(name, seed=seed)
    path = Path(weights).expanduser()
    if path.suffix or path.exists():
        return _with_weights(name, read_state_dict(path), path, seed)
    state = _torchvision_state(name, weights)
    return _with_weights(name, state, f"torchvision {name} {weights}", seed)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors, or from a torch file without running its pickle.

    Checkpoints that wrap the state dict (``state_dict``, ``model``) or prefix its keys
    (``module.``) are unwrapped.

    Raises
    ------
    InputError
        If the file is missing, unreadable, holds something else, or needs code to load.
    """
    import torch

    expected = "a state dict (safetensors, or torch.save of tensors only)"
    if not path.is_file():
        raise InputError(path, "no file", expected, "Correct backbone.weights.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every library in between raises its own kind
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            path,
            f"a file that cannot be read safely ({first[:160]})",
            expected,
            "Save it with torch.save(model.state_dict(), path) or as safetensors.",
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(
        isinstance(v, torch.Tensor) for v in state.values()
    ):
        raise InputError(
            path,
            f"{type(state).__name__} without tensors by name",
            expected,
            "Save it with torch.save(model.state_dict(), path) or as safetensors.",
        )
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def weights_entry(name: str, weights: str) -> Any:
    """Return torchvision's entry of published weights; nothing is downloaded.

    Raises
    ------
    InputError
        If torchvision has no such model, or no such weights for it.
    """
    if name == SMALL:
        raise InputError(
            "backbone.weights",
            repr(weights),
            f"`pretrain`, `random` or a local file for {name}",
            "Torchvision has no weights for it.",
        )
    _check_name(name)
    from torchvision.models import get_model_weights

    entries = get_model_weights(name)
    if weights not in entries.__members__:
        raise InputError(
            "backbone.weights",
            repr(weights),
            f"one of {', '.join([*entries.__members__, 'random', 'pretrain'])}, or a file",
            "Correct the name, or give the path of a local file.",
        )
    return entries[weights]


def _torchvision_state(name: str, weights: str) -> dict[str, Tensor]:
    entry = weights_entry(name, weights)
    try:
        return dict(entry.get_state_dict(progress=False, check_hash=True))
    except OSError as error:
        raise InputError(
            "backbone.weights",
            f"{weights}, which cannot be downloaded here ({error})",
            "weights in torch's cache, or a connection",
            f"On a machine with a connection, download {entry.url} and set backbone.weights to "
            "the path of that file.",
        ) from error


def _check_name(name: str) -> None:
    import torchvision

    models = list(torchvision.models.list_models(module=torchvision.models))
    if name not in models:
        close = difflib.get_close_matches(name, [SMALL, *models], n=3)
        raise InputError(
            "backbone.name",
            repr(name),
            f"{SMALL} or a classification model of torchvision",
            f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(models)}.",
        )


def _with_weights(name: str, state: dict[str, Tensor], source: object, seed: int) -> nn.Module:
    """Build `name` with as many classes as `state` has, and load `state` into it."""
    model = build_backbone(name, seed=seed)
    last = list(model.state_dict())[-1]
    if last in state and state[last].shape != model.state_dict()[last].shape:
        model = build_backbone(name, seed=seed, num_classes=int(state[last].shape[0]))
    own = model.state_dict()
    state = {key: value for key, value in state.items() if key in own or not _is_auxiliary(key)}
    wrong = [
        *(f"{key} is missing" for key in own if key not in state),
        *(f"{key} is unknown" for key in state if key not in own),
        *(
            f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ),
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(
            source,
            f"weights that do not fit {name}: {'; '.join(wrong[:3])}{more}",
            f"a state dict of {name}",
            "Correct backbone.name or backbone.weights.",
        )
    unfit = [key for key in own if not bool(state[key].isfinite().all())]
    if unfit:
        raise InputError(
            source,
            f"weights with NaN or infinity in {', '.join(unfit[:3])}",
            f"a state dict of {name} with finite numbers",
            "Save the network again from before its training diverged.",
        )
    model.load_state_dict(state)
    return model


def _is_auxiliary(key: str) -> bool:
    """Return whether a parameter belongs to a classifier that only training uses."""
    return key.startswith(("aux1.", "aux2.", "AuxLogits."))


def class_scores(output: Any) -> Tensor:
    """Return the class scores of a network's output (some models return a named tuple)."""
    return output.logits if hasattr(output, "logits") else output  # type: ignore[no-any-return]


def normalise(images: Tensor) -> Tensor:
    """Turn uint8 images (n, s, s, 3) into normalised floats (n, 3, s, s), channels last.

    Source: ImageNet statistics, as the published weights expect.
    """
    import torch

    mean = torch.tensor(IMAGENET_MEAN, device=images.device)
    scale = 1.0 / (255.0 * torch.tensor(IMAGENET_STD, device=images.device))
    floats = images.to(torch.float32).mul_(scale).sub_(mean * 255.0 * scale)
    return floats.permute(0, 3, 1, 2)
