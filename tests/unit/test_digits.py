"""Real responses through the whole workflow: handwritten digits and visual cortex, one subject.

van Gerven et al. 2010, *Neural decoding with hierarchical generative models*: 100 digits of
28 × 28 pixels, 3092 voxels, here one ROI of the Algonauts layout.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from in_process import run_all
from PIL import Image
from scipy.io import loadmat
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

from cortune.check import describe, find_problems
from cortune.config import Config
from cortune.data.rois import FAMILIES, HEMISPHERES
from cortune.project import Project

FOLDS = 10
CONFIG = """
datasets: {{digits: {{layout: algonauts2023, root: {root}, subjects: [subj01], rois: [V1v]}}}}
split: {{tune: 0, validation: 0, test: 1}}
backbone: {{name: alexnet_small, weights: random, input_size: 64}}
tuning: {{dataset: digits, methods: [untuned]}}
encoding: {{folds: 10, protocols: [heldout_cv], alphas: {{start: -1, stop: 7, num: 17}}}}
statistics: {{n_bootstrap: 100}}
"""


@pytest.fixture(scope="module")
def digits(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (100, 28, 28) and responses (100, 3092)."""
    path = shared / "real/digits69/digit69_28x28.mat"
    if not path.is_file():
        pytest.skip("no real files at hand (CORTUNE_SHARED)")
    held = loadmat(path)
    pixels = np.concatenate([held["stimTrn"], held["stimTest"]]).reshape(-1, 28, 28)
    responses = np.concatenate([held["fmriTrn"], held["fmriTest"]]).astype(np.float32)
    return pixels.transpose(0, 2, 1), responses


def write_algonauts(root: Path, pixels: np.ndarray, responses: np.ndarray) -> None:
    """Write one subject: all voxels on the left, one vertex of no region on the right."""
    split, masks = root / "subj01/training_split", root / "subj01/roi_masks"
    for folder in (split / "training_images", split / "training_fmri", masks):
        folder.mkdir(parents=True)
    for row, picture in enumerate(pixels):
        name = f"training_images/train-{row + 1:04d}_nsd-{row:05d}.png"
        Image.fromarray(np.repeat(picture[..., None], 3, axis=2)).save(split / name)
    for hemisphere, values in zip(HEMISPHERES, (responses, responses[:, :1]), strict=True):
        np.save(split / f"training_fmri/{hemisphere}_training_fmri.npy", values)
        for family in FAMILIES:
            labels = np.zeros(values.shape[1], np.int64)
            labels += family == "prf-visualrois" and hemisphere == "lh"
            np.save(masks / f"{hemisphere}.{family}_challenge_space.npy", labels)
    for family, names in FAMILIES.items():
        table = {0: "Unknown", **dict(enumerate(names, start=1))}
        np.save(masks / f"mapping_{family}.npy", np.array(table, dtype=object))


def pixels_alone(pixels: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Return each voxel's r of ridge on the pixels, folds by scikit-learn."""
    model = RidgeCV(alphas=np.logspace(-1, 7, 9), alpha_per_target=True)
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, pixels.reshape(len(pixels), -1), responses, cv=folds)
    a, b = (values - values.mean(0) for values in (predicted, responses))
    return (a * b).sum(0) / np.sqrt((a * a).sum(0) * (b * b).sum(0))


@pytest.mark.long
def test_an_untuned_network_predicts_what_pixels_do(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_algonauts(tmp_path / "data", *digits)
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(root=tmp_path / "data"))
    assert find_problems(config) == []
    assert "3092+0" in describe(config)
    reachable = pixels_alone(*digits)
    assert np.median(reachable) == pytest.approx(0.115, abs=0.02)
    run_all(Project(Config.from_file(config)))
    tables = tmp_path / "results/latest/tables"
    (unit,) = pd.read_csv(tables / "encoding.csv").to_dict("records")
    voxels = pd.read_parquet(tables / "encoding_voxels.parquet")
    print(unit, np.mean(reachable), np.median(reachable), reachable.max(), voxels["r"].describe())
    assert (unit["n_voxels"], len(voxels)) == (3092, 3092)
    assert np.corrcoef(voxels["r"], reachable)[0, 1] > 0.8
    assert unit["r_median"] > np.median(reachable) - 0.02
    assert voxels["r"].max() > reachable.max() - 0.05
    assert np.isnan(unit["ceiling_r_mean"])
