"""PyTorch's optimizers, fused and without its compiler.

Optimizers mark some of their methods as not to be compiled, and import the compiler to do
so: 1.6 s a job, as long as torch itself, in jobs that compile nothing. The classes here run
the same methods unmarked; steps are the same to the last bit.

They update all parameters in one kernel (``fused``), unless told otherwise: AlexNet's in a
sixth of the time that PyTorch's default takes on a CPU.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

_MARKED = ("add_param_group", "zero_grad", "state_dict")


def _uncompiled(kind: type[torch.optim.Optimizer]) -> Any:
    """Return a subclass whose methods are those that `kind` wraps."""
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _MARKED}
    # The wrapper of `step` also switches gradients off.
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))

    def __init__(self: Any, params: Any, *, fused: bool = True, **options: Any) -> None:
        kind.__init__(self, params, fused=fused, **options)  # type: ignore[call-arg]

    def load_state_dict(self: Any, state_dict: Any) -> None:
        inspect.unwrap(kind.load_state_dict)(self, state_dict)
        # A fused step pairs numbers as they lie in memory: state that comes from a file must
        # be laid out as its parameter, whose channels may be last.
        for parameter, moments in self.state.items():
            for name, value in moments.items():
                if value.shape == parameter.shape:
                    moments[name] = torch.empty_like(parameter).copy_(value)

    methods |= {"__init__": __init__, "load_state_dict": load_state_dict}
    return type(kind.__name__, (kind,), methods)


Adam: type[torch.optim.Adam] = _uncompiled(torch.optim.Adam)
AdamW: type[torch.optim.AdamW] = _uncompiled(torch.optim.AdamW)
