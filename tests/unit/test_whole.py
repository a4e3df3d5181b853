"""The ROI `whole`: every vertex with responses, for methods that need no network of its own."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
from example import EXAMPLE, changed
from in_process import run_job

from cortune.config import Config
from cortune.data.rois import WHOLE
from cortune.project import Project

METHODS = ["untuned", "regression", "contrastive", "pooled_mean", "joint"]


def project(*rois: str, **changes) -> Project:
    settings = {"tuning__methods": METHODS, "datasets__nsd__rois": list(rois), "export": None}
    return Project(Config.from_mapping(changed(EXAMPLE, **{**settings, **changes})))


def test_methods_with_a_network_per_roi_do_without_it_and_say_what_memory_it_would_take():
    asked = project("V1v", WHOLE)
    methods = {a.method for a in asked.addresses(METHODS) if a.roi == WHOLE}
    assert methods == {"untuned", "regression", "joint"}
    refused = {row["method"]: row["reason"] for row in asked.refused}
    assert refused.keys() == {"contrastive", "pooled_mean"}
    (n,) = {unit.n_voxels for unit in asked.units if unit.roi == WHOLE}
    assert f"contrastive tunes a network to each ROI: to {n} voxels" in refused["contrastive"]
    network = next(a for a in asked.addresses(["joint"]) if a.roi == WHOLE)
    assert {unit.roi for unit in asked.pool(asked.network(network))} == {"V1v"}
    alone = project(WHOLE)
    assert not [a for a in alone.addresses(["joint"]) if a.roi == WHOLE]
    assert any("joint is tuned to the other ROIs" in row["reason"] for row in alone.refused)


def test_asking_for_it_leaves_the_files_of_other_rois_as_they_are():
    before, after = project("V1v"), project("V1v", WHOLE)
    for stage in ("prepare_responses", "tune_network", "tune_pooled", "encode_roi"):
        assert before.jobs[stage]
        for address in before.jobs[stage]:
            assert before.version(stage, address) == after.version(stage, address), stage
    assert len(after.jobs["prepare_whole"]) == 4 and "prepare_whole" not in before.jobs
    assert not [a for a in after.jobs["transfer_subject"] if a.roi == WHOLE]


def test_every_vertex_is_encoded_as_its_roi_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = project(
        "V1v",
        WHOLE,
        datasets__nsd__subjects=["subj01"],
        tuning__methods=["untuned"],
        backbone={
            "name": "alexnet_small",
            "weights": "random",
            "input_size": 64,
            "layers": ["features.2"],
        },
        encoding={"folds": 3, "protocols": ["heldout_cv"]},
        transfer={},
        saliency=None,
        landscape=None,
        probes={},
        similarity={"n_bootstrap": 50},
    )
    stages = ("simulate_dataset", "prepare_images", "prepare_responses", "prepare_whole")
    stages += ("split_images", "prepare_backbone", "extract_features")
    stages += ("decompose_features", "encode_roi")
    similar = ("measure_similarity", "compare_networks", "tabulate_similarity", "plot_similarity")
    for stage in (*stages, "tabulate_encoding", "plot_cortex", *similar):
        for address in asked.jobs[stage]:
            run_job(asked, stage, address)
    table = pd.read_parquet(asked.path("tabulate_encoding", "voxels"))
    units = {unit.roi: unit for unit in asked.units if unit.hemisphere == "lh"}
    rows = table[table["hemisphere"] == "lh"].set_index("vertex")
    whole, v1 = (rows[rows["roi"] == roi] for roi in (WHOLE, "V1v"))
    assert len(whole) == units[WHOLE].n_voxels > len(v1) == units["V1v"].n_voxels
    np.testing.assert_allclose(whole.loc[v1.index, "r"], v1["r"], atol=1e-5)
    np.testing.assert_allclose(whole.loc[v1.index, "ceiling_r"], v1["ceiling_r"])
    with h5py.File(asked.inputs("plot_cortex", asked.jobs["plot_cortex"][0])["responses"][0]) as f:
        assert len(f["vertices"]) == units[WHOLE].n_voxels and "V1v" in f["rois"]
    similarity = pd.read_csv(asked.path("tabulate_similarity", "similarity"))
    assert set(similarity["roi"]) == {"V1v", WHOLE} and set(similarity["hemisphere"]) == {
        "lh",
        "rh",
    }
    assert similarity["value"].between(-1, 1).all()
