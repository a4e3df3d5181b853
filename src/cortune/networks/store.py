"""Networks as artifacts: safetensors with the model's name and provenance in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cortune.artifacts import PathLike, write_safetensors
from cortune.errors import InputError
from cortune.networks.backbones import Origin, class_scores, origin_of
from cortune.networks.families import Preprocessing
from cortune.versions import Provenance

if TYPE_CHECKING:
    from torch import Tensor, nn

_BACKBONE, _HEAD = "backbone.", "head."


@dataclass(frozen=True)
class SavedNetwork:
    """A network read from its artifact.

    Parameters
    ----------
    backbone : nn.Module
        In evaluation mode.
    name : str
        Name of the model.
    num_classes : int
        Width of its output.
    tuned_on : tuple of str
        Identities of the images that tuning saw or selected on; empty if untuned. Nothing
        that scores the network may be among them.
    head : dict of str to Tensor
        Parameters of the head that it was tuned with, by name.
    """

    backbone: nn.Module
    name: str
    num_classes: int
    tuned_on: tuple[str, ...]
    head: dict[str, Tensor]


def n_scores(model: nn.Module, input_size: int) -> int:
    """Return the width of a network's output."""
    import torch

    training = model.training
    model.eval()
    with torch.no_grad():
        width = class_scores(model(torch.zeros(1, 3, input_size, input_size))).shape[1]
    model.train(training)
    return int(width)


def save_network(
    path: PathLike,
    backbone: nn.Module,
    provenance: Provenance,
    *,
    num_classes: int,
    head: Mapping[str, Tensor] | None = None,
    tuned_on: Sequence[str] = (),
) -> None:
    """Save a backbone, the head and the identities it was tuned on, as safetensors."""
    tensors = {_BACKBONE + key: value for key, value in backbone.state_dict().items()}
    tensors |= {_HEAD + key: value for key, value in (head or {}).items()}
    arrays = {key: value.detach().cpu().contiguous().numpy() for key, value in tensors.items()}
    origin = origin_of(backbone)
    description = {
        "name": origin.name,
        "readout": origin.readout,
        "num_classes": num_classes,
        "options": dict(origin.options),
        "preprocessing": asdict(origin.preprocessing),
        "tuned_on": sorted(tuned_on),
    }
    write_safetensors(path, arrays, provenance, network=description)


def load_network(path: PathLike) -> SavedNetwork:
    """Load a saved network.

    Raises
    ------
    InputError
        If the file is missing, truncated, or not a network of Cortune.
    """
    tensors, description = _read(path)
    name, num_classes = description["name"], description["num_classes"]
    shown = Preprocessing.of(description["preprocessing"])
    backbone = Origin(name, shown, description["options"]).build()
    backbone.load_state_dict(_below(_BACKBONE, tensors))
    tuned_on = tuple(description["tuned_on"])
    return SavedNetwork(backbone.eval(), name, num_classes, tuned_on, _below(_HEAD, tensors))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) :]: v for key, v in tensors.items() if key.startswith(prefix)}


def _read(path: PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(metadata["cortune"])["network"]
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(
            path,
            f"no readable network ({error})",
            "a network saved by Cortune",
            "Remove it and run the workflow again: it will be rebuilt.",
        ) from error
