"""The workflow on real inputs: real masks at full size, and real photographs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cortune.data.algonauts import AlgonautsReader
from cortune.data.algonauts_files import load_mask
from cortune.data.rois import HEMISPHERES, STREAMS

pytestmark = pytest.mark.workflow


def write_header_only(path: Path, shape: tuple[int, int]) -> None:
    """An .npy file of the right size whose data are a hole: no disk, no reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * shape[0] * shape[1])


@pytest.fixture
def full_tree(workspace, shared):
    """Two subjects with real masks, header-only responses and empty folders of pictures."""
    root = workspace.folder / "data" / "algonauts2023"
    for subject, n_images in (("subj01", 9841), ("subj06", 9082)):
        masks = root / subject / "roi_masks"
        shutil.copytree(shared / "real/algonauts" / subject / "roi_masks", masks)
        (root / subject / "training_split/training_images").mkdir(parents=True)
        for side in HEMISPHERES:
            n_vertices = len(load_mask(masks / f"{side}.streams_challenge_space.npy"))
            fmri = root / subject / "training_split/training_fmri"
            write_header_only(fmri / f"{side}_training_fmri.npy", (n_images, n_vertices))
    return root


def test_full_configuration_lists_the_whole_job_set(workspace, full_tree, repository):
    config = workspace.folder / "nsd.yaml"
    shutil.copy(repository / "config/nsd.yaml", config)
    planned = workspace.planned(config)
    reader = AlgonautsReader(full_tree)
    units = sum(
        size > 0
        for subject in ("subj01", "subj06")
        for side in HEMISPHERES
        for roi, size in reader.roi_sizes(subject, side).items()
        if roi not in STREAMS
    )
    pools = {
        (side, roi)
        for subject in ("subj01", "subj06")
        for side in HEMISPHERES
        for roi, size in reader.roi_sizes(subject, side).items()
        if roi not in STREAMS and size > 0
    }
    assert planned["tune_network"] == 3 * units
    assert planned["tune_pooled"] == 2 * len(pools)
    assert planned["extract_features"] == 5 * units + 2
    assert planned["encode_roi"] == 6 * units
    assert planned["prepare_responses"] == 4
    assert planned["prepare_images"] == 2
    assert planned["prepare_backbone"] == 1
    assert "simulate_dataset" not in planned


def test_nod_by_itself_lists_its_job_set(workspace, repository):
    """`config/nod.yaml` on a simulated NOD in the folder that it names."""
    config = workspace.folder / "nod.yaml"
    shutil.copy(repository / "config/nod.yaml", config)
    out = ("--out", "data/ds004496", "--n-images", "40", "--run-trials", "10")
    done = workspace.cortune("simulate", "--layout", "nod", "--image-size", "64", *out)
    assert done.returncode == 0, done.stderr
    done = workspace.cortune("check", "--configfile", "nod.yaml")
    assert done.stdout.endswith("No problem found.\n"), done.stdout
    assert "200+200" in done.stdout
    done = workspace.cortune("plan", "--configfile", "nod.yaml")
    assert "tune_network" in done.stdout
    planned = workspace.planned(config)
    rois = yaml.safe_load(config.read_text())["datasets"]["nod"]["rois"]
    assert planned["tune_network"] == 2 * len(rois)
    assert planned["prepare_responses"] == 2
    assert "simulate_dataset" not in planned


EXAMPLES = ["clip.yaml", "dinov2.yaml", "resnet50.yaml"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_lists_its_job_set(workspace, full_tree, repository, name):
    config = workspace.folder / name
    shutil.copy(repository / "config" / name, config)
    planned = workspace.planned(config)
    sizes = AlgonautsReader(full_tree).roi_sizes
    units = sum(
        sizes(subject, side).get(roi, 0) >= 20
        for subject in ("subj01", "subj06")
        for side in HEMISPHERES
        for roi in ("V1v", "hV4", "FFA-1", "PPA")
    )
    assert planned["tune_network"] == units
    assert planned["extract_features"] == units + 2
    assert planned["prepare_images"] == 2


SMALL = {
    "clip.yaml": {"name": "open_clip/ViT-S-32-alt", "weights": "random", "layers": {"auto": 3}},
    "dinov2.yaml": {"weights": "random", "input_size": 56, "layers": {"auto": 3}},
    "resnet50.yaml": {"weights": "random", "input_size": 64, "layers": {"auto": 3}},
}


@pytest.mark.long
@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_small_with_random_weights(workspace, repository, name):
    config = yaml.safe_load((repository / "config" / name).read_text())
    simulate = {"n_images": 60, "n_shared": 20, "image_size": 64, "vertices": {"V1v": 30}}
    nsd = {"layout": "algonauts2023", "subjects": ["subj01"], "rois": ["V1v"]}
    config["datasets"] = {"nsd": {**nsd, "simulate": simulate}}
    config["split"] = {"tune": 0.4, "validation": 0.2, "test": 0.4}
    config["backbone"].update(SMALL[name])
    config["contrastive"].update({"batch_size": 12, "epochs": 1})
    config["encoding"]["folds"] = 3
    config["statistics"] = {"n_bootstrap": 100, "n_permutations": 100}
    workspace.run(workspace.write_config(config))
    units = pd.read_csv(workspace.folder / "results/latest/tables/encoding.csv")
    assert set(units["method"]) == {"untuned", "contrastive"}
    assert units["r_mean"].notna().all()


PHOTOGRAPHS = {
    "datasets": {
        "photographs": {
            "layout": "algonauts2023",
            "subjects": ["subj01"],
            "rois": ["V1v", "hV4", "PPA", "mTL-faces"],
            "simulate": {"image_size": 96},
        }
    },
    "split": {"tune": 0.45, "validation": 0.1, "test": 0.45},
    "backbone": {
        "name": "alexnet_small",
        "weights": "pretrain",
        "input_size": 64,
        "pretrain": {"n_images": 600, "n_classes": 10, "epochs": 2},
    },
    "contrastive": {"batch_size": 32, "epochs": 3, "learning_rate": 1.0e-3},
    "encoding": {"folds": 3},
    "statistics": {"n_bootstrap": 200},
}


@pytest.mark.long
def test_real_photographs_on_a_real_subjects_masks(workspace, shared):
    config = json.loads(json.dumps(PHOTOGRAPHS))
    simulate = config["datasets"]["photographs"]["simulate"]
    simulate["images"] = str(shared / "real/images92")
    simulate["masks"] = str(shared / "real/algonauts/subj01")
    path = workspace.write_config(config)
    workspace.run(path)
    tables = workspace.folder / "results/latest/tables"
    units = pd.read_csv(tables / "encoding.csv")
    sizes = units.groupby(["hemisphere", "roi"])["n_voxels"].first()
    assert sizes["lh", "V1v"] == 710
    assert sizes["rh", "V1v"] == 444
    assert set(units["roi"]) == {"V1v", "hV4", "PPA"}
    assert units["r_mean"].notna().all()
    skipped = pd.read_csv(tables / "skipped.csv")
    assert set(skipped["roi"]) == {"mTL-faces"}
