"""Peak memory of extracting every block of ViT-B/16, all tokens, from many images.

151 296 features a block, twelve blocks: 7.3 GB of features for 1000 images, 36 GB for 5000.
They are kept in a scratch file of `--scratch-gb` at most; the network runs once where that
suffices. Against: the size of these features in memory. Random weights.

    python benchmarks/memory.py [--images 1000 5000] [--scratch-gb 100]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from timing import in_child, once, peak_bytes

LAYERS = [f"encoder.layers.encoder_layer_{number}" for number in range(12)]
N_FEATURES = 197 * 768


def child(n_images: int, scratch_gb: float) -> dict[str, float]:
    """Extract features of all layers; return seconds, peak bytes and passes."""
    from cortune.data.units import ImageSet
    from cortune.features import Space, extract_features
    from cortune.networks.backbones import build_backbone
    from cortune.networks.device import choose_runtime
    from cortune.networks.store import save_network
    from cortune.versions import Provenance

    provenance, space = (
        Provenance("extract_features", "0-00000000", 0),
        Space(1e9, scratch_gb * 1e9),
    )
    with tempfile.TemporaryDirectory() as here:
        folder = Path(here)
        model = build_backbone("vit_b_16")
        name = {"name": "torchvision/vit_b_16", "num_classes": 1000}
        save_network(folder / "network.safetensors", model, provenance, **name)
        del model
        pictures = np.lib.format.open_memmap(
            folder / "images.npy", "w+", np.uint8, (n_images, 224, 224, 3)
        )
        rng = np.random.default_rng(0)
        for picture in pictures:
            picture[:] = rng.integers(0, 256, picture.shape, dtype=np.uint8)
        names = tuple(map(str, range(n_images)))
        images = ImageSet(pictures, np.arange(n_images), names, np.repeat("test", n_images))

        def run() -> None:
            extract_features(
                folder / "network.safetensors",
                LAYERS,
                images,
                folder / "grams.h5",
                provenance,
                choose_runtime("cpu", "float32"),
                batch_size=32,
                space=space,
            )

        seconds = once(run).median
    passes = len(space.passes(n_images, [N_FEATURES] * len(LAYERS)))
    return {"seconds": seconds, "peak_gb": peak_bytes() / 1e9, "forward_passes_per_image": passes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--scratch-gb", type=float, default=100.0)
    parser.add_argument("--child", action="store_true")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.images[0], options.scratch_gb)))
        return
    rows = [
        {
            "what": f"all tokens of ViT-B/16's 12 blocks, {n} images",
            "against": "their features in memory",
            "peak_gb_other": 4 * n * N_FEATURES * len(LAYERS) / 1e9,
            **in_child("memory.py", "--child", "--images", n, "--scratch-gb", options.scratch_gb),
        }
        for n in options.images
    ]
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
