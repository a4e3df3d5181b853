"""Pictures to predicted responses, against the bare forward pass of the network alone.

And what float16 saves and costs, of an encoder that is fitted to simulated responses.
"""

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


def fitted(folder: Path, dtype: str, n_images: int = 600) -> dict[str, float]:
    """Fit AlexNet's map to a simulated subject; return its megabytes and the loss told."""
    from types import SimpleNamespace

    from cortune.artifacts import read_json
    from cortune.data import open_dataset, prepare_images, prepare_responses, split_images
    from cortune.data.images import Framing, read_index
    from cortune.data.units import load_images
    from cortune.encoding import Settings
    from cortune.export.fit import Target, fit_encoder
    from cortune.networks.device import choose_runtime
    from cortune.simulate import simulate_layout
    from cortune.simulate.spec import SimulationSpec
    from cortune.versions import Provenance

    provenance, tree = Provenance("benchmark", "1-00000000", 0), folder / "tree"
    names = ("images.npy", "index.csv", "split.csv", "responses.h5")
    images, index, split, responses = (str(folder / name) for name in names)
    if not tree.exists():
        sizes = {
            "n_images": n_images,
            "n_shared": n_images // 6,
            "image_size": 96,
            "vertices": {"V1v": 500},
        }
        spec = SimulationSpec.from_mapping(sizes)
        simulate_layout("algonauts2023", tree, ["subj01"], spec, seed=0)
        reader = open_dataset("algonauts2023", tree)
        prepare_images(reader, "subj01", Framing(224), images, index, provenance)
        prepare_responses(reader, "subj01", "lh", responses, provenance)
        shares = {"tune": 0.0, "validation": 0.0, "test": 1.0}
        split_images(read_index(index), 0, shares, split, provenance)
    maps, config = folder / f"{dtype}.safetensors", folder / f"{dtype}.json"
    fit_encoder(
        folder / "network.safetensors",
        ["features.5", "features.12"],
        load_images(SimpleNamespace(images=images, index=index, split=split)),
        [Target("nsd", "subj01", "lh", "V1v", responses)],
        maps,
        config,
        provenance,
        choose_runtime("cpu", "float32"),
        Settings(np.logspace(-1, 7, 9), n_components=500),
        fit="untouched",
        dtype=dtype,
        n_folds=5,
    )
    told = read_json(config)["cortune"]
    return {"megabytes": maps.stat().st_size / 1e6, "loss": told["dtype_loss"]} | {
        key: told["units"][0][key] for key in ("r", "layer")
    }


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
        precise, half = (fitted(folder, dtype) for dtype in ("float32", "float16"))
    row = {
        "what": f"prediction, AlexNet, {n} JPEG of 425 pixels to {N_VOXELS} voxels",
        "against": "bare forward pass of tensors in memory",
        "images_per_s": n / times["ours"].median,
        "images_per_s_other": n / times["bare"].median,
        "ratio": ratio(times["bare"], times["ours"]),
    }
    cost = {
        "what": f"float16 maps of {precise['layer']}, r = {precise['r']:.3f}, 600 images",
        "against": "float32 maps",
        "megabytes": half["megabytes"],
        "megabytes_other": precise["megabytes"],
        "change_of_predictions": half["loss"],
        "ratio": precise["megabytes"] / half["megabytes"],
    }
    print(json.dumps({"rows": [row, cost]}))


if __name__ == "__main__":
    main()
