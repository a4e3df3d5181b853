"""One network's whole evaluation, from picture files to a score per voxel and layer.

Ours decodes every picture once, runs the network once, keeps a Gram matrix per layer and
fits all folds from it. The other is a plain reimplementation of the published loop: per fold
and layer it decodes and runs the images that fit once for the PCA and once more for its
scores, then the held-out images; scikit-learn's PCA in float64, Ridge per penalty, scipy's
pearsonr per voxel. Its folds cost the same, so `--folds` of them are timed and the time is
scaled to all five; both sides' forward passes are counted, not assumed.

    python benchmarks/evaluation.py [--images 1400] [--folds 1]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import once
from torch import nn

from cortune.config import Alphas
from cortune.data.images import Framing, build_cache, open_cache, read_picture
from cortune.data.records import Images
from cortune.encoding.folds import PROTOCOLS, Plan
from cortune.encoding.protocols import Settings, encode
from cortune.features import extract_layers, gram_matrix
from cortune.networks.backbones import build_backbone, normalise
from cortune.networks.device import choose_runtime
from cortune.networks.layers import captured_layers
from cortune.simulate import render_scene

LAYERS = (
    "features.2", "features.5", "features.7", "features.9",
    "features.12", "classifier.2", "classifier.5", "classifier.6",
)  # fmt: skip
SIZE, STORED_SIZE, BATCH, N_FOLDS, N_COMPONENTS = 224, 425, 128, 5, 1000
ALPHAS = Alphas().values()


class Counter:
    """Counts the images that a network is run on."""

    def __init__(self, model: nn.Module) -> None:
        self.images = 0
        model.register_forward_pre_hook(self._count)

    def _count(self, _module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.images += len(inputs[0])

    def take(self) -> int:
        """Return the count and start afresh."""
        count, self.images = self.images, 0
        return count


def make_pictures(folder: Path, n_images: int) -> list[Path]:
    paths = []
    for identity in range(n_images):
        scene = render_scene(identity, size=64, n_classes=20, seed=0)
        paths.append(folder / f"{identity:05d}.png")
        picture = Image.fromarray(scene.image).resize((STORED_SIZE, STORED_SIZE))
        picture.save(paths[-1], compress_level=1)
    return paths


def ours(model: nn.Module, paths: list[Path], Y: np.ndarray, plan: Plan, folder: Path):
    """Decode, run, keep Grams, fit and score, as prepare_images to encode_roi do."""
    images = Images(tuple(f"stim:{path.name}" for path in paths), tuple(paths))
    build_cache(images, Framing(SIZE), folder / "images.npy", workers=torch.get_num_threads())
    runtime = choose_runtime("auto", "float32")
    features = extract_layers(
        model, LAYERS, open_cache(folder / "images.npy"), np.arange(len(paths)), runtime
    )
    grams = {layer: gram_matrix(features.pop(layer)).astype(np.float32) for layer in list(features)}
    settings = Settings(ALPHAS, n_components=N_COMPONENTS)
    return encode(grams, Y, {"published": plan}, settings)["published"]


def published_fold(model: nn.Module, paths: list[Path], Y: np.ndarray, fit, score):
    """Return r (n_layers, n_voxels) of one fold, the way the published loop gets it."""
    from scipy.stats import pearsonr
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge

    def batches(rows):
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            pixels = np.stack([read_picture(paths[row], SIZE) for row in chosen])
            yield normalise(torch.from_numpy(pixels), model)

    def run(layer, images):
        with torch.no_grad(), captured_layers(model, [layer]) as outputs:
            model(images)
            return outputs[layer].numpy()

    best = np.zeros((len(LAYERS), Y.shape[1]))
    for row, layer in zip(best, LAYERS, strict=True):
        features = np.concatenate([run(layer, images) for images in batches(fit)], dtype=float)
        pca = PCA(n_components=min(N_COMPONENTS, len(fit)), random_state=0).fit(features)
        del features
        X, X_score = (
            np.concatenate([pca.transform(run(layer, images)) for images in batches(rows)])
            for rows in (fit, score)
        )
        for alpha in ALPHAS:
            predicted = Ridge(alpha=alpha).fit(X, Y[fit]).predict(X_score)
            for voxel in range(Y.shape[1]):
                r = pearsonr(Y[score, voxel], predicted[:, voxel])[0]
                row[voxel] = max(row[voxel], r)
    return best


def product_gflop(model: nn.Module, n_images: int) -> float:
    """Count the operations of one forward pass per image and of the Gram matrices."""
    from torch.utils.flop_counter import FlopCounterMode

    image = torch.zeros(1, 3, SIZE, SIZE)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter, captured_layers(model, LAYERS) as outputs:
        model(image)
        width = sum(outputs[layer].numel() for layer in LAYERS)
    return (n_images * counter.get_total_flops() + n_images**2 * width) / 1e9


def measure(n_images: int, n_voxels: int, n_folds: int, runs: int) -> dict:
    torch.manual_seed(0)
    model = build_backbone("alexnet", seed=0, num_classes=1000).eval()
    gflop = product_gflop(model, n_images)
    counter = Counter(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_pictures(folder, n_images)
        rng = np.random.default_rng(0)
        pixels = np.stack([read_picture(path, 16) for path in paths]).reshape(n_images, -1)
        pixels = pixels / pixels.std()
        Y = pixels @ rng.standard_normal((pixels.shape[1], n_voxels)) / pixels.shape[1] ** 0.5
        Y = (Y + Y.std() * rng.standard_normal(Y.shape)).astype(np.float32)
        plan = PROTOCOLS["published"]({"test": np.arange(n_images)}, N_FOLDS, 0)
        seconds = [once(lambda: ours(model, paths, Y, plan, folder)).median for _ in range(runs)]
        passes = counter.take() / n_images / runs
        found: list[np.ndarray] = []
        slow = once(
            lambda: found.extend(
                published_fold(model, paths, Y, list(split.fit), list(split.score))
                for split in plan.outer[:n_folds]
            )
        )
        passes_other = counter.take() / n_images * N_FOLDS / n_folds
        first = plan.outer[0]
        one = Plan(outer=(first,), inner=((first,),))
        # The published loop starts from zero: a voxel that is never better stays there.
        r = np.maximum(ours(model, paths, Y, one, folder).r_layers, 0)
        difference = np.abs(r - found[0]).max()
    median = float(np.median(seconds))
    total = slow.median * N_FOLDS / n_folds
    return {
        "what": f"whole evaluation, AlexNet, 8 layers x 5 folds, n={n_images}, V={n_voxels}",
        "against": f"published loop ({n_folds} of 5 folds timed)",
        "seconds": median,
        "seconds_other": total,
        "runs": runs,
        "runs_other": 1,
        "ratio": total / median,
        "max_abs_r_difference": float(difference),
        "gemm_gflop": gflop,
        "forward_passes_per_image": passes,
        "forward_passes_per_image_other": passes_other,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1400)
    parser.add_argument("--voxels", type=int, default=700)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    row = measure(options.images, options.voxels, options.folds, options.runs)
    print(json.dumps({"rows": [row]}))


if __name__ == "__main__":
    main()
