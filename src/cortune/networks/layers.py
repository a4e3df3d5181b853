"""Outputs of named layers, several in one forward pass."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cortune.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn


def check_layers(model: nn.Module, layers: Sequence[str], where: str = "backbone.layers") -> None:
    """Make sure that a network has the named layers.

    Parameters
    ----------
    model : nn.Module
    layers : sequence of str
    where : str
        Configuration key of the names, for the message.

    Raises
    ------
    InputError
        Naming the first layer that does not exist, and the nearest that does.
    """
    names = [name for name, _ in model.named_modules() if name]
    for layer in layers:
        if layer not in names:
            close = difflib.get_close_matches(layer, names, n=3)
            raise InputError(
                where,
                repr(layer),
                f"the name of a module of {type(model).__name__}",
                f"Did you mean {' or '.join(close)}?"
                if close
                else f"It has {', '.join(names[:20])}.",
            )


@contextmanager
def captured_layers(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that each forward pass fills with the layers' flattened outputs.

    Outputs are copied as they pass, (n_images, n_features), since a later in-place ReLU
    would change them. The hooks are removed on exit.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        outputs[name] = output.detach().flatten(1).clone()

    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda _m, _i, output, name=name: keep(name, output))
        for name in layers
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def layer_width(model: nn.Module, layer: str, input_size: int) -> int:
    """Return the number of features of a layer for square images of a size."""
    import torch

    was_training = model.training
    with torch.no_grad(), captured_layers(model.eval(), [layer]) as outputs:
        model(torch.zeros(1, 3, input_size, input_size))
    model.train(was_training)
    return outputs[layer].shape[1]
