"""Encoding the ROIs of a subject from one network: decomposed once, or once for each ROI.

A subject of the size of NSD's under the paper's split: 1500 test images, five folds of
``heldout_cv`` and ``published``, 1000 components; ROIs of 700 voxels. Both ways end with the same
bytes, which is checked. Times of a layer grow linearly with layers and ROIs.

    python benchmarks/components.py [--images 1500] [--layers 2] [--rois 4]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
from timing import once, peak_bytes

from cortune.artifacts import hdf5_writer
from cortune.data.splits import SETS
from cortune.encoding import Settings, encode_unit
from cortune.encoding.components import decompose_features, read_components
from cortune.features import Grams
from cortune.versions import Provenance

N_FEATURES, N_FOLDS, PROTOCOLS = 4096, 5, ("heldout_cv", "published")
SUBJECT = 40
"""ROIs of an NSD subject, both hemispheres."""
PROVENANCE = Provenance("components", "0-00000000", 0)


def write_grams(path: Path, n: int, n_layers: int) -> None:
    rng = np.random.default_rng(0)
    with hdf5_writer(path, PROVENANCE) as file:
        file["identities"] = np.char.encode(np.arange(n).astype(str))
        file["sets"] = np.char.encode(np.full(n, "test"))
        file["tuned_on"] = np.array([], "S1")
        file.attrs["layers"] = [f"layer{number}" for number in range(n_layers)]
        for number in range(n_layers):
            spectrum = 1 / np.sqrt(np.arange(1, N_FEATURES + 1))
            X = (rng.standard_normal((n, N_FEATURES)) * spectrum).astype(np.float32)
            X -= X.mean(0)
            file[f"layers/layer{number}"] = X @ X.T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--voxels", type=int, default=700)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--rois", type=int, default=4)
    asked = parser.parse_args()
    settings = Settings(alphas=np.logspace(-1, 7, 9))
    rng = np.random.default_rng(1)
    rois = rng.standard_normal((asked.rois, asked.images, asked.voxels)).astype(np.float32)
    found: dict[bool, list] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        grams, components = Path(folder, "grams.h5"), Path(folder, "components.h5")
        write_grams(grams, asked.images, asked.layers)

        def encode(shared: bool, targets: np.ndarray = rois) -> None:
            with h5py.File(grams) as file, h5py.File(components) as kept:
                network = Grams(file)
                sets = {name: network.sets == name for name in SETS}
                for Y in targets:
                    models = (lambda layer: read_components(kept, layer, None)) if shared else None
                    made = encode_unit(
                        network, Y, sets, settings,
                        protocols=PROTOCOLS, n_folds=N_FOLDS, models=models,
                    )  # fmt: skip
                    found[shared].append(made["heldout_cv"].r)

        decompose = once(
            lambda: decompose_features(
                grams, components, PROVENANCE, protocols=PROTOCOLS, n_folds=N_FOLDS,
                n_components=settings.n_components, seed=0,
            )
        )  # fmt: skip
        size = components.stat().st_size
        encode(True, rois[:1, :, :2])  # imports
        found[True].clear()
        given, anew = once(lambda: encode(True)), once(lambda: encode(False))
    np.testing.assert_array_equal(found[True], found[False])
    once_, each, anew_ = (
        timing.median / asked.layers / rois
        for timing, rois in ((decompose, 1), (given, asked.rois), (anew, asked.rois))
    )
    ours, theirs = once_ + SUBJECT * each, SUBJECT * anew_
    row = {
        "what": f"encoding of {SUBJECT} ROIs from a layer, n={asked.images}, V={asked.voxels} "
        f"(computed from {asked.rois} ROIs)",
        "against": "decomposed anew for each ROI",
        "seconds": ours,
        "seconds_other": theirs,
        "ratio": theirs / ours,
        "decompose_s": once_,
        "roi_s": each,
        "roi_anew_s": anew_,
        "kept_mb": size / asked.layers / 1e6,
        "peak_gb": peak_bytes() / 1e9,
    }
    print(json.dumps({"rows": [row]}))


if __name__ == "__main__":
    main()
