"""What running the backbone once costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from cortune.config import Config


@dataclass(frozen=True)
class Shape:
    """What running a network once costs.

    Parameters
    ----------
    gflop : float
        Of one forward pass of one image.
    widths : mapping of str to int
        Features of each layer that is used.
    n_bytes : int
        Of its weights.
    """

    gflop: float
    widths: Mapping[str, int]
    n_bytes: int


def shape_of(config: Config) -> Shape:
    """Count the operations, features and weights of the backbone, without running it.

    Raises
    ------
    InputError
        If there is no such network or layer.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cortune.networks.backbones import build_backbone
    from cortune.networks.layers import captured_layers, check_layers

    layers = [*config.backbone.layers, *(probe.layer for probe in config.probes.values())]
    size = config.backbone.input_size
    with torch.device("meta"):
        model = build_backbone(config.backbone.name).eval()
        image = torch.zeros(1, 3, size, size)
    check_layers(model, layers)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter, captured_layers(model, layers) as outputs:
        model(image)
        widths = {layer: prod(outputs[layer].shape) for layer in layers}
    n_bytes = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return Shape(counter.get_total_flops() / 1e9, widths, n_bytes)
