"""What tuning changes of a network: all of it, its last blocks, or adapters beside its weights.

A network of which only a part is tuned is saved as its difference from the network that it
started from: what changed, bit for bit, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from cortune.errors import InputError
from cortune.extras import extra
from cortune.section import Count, Section

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cortune.networks.layers import Trace

_KEY = "tuning.adapt"
_BASE_LAYER = ".base_layer."


class Lora(Section):
    """Low-rank adapters (Hu et al. 2022): W x + (alpha / rank) B A x, with A and B tuned."""

    rank: Count = 8
    """Columns of B and rows of A."""
    alpha: Count = 16
    """Weight of the adapters, times the rank."""


class Adapt(Section):
    """A part of a network that is tuned; the rest stays as it is, in evaluation mode."""

    last_blocks: Count | None = None
    """Blocks, counted from the end; what comes after them is tuned, too."""
    lora: Lora | None = None
    """Low-rank adapters in all blocks."""

    @model_validator(mode="after")
    def _one(self) -> Adapt:
        if (self.last_blocks is None) == (self.lora is None):
            raise PydanticCustomError("adapt", "expected either last_blocks or lora")
        return self


How = Literal["all"] | Adapt


def adapt(model: nn.Module, how: How) -> None:
    """Prepare a network for the tuning of a part of it, in place.

    What is not tuned is frozen, and stays in evaluation mode when the network is trained, so
    that its running statistics do not drift.

    Parameters
    ----------
    model : nn.Module
        Made by :func:`cortune.networks.backbones.build_backbone`.
    how : "all" or Adapt

    Raises
    ------
    InputError
        If there are fewer blocks, or there is nothing that adapters could be put beside.
    ResourceError
        If LoRA is asked for and peft is not installed.
    """
    from cortune.networks.backbones import origin_of
    from cortune.networks.layers import Trace

    if how == "all":
        return
    if how.lora is None:
        trained = _last_blocks(model, Trace(origin_of(model)), how)
        model.requires_grad_(False)
        for module in trained:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_()
        description: dict[str, Any] = {"last_blocks": how.last_blocks}
    else:
        trained = []
        modules, parameters = _targets(Trace(origin_of(model)))
        description = {**dict(how.lora), "modules": modules, "parameters": parameters}
        restore(model, description)
    vars(model)["adaptation"] = description

    def train(mode: bool = True) -> nn.Module:
        for module in model.modules():
            module.training = False
        for module in trained:
            module.training = mode
        return model

    vars(model)["train"] = train


def adaptation(model: nn.Module) -> dict[str, Any] | None:
    """Return what :func:`restore` needs to know of a network that was adapted."""
    found: dict[str, Any] | None = vars(model).get("adaptation")
    return found


def restore(model: nn.Module, description: Mapping[str, Any]) -> None:
    """Put adapters into a network as they were when it was tuned, beside its weights.

    Raises
    ------
    ResourceError
        If there are adapters and peft is not installed.
    """
    if "rank" not in description:
        return
    peft = extra("peft", "lora", f"{_KEY}.lora")
    config = peft.LoraConfig(
        r=description["rank"],
        lora_alpha=description["alpha"],
        target_modules="|".join(re.escape(each) for each in description["modules"]) or [],
        target_parameters=list(description["parameters"]) or None,
    )
    peft.inject_adapter_in_model(config, model)


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return a network's state as its makers name it, adapters added to the weights."""
    beside: list[Any] = [each for each in model.modules() if hasattr(each, "base_layer")]
    for each in beside:
        each.merge()
    state = {
        key.replace(_BASE_LAYER, "."): value.clone()
        for key, value in model.state_dict().items()
        if ".lora_" not in key
    }
    for each in beside:
        each.unmerge()
    return state


def difference(model: nn.Module, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what of a network's state is not that of the network that it started from."""
    import torch

    return {
        key: value
        for key, value in model.state_dict().items()
        if (old := base.get(key.replace(_BASE_LAYER, "."))) is None
        or not torch.equal(old.reshape(value.shape), value.to(old.device))
    }


def changed_bytes(trace: Trace, how: How) -> int:
    """Return the bytes that tuning changes, without drawing or loading anything."""
    model = trace.model
    if how == "all":
        tensors: Sequence[Tensor] = list(model.state_dict().values())
    elif how.lora is None:
        tensors = [
            each
            for module in _last_blocks(model, trace, how)
            for each in (*module.parameters(recurse=False), *module.buffers(recurse=False))
        ]
    else:
        modules, parameters = _targets(trace)
        weights = [model.get_parameter(f"{each}.weight") for each in modules]
        weights += [model.get_parameter(each) for each in parameters]
        return 4 * how.lora.rank * sum(each[0].numel() + len(each) for each in weights)
    return sum(each.numel() * each.element_size() for each in tensors)


def _last_blocks(model: nn.Module, trace: Trace, how: Adapt) -> list[nn.Module]:
    """Return every module from the first tuned block on."""
    n, blocks = how.last_blocks or 0, trace.blocks
    if n > len(blocks):
        raise InputError(
            f"{_KEY}.last_blocks",
            str(n),
            f"at most the {len(blocks)} blocks of {trace.name}",
            "Lower it, or set tuning.adapt: all.",
        )
    names = [each for each, _ in model.named_modules()]
    return list(model.modules())[names.index(blocks[-n]) :]


def _targets(trace: Trace) -> tuple[list[str], list[str]]:
    """Return the modules and parameters that adapters are put beside."""
    from cortune.networks.families import find_family

    blocks = trace.blocks
    called = trace.called(blocks[0], blocks[-1]) if blocks else []
    modules, parameters = find_family(trace.name)[0].lora_targets(trace.model, called)
    if not modules and not parameters:
        raise InputError(
            f"{_KEY}.lora",
            f"{trace.name}, which has no layer that an adapter could be put beside",
            "a network with linear layers, convolutions or attention that a forward pass calls",
            "Set tuning.adapt: all, or last_blocks.",
        )
    return modules, parameters
