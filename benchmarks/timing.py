"""Paired timings and peak memory, for the measurements of this folder."""

from __future__ import annotations

import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Timing:
    """Seconds of each run, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def paired(contestants: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, Timing]:
    """Time functions in turn, `runs` rounds after one warm-up round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in range(runs + 1):
        for name, function in contestants.items():
            gc.collect()
            started = time.perf_counter()
            function()
            if run:
                seconds[name].append(time.perf_counter() - started)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def ratio(slow: Timing, fast: Timing) -> float:
    """Return how many times as fast, the median over rounds."""
    return statistics.median(a / b for a, b in zip(slow.seconds, fast.seconds, strict=True))


def once(function: Callable[[], Any]) -> Timing:
    """Time one run of something too slow to repeat."""
    started = time.perf_counter()
    function()
    return Timing((time.perf_counter() - started,))


def peak_bytes() -> int:
    """Return the largest resident size that this process has had."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM: peak memory is measured on Linux only")


def in_child(script: str, *arguments: object) -> dict[str, Any]:
    """Run a script of this folder in a process of its own; return the JSON it prints last."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def gemm_rate(dtype: str, size: int = 3000) -> float:
    """Return how many GFLOP/s a large matrix product reaches here, at best of three."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
    a @ a
    best = min(once(lambda: a @ a).median for _ in range(3))
    return 2 * size**3 / best / 1e9


def machine(threads: int) -> dict[str, Any]:
    """Return what the timings depend on."""
    from importlib.metadata import version

    libraries = ("numpy", "scipy", "torch", "scikit-learn", "himalaya")
    return {
        "processor": _processor(),
        "threads": threads,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in libraries},
        "gemm_gflops": {dtype: round(gemm_rate(dtype), 1) for dtype in ("float32", "float64")},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of log value against log size."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
