"""Networks of all ROIs through every stage: addresses, and the rows of a whole run."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pandas as pd
import pytest
from in_process import run_all
from test_faults_in_process import CONFIG

from cortune.address import ALL, Address
from cortune.config import Config
from cortune.project import Project

METHODS = ["untuned", "contrastive_plus", "joint", "joint_hemisphere", "joint_pooled"]
BOTH = {"lh", "rh"}


def project(methods=METHODS):
    mapping = copy.deepcopy(CONFIG)
    for name in ("nsd", "other"):
        mapping["datasets"][name]["rois"] = ["V1v", "hV4"]
        mapping["datasets"][name]["simulate"]["vertices"] = {"V1v": 25, "hV4": {"lh": 22, "rh": 0}}
    mapping["tuning"]["methods"] = methods
    for section in ("contrastive_plus", "joint"):
        mapping[section] = {"image_layer": "features.12", "epochs": 2, "batch_size": 16}
    mapping["joint"]["hidden_size"] = 24
    mapping["transfer"] = {
        "subjects": True,
        "datasets": [{"source": "nsd", "target": "other", "rois": {"V1v": ["V1v"]}}],
    }
    mapping["probes"]["scenes"]["penalties"] = [1.0]
    mapping["saliency"]["methods"] = ["joint", "joint_hemisphere"]
    return Project(Config.from_mapping(mapping))


UNIT = Address("nsd", "subj01", "lh", "V1v", "joint", "0")


def test_one_network_serves_every_unit():
    found = project()
    assert found.network(UNIT) == UNIT.but(hemisphere=ALL, roi=ALL)
    assert found.network(UNIT.but(method="joint_hemisphere")).path(("hemisphere", "roi")) == (
        "hemi-lh/roi-all"
    )
    pooled = found.network(UNIT.but(method="joint_pooled"))
    assert (pooled.subject, pooled.hemisphere, pooled.roi) == (ALL, ALL, ALL)
    numbers = {m: len(found.networks([m])) for m in METHODS}
    assert numbers == {
        "untuned": 1, "contrastive_plus": 6, "joint": 2, "joint_hemisphere": 4, "joint_pooled": 1,
    }  # fmt: skip
    for method in METHODS:
        for network in found.networks([method]):
            assert found.network(network) == network, "a network is its own network"


def test_a_network_is_tuned_to_the_units_it_serves():
    found = project()
    for method in METHODS[2:]:
        for network in found.networks([method]):
            served = {
                each.unit for each in found.addresses([method]) if found.network(each) == network
            }
            assert {each.unit for each in found.pool(network)} == served
            assert found.network_stage(network) == "tune_pooled"
    facts = found.facts("tune_pooled", found.network(UNIT))
    assert [unit[2:] for unit in facts["units"]] == [["lh", "V1v"], ["lh", "hV4"], ["rh", "V1v"]]


def test_images_pass_a_joint_network_once():
    found = project()
    grams = {
        method: {found.path("extract_features", "grams", a) for a in found.addresses([method])}
        for method in METHODS
    }
    # Subjects have images of their own, of the simulated brain.
    assert {method: len(paths) for method, paths in grams.items()} == {
        "untuned": 2, "contrastive_plus": 6, "joint": 2, "joint_hemisphere": 4, "joint_pooled": 2,
    }  # fmt: skip


def test_a_network_of_several_rois_is_decomposed_once_for_all_of_them():
    found = project()
    given = {
        method: {
            path
            for address in found.addresses([method])
            for path in found.inputs("encode_roi", address)["components"]
        }
        for method in METHODS
    }
    assert {method: len(paths) for method, paths in given.items()} == {
        "untuned": 2, "contrastive_plus": 0, "joint": 2, "joint_hemisphere": 4, "joint_pooled": 2,
    }  # fmt: skip
    assert sum(map(len, given.values())) == len(found.jobs["decompose_features"])


def test_transfer_is_tried_on_every_region_of_others():
    found = project()
    joint = [a for a in found.subject_transfers() if a.method == "joint"]
    assert [(a.subject, a.hemisphere, a.roi) for a in joint] == [
        (subject, side, ALL) for subject in ("subj01", "subj02") for side in ("lh", "rh")
    ]
    assert found.facts("transfer_subject", joint[0]) == {"subj02": ["V1v", "hV4"]}
    assert found.facts("transfer_subject", joint[1]) == {"subj02": ["V1v"]}
    beyond = {a for a in found.dataset_transfers() if a.method == "joint_pooled"}
    assert {(a.subject, a.hemisphere, a.roi) for a in beyond} == {
        (ALL, "lh", ALL), (ALL, "rh", ALL),
    }  # fmt: skip


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder, before = tmp_path_factory.mktemp("joint"), Path.cwd()
    os.chdir(folder)
    try:
        found = project()
        run_all(found)
    finally:
        os.chdir(before)
    return {Path(p).name: pd.read_csv(folder / p) for p in found.shown if p.endswith(".csv")}


def units(table, method):
    rows = table[table["method"] == method]
    return sorted(zip(rows["subject"], rows["hemisphere"], rows["roi"], strict=True))


EVERY = sorted(
    (subject, side, roi)
    for subject in ("subj01", "subj02")
    for side, roi in (("lh", "V1v"), ("lh", "hV4"), ("rh", "V1v"))
)


@pytest.mark.long
def test_rows_about_targets_have_the_targets_names(tables):
    for method in METHODS:
        assert units(tables["encoding.csv"], method) == EVERY
    for method in METHODS[1:]:
        assert units(tables["information.csv"], method) == EVERY
    transfer = tables["transfer_subjects.csv"].query("method == 'joint'")
    assert sorted(zip(transfer["target_subject"], transfer["hemisphere"], transfer["roi"],
                      strict=True)) == EVERY  # fmt: skip
    beyond = tables["transfer_datasets.csv"].query("method == 'joint_pooled'")
    assert set(beyond["source_subject"]) == {"pooled"} and beyond["roi"].isna().all()
    assert set(zip(beyond["hemisphere"], beyond["target_roi"], strict=True)) == {
        ("lh", "V1v"), ("rh", "V1v"),
    }  # fmt: skip


@pytest.mark.long
def test_rows_about_networks_leave_empty_what_they_do_not_tell_apart(tables):
    for name in ("probes.csv", "landscape.csv", "lateralization.csv"):
        table = tables[name].drop_duplicates("model").set_index("model")
        joint = table.loc["joint subj01"]
        assert joint["subject"] == "subj01" and joint[["hemisphere", "roi"]].isna().all()
        half = table.loc["joint_hemisphere subj01 lh"]
        assert half["hemisphere"] == "lh" and pd.isna(half["roi"])
    assert pd.isna(tables["probes.csv"].set_index("model").loc["joint_pooled", "subject"])


@pytest.mark.long
def test_tests_of_hemispheres_take_one_joint_network_for_each(tables):
    tests = tables["lateralization_tests.csv"]
    assert set(zip(tests["method"], tests["level"], tests["group"], strict=True)) == {
        ("joint_hemisphere", "group", "all")
    }
    assert (tests["n_pairs"] <= 2).all()
    landscape = tables["landscape_tests.csv"].set_index("factor")
    assert landscape.loc["roi", "n_models"] in (0, 4, 6), "networks of one unit alone"
