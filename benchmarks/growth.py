"""How time and memory of the encoding stage grow with images, voxels and layers.

One quantity is doubled at a time; every run is a process of its own. The exponent is the
slope of log time (or of log memory above what an idle process takes) against log size.

    python benchmarks/growth.py
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from timing import exponent, in_child, once, peak_bytes

START = {"images": 350, "voxels": 1000, "layers": 2}
SIZES = {"images": (350, 700, 1400), "voxels": (1000, 4000, 16000), "layers": (2, 4, 8)}
N_COMPONENTS = 1000


def child(images: int, voxels: int, layers: int) -> dict[str, float]:
    """Encode one unit; return seconds and the peak memory of the process."""
    from cortune.encoding.protocols import Settings, encode_unit

    rng = np.random.default_rng(0)
    X = rng.standard_normal((images, 2000), dtype=np.float32) / np.arange(1, 2001) ** 0.5
    gram = (X @ X.T).astype(np.float32)
    Y = rng.standard_normal((images, voxels), dtype=np.float32)
    grams = {f"layer{number}": gram for number in range(layers)}
    settings = Settings(np.logspace(-1, 7, 9).tolist(), n_components=N_COMPONENTS)
    idle = peak_bytes()
    seconds = once(lambda: encode_unit(grams, Y, {"test": np.arange(images)}, settings)).median
    return {
        "seconds": seconds,
        "added_gb": (peak_bytes() - idle) / 1e9,
        "peak_gb": peak_bytes() / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=3, type=int, metavar=("IMAGES", "VOXELS", "LAYERS"))
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(*options.child)))
        return
    rows = []
    for quantity, sizes in SIZES.items():
        runs = [
            in_child("growth.py", "--child", *{**START, quantity: size}.values()) for size in sizes
        ]
        rows.append(
            {
                "what": f"encoding of one unit against {quantity} ({', '.join(map(str, sizes))})",
                "seconds_by_size": [run["seconds"] for run in runs],
                "peak_gb_by_size": [run["peak_gb"] for run in runs],
                "time_exponent": exponent(sizes, [run["seconds"] for run in runs]),
                "memory_exponent": exponent(sizes, [run["added_gb"] for run in runs]),
            }
        )
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
