"""Pooling the others against one other: transfer to a subject whom no network has seen."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

pytestmark = [pytest.mark.workflow, pytest.mark.long]


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
    assert pooled["r_diff_mean"].mean() > 0.01
