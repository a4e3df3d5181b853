"""Time and peak memory of 1000 principal components of a convolutional layer.

8000 images of 64896 features (AlexNet's features.7), float32, in a file on disk as
extract_features keeps what does not fit in memory. Ours: Gram matrix by blocks of columns,
then its eigendecomposition: the exact components. scikit-learn: PCA(1000) on the array, which
chooses its randomised solver at this size. Each runs in a process of its own, once.

    python benchmarks/pca.py [--images 8000]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from timing import in_child, once, peak_bytes

N_FEATURES, N_COMPONENTS, BLOCK = 64896, 1000, 250


def write_features(path: Path, n_images: int) -> None:
    rng = np.random.default_rng(0)
    scale = (1 / np.sqrt(np.arange(1, N_FEATURES + 1))).astype(np.float32)
    mixing = rng.standard_normal((64, N_FEATURES), dtype=np.float32) * scale
    features = np.lib.format.open_memmap(path, "w+", np.float32, (n_images, N_FEATURES))
    for start in range(0, n_images, BLOCK):
        noise = rng.standard_normal((BLOCK, N_FEATURES), dtype=np.float32) * scale
        features[start : start + BLOCK] = (
            rng.standard_normal((BLOCK, 64), dtype=np.float32) @ mixing + noise
        )[: n_images - start]
    features.flush()


def child(who: str, path: Path) -> dict[str, float]:
    """Run one of the contestants; return seconds and peak bytes."""
    features = np.load(path, mmap_mode="r")
    if who == "cortune":
        from cortune.encoding.ridge import principal_components
        from cortune.features import gram_matrix

        def run():
            return principal_components(gram_matrix(features).astype(np.float32), N_COMPONENTS)
    else:
        from sklearn.decomposition import PCA

        def run():
            values = np.asarray(features, dtype=who)
            return PCA(N_COMPONENTS, random_state=0).fit_transform(values)

    seconds = once(run).median
    return {"seconds": seconds, "peak_gb": peak_bytes() / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--images-float64", type=int, default=2000)
    parser.add_argument("--child", nargs=2, metavar=("WHO", "FILE"))
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child[0], Path(options.child[1]))))
        return
    rows = []
    for n_images, other in (
        (options.images, "float32"),
        (options.images_float64, "float64"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "features.npy"
            write_features(path, n_images)
            ours = in_child("pca.py", "--child", "cortune", path)
            theirs = in_child("pca.py", "--child", other, path)
        rows.append(
            {
                "what": f"PCA of {N_FEATURES} features, n={n_images}, {N_COMPONENTS} components",
                "against": f"scikit-learn PCA, {other}",
                "seconds": ours["seconds"],
                "seconds_other": theirs["seconds"],
                "runs_other": 1,
                "ratio": theirs["seconds"] / ours["seconds"],
                "gemm_gflop": n_images**2 * N_FEATURES / 1e9,
                "peak_gb": ours["peak_gb"],
                "peak_gb_other": theirs["peak_gb"],
            }
        )
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
