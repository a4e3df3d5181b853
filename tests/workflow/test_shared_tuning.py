"""Transfer between subjects lives on the tuning that they share, which the simulator decides."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

pytestmark = [pytest.mark.workflow, pytest.mark.long]


def gains(workspace, repository, correlation):
    """Accuracy that networks of V1v gain on the other subject's voxels, above the untuned one."""
    config = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    for section in ("probes", "landscape", "saliency"):
        del config[section]
    del config["datasets"]["nod"]
    nsd = config["datasets"]["nsd"]
    nsd |= {"subjects": ["subj01", "subj02"], "rois": ["V1v"]}
    # Too few in the right hemisphere to be tuned to.
    nsd["simulate"] |= {
        "vertices": {"V1v": {"lh": 120, "rh": 5}},
        "tuning_correlation": correlation,
    }
    # More and larger pictures than the demo has, with which gains are too small to tell apart.
    nsd["simulate"] |= {"n_images": 1250, "image_size": 64}
    config["split"] = {"tune": 0.45, "validation": 0.09, "test": 0.46}
    config["backbone"]["input_size"] = 64
    # A backbone that is not yet good gains from whatever it is tuned to.
    config["backbone"]["pretrain"] = {"n_images": 10000, "n_classes": 10, "epochs": 12}
    config["tuning"]["methods"] = ["untuned", "contrastive"]
    config["contrastive"]["epochs"] = 12
    config["encoding"] = {"folds": 3, "protocols": ["heldout_cv"]}
    config["transfer"] = {"subjects": True}
    path = workspace.write_config(config, f"correlation{correlation}.yaml")
    workspace.run(path, "--until", "tabulate_transfer")
    tables = sorted(
        (workspace.folder / "results" / "tabulate_transfer").glob("*/transfer_subjects.csv"),
        key=lambda file: file.stat().st_mtime,
    )
    return pd.read_csv(tables[-1]).query("method == 'contrastive'")["r_diff_mean"]


def test_the_gain_of_transfer_vanishes_without_shared_tuning(workspace, repository):
    shared, unshared = (gains(workspace, repository, rho) for rho in (0.95, 0.0))
    assert len(shared) == len(unshared) == 2
    assert shared.min() > 0.02
    assert abs(unshared.mean()) < 0.03
    assert unshared.max() < shared.min()
