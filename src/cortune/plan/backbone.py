"""What running the backbone once costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    layers : sequence of str
        Those that features are taken of.
    tuned_bytes : int
        Of the weights that tuning changes.
    """

    gflop: float
    widths: Mapping[str, int]
    n_bytes: int
    layers: Sequence[str] = ()
    tuned_bytes: int = 0


def shape_of(config: Config) -> Shape:
    """Count the operations, features and weights of the backbone, without running it.

    Raises
    ------
    InputError
        If there is no such network or layer.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cortune.networks.adapters import changed_bytes
    from cortune.networks.backbones import planned
    from cortune.networks.layers import Trace, captured_layers, check_layers, choose_layers

    backbone = config.backbone
    origin = planned(backbone.name, backbone.weights, input_size=backbone.input_size)
    trace = Trace(origin)
    trace.require_runs()
    model = trace.model
    chosen = choose_layers(model, backbone.layers)
    layers = [*chosen, *(probe.layer for probe in config.probes.values())]
    check_layers(model, layers)
    size = origin.preprocessing.input_size
    counter = FlopCounterMode(display=False)
    device = next(model.parameters()).device
    with torch.no_grad(), counter, captured_layers(model, layers, backbone.tokens) as outputs:
        model(torch.zeros(1, 3, size, size, device=device))
        widths = {layer: prod(outputs[layer].shape) for layer in layers}
    n_bytes = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    tuned = changed_bytes(trace, config.tuning.adapt)
    return Shape(counter.get_total_flops() / 1e9, widths, n_bytes, chosen, tuned)
