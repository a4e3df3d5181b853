"""The workflow on raw NSD: from single-trial sessions to the tables.

The same simulated trials are written in the raw layout and in that of Algonauts, which are
prepared from them; both must end in the same encoding table.
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest

from cortune.config import Config
from cortune.project import Project

pytestmark = pytest.mark.workflow
CONFIG = {
    "datasets": {
        "nsd": {
            "layout": "nsd",
            "subjects": ["subj01", "subj02"],
            "rois": ["V1v", "PPA"],
            "simulate": {
                "n_images": 60,
                "n_shared": 30,
                "n_test_images": 2,
                "image_size": 32,
                "n_classes": 5,
                "vertices": {"V1v": 30, "PPA": 25},
            },
        }
    },
    "split": {"tune": 0.1, "validation": 0.1, "test": 0.8},
    "backbone": {
        "name": "alexnet_small",
        "weights": "random",
        "input_size": 64,
        "layers": ["features.2", "features.12"],
    },
    "tuning": {"methods": ["untuned"]},
    "encoding": {"folds": 3, "protocols": ["heldout_cv"]},
    "statistics": {"n_bootstrap": 100, "n_permutations": 100},
}


def encoding_of(workspace, config, name, *arguments):
    path = workspace.write_config(config, f"{name}.yaml")
    workspace.run(path, *arguments)
    file = Project(Config.from_mapping(config)).path("tabulate_encoding", "encoding")
    table = pd.read_csv(workspace.folder / file)
    return path, table.set_index(["subject", "hemisphere", "roi", "method", "protocol"])


@pytest.mark.long
def test_raw_sessions_end_in_the_table_of_the_prepared_layout(workspace):
    path, raw = encoding_of(workspace, CONFIG, "raw")
    assert len(raw) == 2 * 2 * 2
    assert raw["ceiling_r_mean"].notna().all(), "from ncsnr"
    assert workspace.planned(path) == {}
    checked = workspace.cortune("check", "--configfile", str(path))
    assert checked.returncode == 0, checked.stdout

    (info,) = (workspace.folder / "results").rglob("nsd_stim_info_merged.csv")
    config = copy.deepcopy(CONFIG)
    # Images are then known by their COCO id, as in the raw tree, and split alike.
    config["datasets"]["nsd"] |= {"layout": "algonauts2023", "stim_info": str(info)}
    _, prepared = encoding_of(workspace, config, "prepared", "--until", "tabulate_encoding")
    assert list(raw.index) == list(prepared.index)
    assert (raw["layer"] == prepared["layer"]).all()
    for column in ("r_mean", "r_ci_low", "r_ci_high", "ceiling_r_mean"):
        np.testing.assert_allclose(raw[column], prepared[column], atol=2e-3)
