"""Networks as artifacts: safetensors with the model's name and provenance in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cortune.artifacts import PathLike, write_safetensors
from cortune.errors import InputError
from cortune.networks.adapters import adaptation, difference, merged_state, restore
from cortune.networks.backbones import Origin, class_scores, origin_of
from cortune.networks.families import Preprocessing
from cortune.seals import digest_of
from cortune.versions import Provenance

if TYPE_CHECKING:
    from torch import Tensor, nn

_BACKBONE, _HEAD = "backbone.", "head."
_OF_DIFFERENCE = ("adaptation", "base")


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
        Identities of the images that tuning saw or selected on, and what each shows as an
        identity by content, too; empty if untuned. Nothing that scores the network may be
        among them.
    head : dict of str to Tensor
        Parameters of the head that it was tuned with, by name.
    path : path
        Its file.
    """

    backbone: nn.Module
    name: str
    num_classes: int
    tuned_on: tuple[str, ...]
    head: dict[str, Tensor]
    path: PathLike


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
    base: PathLike | None = None,
) -> None:
    """Save a backbone, the head and the identities it was tuned on, as safetensors.

    Of a network that was adapted (:mod:`cortune.networks.adapters`) only what differs from
    `base`, the file that it started from, which is named by its SHA-256.
    """
    state, adapted = backbone.state_dict(), adaptation(backbone)
    if adapted is not None:
        assert base is not None, "an adapted network has a base"
        state = difference(backbone, _below(_BACKBONE, _read(base)[0]))
    tensors = {_BACKBONE + key: value for key, value in state.items()}
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
    if adapted is not None and base is not None:
        description |= {"adaptation": adapted, "base": digest_of(base)}
    write_safetensors(path, arrays, provenance, network=description)


def save_state(path: PathLike, source: PathLike, saved: SavedNetwork) -> None:
    """Save a loaded network's own tensors, under the names that its makers gave them.

    Low-rank adapters become part of the weights that they are beside.

    Parameters
    ----------
    path : path
    source : path
        The artifact that it was loaded from, whose description goes along.
    saved : SavedNetwork
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(source, framework="numpy") as file:
        header = json.loads(file.metadata()["cortune"])
    own = {key: value for key, value in header["network"].items() if key not in _OF_DIFFERENCE}
    header["network"] = {**own, "plain": True}
    tensors = {
        key: value.detach().cpu().contiguous().clone()
        for key, value in merged_state(saved.backbone).items()
    }
    save_file(tensors, path, metadata={"cortune": json.dumps(header), "format": "pt"})


def load_network(path: PathLike, base: PathLike | None = None) -> SavedNetwork:
    """Load a saved network.

    Parameters
    ----------
    path : path
    base : path, optional
        The network that it was tuned from, of which an adapted one is the difference.

    Raises
    ------
    InputError
        If the file is missing, truncated, or not a network of Cortune, or it is a difference
        from another network than `base`.
    ResourceError
        If it has adapters and peft is not installed.
    """
    tensors, description = _read(path)
    name, num_classes = description["name"], description["num_classes"]
    shown = Preprocessing.of(description["preprocessing"])
    backbone = Origin(name, shown, description["options"]).build()
    own = _below("" if description.get("plain") else _BACKBONE, tensors)
    adapted = description.get("adaptation")
    try:
        if adapted is None:
            backbone.load_state_dict(own)
        else:
            start = _checked(base, description["base"], path)
            backbone.load_state_dict(_below(_BACKBONE, _read(start)[0]))
            restore(backbone, adapted)
            _, unknown = backbone.load_state_dict(own, strict=False)
            assert not unknown, unknown
    except RuntimeError as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            path,
            f"tensors that are not those of {name} ({said})",
            "a network saved by Cortune",
            "Remove it and run the workflow again: it will be rebuilt.",
        ) from error
    tuned_on = tuple(description["tuned_on"])
    head = _below(_HEAD, tensors)
    return SavedNetwork(backbone.eval(), name, num_classes, tuned_on, head, path)


def _checked(base: PathLike | None, expected: str, path: PathLike) -> PathLike:
    """Return the base of an adapted network, if it is the one."""
    if base is None or digest_of(base) != expected:
        raise InputError(
            path,
            f"the difference from another network than {base or 'none'}",
            f"that network, whose SHA-256 is {expected}, beside it",
            "Give the network that it was tuned from, or tune again.",
        )
    return base


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) :]: v for key, v in tensors.items() if key.startswith(prefix)}


def _read(path: PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(metadata["cortune"])["network"]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        foreign = "a file that Cortune did not write"
        raise InputError(
            path,
            f"no readable network ({foreign if isinstance(error, KeyError) else error})",
            "a network saved by Cortune",
            "Remove it and run the workflow again: it will be rebuilt.",
        ) from error
