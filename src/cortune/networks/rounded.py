"""Products of bfloat16 on a processor that does not multiply them itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

_PRODUCTS = {
    torch.ops.aten.addmm.default,
    torch.ops.aten.baddbmm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
    torch.ops.aten.mm.default,
}


class ProductsInFloat32(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Multiply bfloat16 in float32 and round the sums, as processors with instructions do.

    Factors and results are bfloat16, and sums are float32, on either; the order of the sums
    differs. Fused attention is left to torch's own kernel.
    """

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _PRODUCTS or args[0].dtype != torch.bfloat16:
            return func(*args, **kwargs)
        widened = tree_map_only(torch.Tensor, torch.Tensor.float, (args, dict(kwargs)))
        return tree_map_only(torch.Tensor, torch.Tensor.bfloat16, func(*widened[0], **widened[1]))
