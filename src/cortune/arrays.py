"""One code path for NumPy arrays and torch tensors of any device.

The numerical kernels of this package are written against the array API through
``array_api_compat``; the functions here move data in and out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
"""An array of any namespace the array API knows."""


def to_array(values: Any, device: str | None) -> Array:
    """Return `values` as a NumPy array (`device` None) or a torch tensor on `device`."""
    if device is None:
        return np.asarray(values)
    import torch

    return torch.as_tensor(np.asarray(values), device=device)


def to_numpy(values: Array) -> np.ndarray[Any, Any]:
    """Return `values` in host memory."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()
