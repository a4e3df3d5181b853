"""Pictures to predicted responses, against the bare forward pass of the network alone."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from timing import paired, ratio

N_VOXELS, N_COMPONENTS, N_FEATURES = 5000, 1000, 9216


def write_encoder(folder: Path, size: int) -> None:
    """Write AlexNet with a map of random numbers from its last convolution."""
    from cortune.artifacts import write_json, write_safetensors
    from cortune.export.encoder import FORMAT
    from cortune.networks.backbones import build_backbone
    from cortune.networks.store import save_network
    from cortune.versions import Provenance

    provenance = Provenance("benchmark", "1-00000000", 0)
    network = build_backbone("alexnet")
    save_network(folder / "network.safetensors", network, provenance, num_classes=1000)
    draw = np.random.default_rng(0)
    shapes = {"weights": (N_COMPONENTS, N_VOXELS), "scale": (N_COMPONENTS,)}
    shapes |= dict.fromkeys(("intercept", "noise_ceiling", "r", "alpha"), (N_VOXELS,))
    arrays = {
        f"lh/V1/{name}": draw.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    arrays |= {f"lh/V1/{name}": np.arange(N_VOXELS) for name in ("vertices", "mesh_vertices")}
    arrays["features.12/mean"] = np.zeros(N_FEATURES, np.float32)
    shape = (N_FEATURES, N_COMPONENTS)
    arrays["features.12/components"] = draw.normal(size=shape).astype(np.float32)
    write_safetensors(folder / "encoder.safetensors", arrays, provenance)
    unit = {"dataset": "x", "subject": "s", "hemisphere": "lh", "roi": "V1", "layer": "features.12"}
    unit |= {"n_voxels": N_VOXELS, "n_images_fit": 0}
    unit |= dict.fromkeys(("r", "r_ci_low", "r_ci_high", "ceiling_r"))
    config = {
        "format": FORMAT,
        "network": {"file": "network.safetensors", "name": "alexnet", "num_classes": 1000},
        "framing": {"size": size},
        "tokens": "all",
        "units": [unit],
    }
    write_json(folder / "config.json", {"cortune": config})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    import torch
    from PIL import Image

    from cortune.export.encoder import Encoder
    from cortune.networks.backbones import normalise

    size, n = 224, options.images
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_encoder(folder, size)
        (folder / "pictures").mkdir()
        for index in range(n):
            coarse = Image.fromarray(draw.integers(0, 256, (27, 27, 3), dtype=np.uint8))
            coarse.resize((425, 425)).save(folder / "pictures" / f"{index:05d}.jpg")
        encoder = Encoder(folder)
        model = encoder.network.to(memory_format=torch.channels_last)
        batches = torch.zeros(n, size, size, 3, dtype=torch.uint8).split(128)

        def bare() -> None:
            with torch.no_grad():
                for batch in batches:
                    model(normalise(batch, model))

        times = paired(
            {
                "ours": lambda: encoder.predict(folder / "pictures", device="cpu"),
                "bare": bare,
            },
            options.runs,
        )
    row = {
        "what": f"prediction, AlexNet, {n} JPEG of 425 pixels to {N_VOXELS} voxels",
        "against": "bare forward pass of tensors in memory",
        "images_per_s": n / times["ours"].median,
        "images_per_s_other": n / times["bare"].median,
        "ratio": ratio(times["bare"], times["ours"]),
    }
    print(json.dumps({"rows": [row]}))


if __name__ == "__main__":
    main()
