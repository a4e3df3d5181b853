"""Several networks of a unit: what there is of them, and what tables say of them."""

from __future__ import annotations

import contextlib
import copy

import numpy as np
import pandas as pd
import pytest
from example import project
from in_process import run_all
from test_faults_in_process import CONFIG

from cortune.artifacts import read_provenance
from cortune.config import Config
from cortune.plan import Shape, estimate
from cortune.project import Project
from cortune.report import encoding_figures, probe_figures, saliency_figures
from cortune.report.columns import TABLES
from cortune.report.tables import over_replicates
from cortune.seeds import replicate_seed

pytest.importorskip("torch")

UNIT = ["dataset", "subject", "hemisphere", "roi", "method"]


def versions(known):
    """Return the version of every job that does not gather networks, by stage and address."""
    return {
        (stage, address): known.version(stage, address)
        for stage, addresses in known.jobs.items()
        for address in addresses
        if address.own and stage != "compare_networks"
    }


def test_seeds_of_replicates():
    assert replicate_seed(7, "0") == 7
    seeds = [replicate_seed(seed, str(k)) for seed in (0, 1) for k in range(50)]
    assert len(set(seeds)) == 100 and all(0 <= seed < 2**63 for seed in seeds)
    assert replicate_seed(0, "1") == replicate_seed(0, "1")


def test_more_replicates_rerun_none_of_those_there_are():
    one, three = versions(project()), versions(project(tuning__replicates=3))
    assert one.items() < three.items()
    new = {address for _, address in three.keys() - one.keys()}
    assert {address.replicate for address in new} == {"1", "2"}
    assert "untuned" not in {address.method for address in new}
    assert {a.method for a in new} == set(project().tuned_methods)
    assert versions(project(tuning__replicates=1)) == one


def test_tables_gather_all_replicates():
    one, two = project(), project(tuning__replicates=2)
    for stage in ("tabulate_encoding", "tabulate_transfer", "bound_information", "embed_networks"):
        assert one.version(stage) != two.version(stage)
    tuned = [a for a in two.addresses(["contrastive"]) if a.replicate == "1"]
    assert [a.but(replicate="0") for a in tuned] == one.addresses(["contrastive"])


def test_the_plan_counts_every_replicate():
    def counted(known):
        widths = dict.fromkeys((*known.config.backbone.layers, "features.12"), 100)
        shape = Shape(gflop=0.5, widths=widths, n_bytes=1000, layers=list(widths))
        return {plan.stage: plan for plan in estimate(known, shape)}

    one, three = counted(project()), counted(project(tuning__replicates=3))
    for stage in ("tune_network", "tune_pooled", "transfer_subject"):
        assert three[stage].jobs == 3 * one[stage].jobs
        gflop = [sum(work.network for work in plan[stage].work) for plan in (one, three)]
        assert gflop[1] == pytest.approx(3 * gflop[0])
    # The untuned network is one.
    assert three["encode_roi"].jobs == 3 * one["encode_roi"].jobs - 2 * 4


def test_means_equal_those_of_pandas():
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        [
            (unit, method, str(k), f"layer {k}", 30, random.normal(), random.normal())
            for unit in "ab"
            for method, n in (("untuned", 1), ("contrastive", 3))
            for k in range(n)
        ],
        columns=["unit", "method", "replicate", "layer", "n_voxels", "r_mean", "r_ci_low"],
    )
    shuffled = table.sample(frac=1, random_state=1).sort_values("replicate", kind="stable")
    found = over_replicates(shuffled, ["unit", "method"]).set_index(["unit", "method"]).sort_index()
    groups = table.groupby(["unit", "method"])
    for name in ("r_mean", "r_ci_low"):
        pd.testing.assert_series_equal(found[name], groups[name].mean())
    spread = groups["r_mean"].std().rename("r_sd_replicates")
    pd.testing.assert_series_equal(found["r_sd_replicates"], spread)
    assert found["n_replicates"].to_list() == [3, 1, 3, 1]
    assert set(found["layer"]) == {"layer 0"} and found["n_voxels"].dtype == int
    assert found["r_sd_replicates"].isna().to_list() == [False, True, False, True]
    assert over_replicates(table.iloc[:0], ["unit", "method"]).empty


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of every stage with two networks per unit and method; its tables by name."""
    mapping = copy.deepcopy(CONFIG)
    for name in ("nsd", "other"):
        mapping["datasets"][name]["simulate"]["vertices"]["V1v"] = 25
    # 34 images choose a penalty so strong that some network has no saliency.
    mapping["probes"]["scenes"]["penalties"] = [1.0]
    mapping["tuning"] |= {
        "methods": ["untuned", "contrastive", "pooled_mean", "pooled_loso"],
        "replicates": 2,
    }
    mapping["contrastive"]["epochs"] = 1
    mapping["encoding"]["size_curve"]["methods"] = ["untuned", "contrastive"]
    mapping["transfer"] |= {"methods": ["contrastive", "pooled_mean"]}
    mapping["similarity"] = {"n_bootstrap": 50}
    folder = tmp_path_factory.mktemp("replicates")
    with contextlib.chdir(folder):
        known = Project(Config.from_mapping(mapping))
        run_all(known)
    tables = folder / "results" / "latest" / "tables"
    found = {path.name: pd.read_csv(path) for path in tables.glob("*.csv")}
    voxels = "encoding_voxels.parquet"
    return folder, known, found | {voxels: pd.read_parquet(tables / voxels)}


def test_every_table_has_its_columns_and_replicates(run):
    _, _, tables = run
    for name, table in tables.items():
        assert list(table.columns) == list(TABLES[name].columns), name
        tuned = table[table["method"] != "untuned"] if "method" in table else table
        if "n_replicates" in table:
            assert (tuned["n_replicates"] == 2).all(), name
            untuned = table.drop(tuned.index)
            assert (untuned["n_replicates"] == 1).all(), name
            for spread in (c for c in table if c.endswith("_sd_replicates")):
                # Too few test images are shared here for a ceiling of similarity, none repeated.
                ceilings = ["ceiling", "ceiling_repeats"]
                whole = tuned.drop(columns=ceilings, errors="ignore").notna().all(axis=1)
                assert tuned.loc[whole, spread].gt(0).any() or tuned.empty, name
                assert untuned[spread].isna().all(), name
        elif "replicate" in table:
            assert set(tuned["replicate"].dropna()) == {0, 1}, name
    described = {name for name, table in tables.items() if len(table)}
    assert {"transfer_subjects.csv", "transfer_datasets.csv", "size_curve.csv"} <= described


def test_replicates_are_other_networks_of_other_seeds(run):
    folder, known, tables = run
    networks = known.networks(["contrastive", "pooled_mean"])
    seeds = {}
    for address in networks:
        stage = known.network_stage(address)
        provenance = read_provenance(folder / known.path(stage, "network", address))
        seeds.setdefault(address.replicate, set()).add(provenance["seed"])
    assert seeds == {"0": {0}, "1": {replicate_seed(0, "1")}}
    each = tables["encoding_replicates.csv"].set_index([*UNIT, "replicate"])["r_mean"].unstack()
    tuned = each.drop(index="untuned", level="method")
    assert (tuned[0] != tuned[1]).all()


def test_encoding_is_the_mean_of_its_replicates(run):
    tables = run[2]
    groups = tables["encoding_replicates.csv"].groupby(UNIT)
    found = tables["encoding.csv"].set_index(UNIT).sort_index()
    for name in ("r_mean", "r_median", "r_ci_low", "r_ci_high"):
        np.testing.assert_allclose(found[name], groups[name].mean(), rtol=1e-5)
    np.testing.assert_allclose(found["r_sd_replicates"], groups["r_mean"].std(), atol=1e-6)
    voxels = tables["encoding_voxels.parquet"].astype(dict.fromkeys(UNIT, str))
    by_voxel = voxels.groupby(UNIT)["r"].mean()
    np.testing.assert_allclose(found["r_mean"], by_voxel, rtol=1e-4)
    assert not voxels.duplicated([*UNIT, "vertex"]).any()


def test_comparisons_count_units_not_networks(run):
    comparison = run[2]["comparison.csv"].query("level == 'roi' and method_b == 'untuned'")
    assert (comparison["n_units"] == 4).all() and (comparison["n_subjects"] == 2).all()
    means = run[2]["encoding.csv"].pivot(
        index=["subject", "hemisphere"], columns="method", values="r_mean"
    )
    gain = (means["contrastive"] - means["untuned"]).groupby("subject").mean().mean()
    row = comparison.set_index("method_a").loc["contrastive"]
    assert row["r_diff_mean"] == pytest.approx(gain, rel=1e-4)


def test_hemispheres_are_compared_on_means_over_replicates(run):
    tests = run[2]["lateralization_tests.csv"].query("level == 'roi'")
    row = tests.set_index("method").loc["contrastive"]
    assert (row["n_subjects"], row["n_pairs"], row["n_replicates"]) == (2, 2, 2)
    assert np.isnan(row["p_value"]) and row["p_least"] == 0.5
    networks = run[2]["lateralization.csv"].query("method == 'contrastive'")
    assert len(networks) == 8
    means = networks.groupby("hemisphere")["li_mean"].mean()
    if (networks["n_empty"] == 0).all():
        assert row["li_diff_mean"] == pytest.approx(means["lh"] - means["rh"], rel=1e-4)


def test_every_replicate_is_a_point_of_the_landscape(run):
    names = set(run[2]["landscape.csv"]["model"])
    assert {"contrastive subj01 lh V1v", "contrastive subj01 lh V1v replicate 1"} <= names
    # Two subjects' contrastive and leave-one-out networks, and pooled ones, of both hemispheres.
    assert len(names) == 2 + 1 + 2 * 2 * (2 + 2 + 1)
    tests = run[2]["landscape_tests.csv"].set_index("factor")
    assert tests.loc["hemisphere", "n_models"] == 8
    assert tests.loc["hemisphere", "n_arrangements"] == 2, "subjects are exchanged, not networks"


def marked(figure, marker):
    return sum(line.get_marker() == marker for ax in figure.axes for line in ax.get_lines())


def test_figures_show_the_spread(run):
    tables = run[2]
    names = ["model", "subject", "hemisphere", "roi"]
    probes, sides = (
        tables[name].fillna(dict.fromkeys(names, ""))
        for name in ("probes.csv", "lateralization.csv")
    )
    figure = probe_figures.accuracy_by_roi(probes)
    assert marked(figure, "_") == 4 + 2 + 4, "contrastive, pooled, and leaving one out"
    losses = probe_figures.gains_and_losses(tables["encoding.csv"], probes)
    assert not losses.duplicated(UNIT).any() and len(losses) == 3 * 4
    figure = saliency_figures.laterality_by_roi(sides, tables["lateralization_tests.csv"])
    assert marked(figure, "_") == 4
    broad = [
        bar
        for ax in encoding_figures.accuracy_by_roi(tables["encoding.csv"]).axes
        for bar in ax.collections
        if bar.get_linewidth() == 4
    ]
    assert len(broad) == 3 * 4
