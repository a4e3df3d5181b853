"""What subjects share decides what transfers between them: tested on brains of known truth.

Two pairs of subjects are simulated, one whose tuning correlates and one whose does not, and
networks are tuned from the demo's backbone with the demo's recipe.
"""

from __future__ import annotations

from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from cortune.config import Config
from cortune.data import open_dataset, prepare_images, prepare_responses, split_images
from cortune.data.images import read_index
from cortune.data.units import UnitPaths, load_unit
from cortune.encoding import Settings
from cortune.networks.device import choose_runtime
from cortune.simulate import SimulationSpec, simulate_algonauts
from cortune.transfer import Target, read_transfer, transfer_network
from cortune.tuning.stages import tune_network
from cortune.versions import Provenance

pytestmark = pytest.mark.workflow
PROVENANCE = Provenance("tune_network", "1-00000000", 0)
UNITS = (("lh", "V1v"), ("rh", "V1d"))


@pytest.fixture(scope="module")
def config(demo):
    return Config.from_file(demo.folder / "config.yaml")


@pytest.fixture(scope="module")
def backbone(demo):
    (path,) = (demo.folder / "results" / "pretrain_backbone").glob("*/network.safetensors")
    return path


def write_world(folder, config, correlation):
    """Two subjects' prepared files by hemisphere; and the folder with their truth."""
    spec = SimulationSpec.from_mapping(
        {
            **config.datasets["nsd"].simulate,
            "tuning_correlation": correlation,
            "vertices": {"V1v": 100, "V1d": 100},
        }
    )
    simulate_algonauts(folder / "data", ["subj01", "subj02"], spec, seed=0)
    reader = open_dataset("algonauts2023", folder / "data")
    paths = {}
    for subject in ("subj01", "subj02"):
        here = folder / subject
        images, index, split = here / "images.npy", here / "index.csv", here / "split.csv"
        prepare_images(reader, subject, 64, images, index, PROVENANCE)
        split_images(read_index(index), 0, vars(config.split), split, PROVENANCE)
        for side in ("lh", "rh"):
            responses = here / f"{side}.h5"
            prepare_responses(reader, subject, side, responses, PROVENANCE)
            paths[subject, side] = UnitPaths(*map(str, (images, index, split, responses)))
    return paths


def gains(folder, config, backbone, paths):
    """Mean r on the second subject, of networks tuned to the first less the untuned one."""
    runtime = choose_runtime("cpu", "auto", threads=1)
    settings = Settings(config.encoding.alphas.values(), n_bootstrap=100)
    found = []
    for side, roi in UNITS:
        out = SimpleNamespace(
            network=folder / f"{roi}.safetensors",
            history=folder / f"{roi}.csv",
            embeddings=folder / f"{roi}.h5",
        )
        unit = load_unit(paths["subj01", side], roi)
        tune_network("contrastive", unit, config.contrastive, backbone, out, PROVENANCE, runtime)
        r = []
        for network in (out.network, backbone):
            target = Target("subj02", (roi,), paths["subj02", side])
            path = folder / "transfer.h5"
            transfer_network(
                network, config.backbone.layers, [target], path, PROVENANCE,
                choose_runtime("cpu", "float32", threads=1), settings,
                protocol="heldout_cv", n_folds=3,
            )  # fmt: skip
            r.append(float(np.nanmean(read_transfer(path)["subj02", roi].r)))
        found.append(r[0] - r[1])
    return np.array(found)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory, config, backbone):
    found = {}
    for correlation in (0.0, 0.8):
        folder = tmp_path_factory.mktemp("world")
        paths = write_world(folder, config, correlation)
        found[correlation] = folder, gains(folder, config, backbone, paths)
    return found


def test_the_truth_is_as_shared_as_was_asked_for(worlds):
    overlap = {}
    for correlation, (folder, _) in worlds.items():
        tuning = []
        for subject in ("subj01", "subj02"):
            with h5py.File(folder / "truth" / subject / "lh.h5") as truth:
                tuning.append(truth["tuning"][:].mean(0))
        overlap[correlation] = np.corrcoef(*tuning)[0, 1]
    assert overlap[0.8] > overlap[0.0] + 0.2


def test_transfer_gains_with_shared_tuning_and_not_without(worlds):
    shared, unshared = worlds[0.8][1], worlds[0.0][1]
    assert (shared > 0.01).all(), shared
    assert (unshared < 0.01).all(), unshared
    assert shared.mean() > unshared.mean() + 0.02


def test_a_pool_of_others_serves_better_than_one_other(demo):
    """pooled_loso against transfer from single subjects, lh and rh V1v of every subject."""
    config = yaml.safe_load((demo.folder / "config.yaml").read_text())
    config["tuning"]["methods"].append("pooled_loso")
    config["datasets"]["nsd"]["rois"] = ["V1v"]
    config["transfer"] = {"subjects": True, "methods": ["contrastive", "pooled_loso"]}
    path = demo.write_config(config, "loso.yaml")
    demo.run(path, "--until", "tabulate_transfer")
    tables = sorted(
        (demo.folder / "results" / "tabulate_transfer").glob("*/transfer_subjects.csv"),
        key=lambda file: file.stat().st_mtime,
    )
    table = pd.read_csv(tables[-1])
    pooled = table[table["method"] == "pooled_loso"]
    assert len(pooled) == 6 and set(pooled["source_subject"]) == {"others"}
    single = table[table["method"] == "contrastive"]
    key = ["target_subject", "hemisphere"]
    gain = pooled.set_index(key)["r_diff_mean"] - single.groupby(key)["r_diff_mean"].mean()
    assert gain.mean() > 0, gain
    assert pooled["r_diff_mean"].mean() > 0.02
