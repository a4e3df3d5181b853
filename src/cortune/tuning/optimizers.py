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

_MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def _uncompiled(kind: type[torch.optim.Optimizer]) -> Any:
    """Return a subclass whose methods are those that `kind` wraps."""
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _MARKED}
    # The wrapper of `step` also switches gradients off.
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))

    def __init__(self: Any, params: Any, *, fused: bool = True, **options: Any) -> None:
        kind.__init__(self, params, fused=fused, **options)  # type: ignore[call-arg]

    methods["__init__"] = __init__
    return type(kind.__name__, (kind,), methods)


Adam: type[torch.optim.Adam] = _uncompiled(torch.optim.Adam)
AdamW: type[torch.optim.AdamW] = _uncompiled(torch.optim.AdamW)
