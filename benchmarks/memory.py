"""Peak memory of extracting all blocks of a transformer, all tokens, from many images.

ViT-B/16 has 151 296 features a block, in twelve blocks: 7.3 GB of features for 1000 images, 36 GB
for 5000. They are kept in a scratch file of `--scratch-gb` at most; the network runs once where
that suffices. Against: the size of these features in memory. Random weights.

    python benchmarks/memory.py [--images 1000 5000] [--scratch-gb 100]

What depends on the number of images is the product of one layer and one block of 8192 columns; a
smaller network, whose layers are wider than one, shows it in minutes:

    python benchmarks/memory.py --network timm/vit_tiny_patch16_224 --input-size 112 --memory-gb 0.1
"""

from __future__ import annotations

import argparse
import json
import tempfile
from math import prod
from pathlib import Path

import numpy as np
from timing import in_child, once, peak_bytes


def child(options: argparse.Namespace) -> dict[str, float]:
    """Extract features of all layers; return seconds, peak bytes, passes and their size."""
    from cortune.data.units import ImageSet
    from cortune.features import Space, extract_features
    from cortune.networks.backbones import load_backbone, origin_of
    from cortune.networks.device import choose_runtime
    from cortune.networks.layers import Trace
    from cortune.networks.store import save_network
    from cortune.versions import Provenance

    n_images = options.images[0]
    provenance = Provenance("extract_features", "0-00000000", 0)
    space = Space(options.memory_gb * 1e9, options.scratch_gb * 1e9)
    with tempfile.TemporaryDirectory() as here:
        folder = Path(here)
        model = load_backbone(options.network, "random", input_size=options.input_size)
        trace = Trace(origin_of(model))
        layers = trace.auto(len(trace.blocks))
        widths = [prod(trace.layers[layer].shape) for layer in layers]
        save_network(folder / "network.safetensors", model, provenance, num_classes=1000)
        size = origin_of(model).preprocessing.input_size
        del model, trace
        pictures = np.lib.format.open_memmap(
            folder / "images.npy", "w+", np.uint8, (n_images, size, size, 3)
        )
        rng = np.random.default_rng(0)
        for picture in pictures:
            picture[:] = rng.integers(0, 256, picture.shape, dtype=np.uint8)
        names = tuple(map(str, range(n_images)))
        images = ImageSet(pictures, np.arange(n_images), names, np.repeat("test", n_images))

        def run() -> None:
            extract_features(
                folder / "network.safetensors",
                layers,
                images,
                folder / "grams.h5",
                provenance,
                choose_runtime("cpu", "float32"),
                batch_size=32,
                space=space,
            )

        seconds = once(run).median
    return {
        "seconds": seconds,
        "peak_gb": peak_bytes() / 1e9,
        "peak_gb_other": 4 * n_images * sum(widths) / 1e9,
        "forward_passes_per_image": len(space.passes(n_images, widths)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--scratch-gb", type=float, default=100.0)
    parser.add_argument("--memory-gb", type=float, default=1.0)
    parser.add_argument("--network", default="torchvision/vit_b_16")
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--child", action="store_true")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options)))
        return
    given = [
        f"--{name}={getattr(options, name.replace('-', '_'))}"
        for name in ("scratch-gb", "memory-gb", "network", "input-size")
    ]
    rows = [
        {
            "what": f"all tokens of all blocks of {options.network}, {n} images",
            "against": "their features in memory",
            **in_child("memory.py", "--child", "--images", n, *given),
        }
        for n in options.images
    ]
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
