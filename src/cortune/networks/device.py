"""Where networks run, and in which precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cortune.errors import ResourceError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Runtime:
    """A device and the precision of forward passes on it.

    Parameters
    ----------
    device : torch.device
    bfloat16 : bool
        Whether matrix products and convolutions are autocast to bfloat16. Parameters,
        losses and similarities stay float32.
    native : bool
        Whether the device multiplies bfloat16 itself.
    """

    device: torch.device
    bfloat16: bool
    native: bool = True

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Be in the context for forward passes."""
        import torch

        kind = self.device.type
        with self.products(), torch.autocast(kind, torch.bfloat16, enabled=self.bfloat16):
            yield

    def products(self) -> AbstractContextManager[object]:
        """Return the context for backward passes: of how products of bfloat16 are computed.

        A device that does not multiply them itself (torch then takes ten times as long as for
        float32) multiplies in float32 the same factors, and rounds the sums.
        """
        if self.native or not self.bfloat16:
            return nullcontext()
        from cortune.networks.rounded import ProductsInFloat32

        return ProductsInFloat32()  # type: ignore[no-untyped-call]

    @property
    def array_device(self) -> str | None:
        """Device of array computations (:mod:`cortune.arrays`).

        None is NumPy, which on a CPU multiplies as fast as torch, without a copy.
        """
        return None if self.device.type == "cpu" else str(self.device)

    def notes(self) -> dict[str, str]:
        """Return what of the runtime decides the bytes of a result, for provenance."""
        return {
            "device": self.device.type,
            "precision": "bfloat16" if self.bfloat16 else "float32",
        }


def choose_runtime(device: str = "auto", precision: str = "auto", *, threads: int = 0) -> Runtime:
    """Resolve the device and precision, and make torch deterministic on it.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. Of several GPUs, ``auto`` and ``cuda`` take
        one that no other job has (:mod:`cortune.networks.gpus`).
    precision : str
        ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the device multiplies it
        natively (measured on such a CPU: 2.2 times the images per second).
    threads : int
        CPU threads; 0 leaves torch's choice.

    Raises
    ------
    ResourceError
        If CUDA is asked for and there is none.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ResourceError(
            f"device: found no CUDA device, expected one for {device!r}. Set device: auto or cpu, "
            "or run on a machine with a GPU."
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = _own_gpu()
    if device != "cpu":
        # The kernels used here are deterministic on a CPU, and asking for it imports torch's
        # compiler, which takes longer than many a job.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    native = torch.cuda.is_bf16_supported(False) if device != "cpu" else _cpu_has_bfloat16()
    bfloat16 = precision == "bfloat16" or (precision == "auto" and native)
    return Runtime(torch.device(device), bfloat16, native)


def _own_gpu() -> str:
    """Return the GPU for this process, and make it torch's default."""
    import torch

    from cortune.networks.gpus import identities, take_device

    properties = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    index = take_device(identities(properties, os.environ.get("CUDA_VISIBLE_DEVICES")))
    torch.cuda.set_device(index)
    return f"cuda:{index}"


def _cpu_has_bfloat16() -> bool:
    """Return whether the CPU has AVX-512 BF16 or AMX instructions."""
    import torch

    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
