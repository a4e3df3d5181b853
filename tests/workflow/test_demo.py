"""The demo, end to end, and what it must show; everything is computed from its files."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from cortune.address import Address
from cortune.artifacts import read_provenance
from cortune.config import Config
from cortune.data.rois import EARLY
from cortune.landscape.stages import read_dissimilarity
from cortune.project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.long]
TABLES = [
    "encoding.csv",
    "encoding_layers.csv",
    "comparison.csv",
    "published.csv",
    "size_curve.csv",
    "information.csv",
    "transfer_subjects.csv",
    "transfer_datasets.csv",
    "probes.csv",
    "dissimilarity.csv",
    "landscape.csv",
    "lateralization.csv",
    "skipped.csv",
]
N_NETWORKS = 1 + 3 * 9 + 3  # untuned; three methods of 9 units; pooled by hemisphere and ROI


@pytest.fixture(scope="session")
def latest(demo):
    return demo.folder / "results" / "latest"


@pytest.fixture(scope="session")
def config(demo):
    return Config.from_file(demo.folder / "config.yaml")


@pytest.fixture(scope="session")
def units(latest):
    table = pd.read_csv(latest / "tables" / "encoding.csv")
    return table[table["protocol"] == "heldout_cv"]


@pytest.fixture(scope="session")
def voxels(latest):
    table = pd.read_parquet(latest / "tables" / "encoding_voxels.parquet")
    return table[table["protocol"] == "heldout_cv"]


def test_contrastive_beats_untuned_in_early_rois_for_every_subject(units):
    early = units[units["roi"].isin(EARLY)]
    means = early.pivot_table(index="subject", columns="method", values="r_mean")
    assert len(means) >= 3
    assert (means["contrastive"] > means["untuned"]).all(), means


def test_pooling_and_plus_beat_untuned_too(units):
    means = units.groupby("method")["r_mean"].mean()
    assert means["contrastive_plus"] > means["untuned"] + 0.01
    assert means["pooled_mean"] > means["untuned"] + 0.01


def test_bounds_are_informative_and_below_their_limit(latest):
    table = pd.read_csv(latest / "tables" / "information.csv")
    assert set(table["method"]) == {"contrastive", "contrastive_plus", "pooled_mean"}
    assert (table["mi_lower_bound_nats"] <= table["log_k"]).all()
    means = table.groupby("method")["mi_lower_bound_nats"].mean()
    assert (means > 0.1).all(), means


def test_accuracy_grows_with_the_images_fitted_on(latest):
    table = pd.read_csv(latest / "tables" / "size_curve.csv")
    means = table.pivot_table(index="n_images_fit", columns="method", values="r_mean")
    assert list(means.index) == [30, 60, 120]
    assert (means.iloc[-1] > means.iloc[0]).all()


def test_networks_serve_other_subjects_and_another_data_set(latest, units):
    """Tuned to one subject's V1v, they beat the untuned network on others', at 7T and 3T."""
    within = pd.read_csv(latest / "tables" / "transfer_subjects.csv")
    assert len(within) == 3 * 2 * 2, "ordered pairs in both hemispheres"
    assert (within["source_subject"] != within["target_subject"]).all()
    untuned = units[units["method"] == "untuned"].set_index(["subject", "hemisphere", "roi"])
    key = pd.MultiIndex.from_frame(within[["target_subject", "hemisphere", "roi"]])
    np.testing.assert_allclose(within["r_untuned_mean"], untuned.loc[key, "r_mean"], rtol=1e-6)
    assert within.groupby("target_subject")["r_diff_mean"].mean().min() > 0.01
    assert within["frac_voxels_better"].mean() > 0.6

    beyond = pd.read_csv(latest / "tables" / "transfer_datasets.csv")
    assert set(beyond["target_subject"]) == {"sub01"} and set(beyond["target_roi"]) == {"V1"}
    assert (beyond["n_voxels"] == 50).all()
    assert len(beyond) == 3 * 2 + 2, "three subjects' networks and the pooled one, per hemisphere"
    assert beyond["ceiling_r_mean"].isna().all(), "one repeat: no ceiling is known"
    assert beyond["r_diff_mean"].mean() > 0


def test_published_table_is_set_beside_this_run(latest):
    table = pd.read_csv(latest / "tables" / "published.csv").set_index(["group", "method"])
    assert table.loc[("early", "contrastive"), "r_published"] == pytest.approx(0.4165, abs=5e-5)
    assert table.loc[("early", "contrastive"), "n_units_here"] == 6
    assert table["r_here"].notna().any()


def test_probes_tell_classes_and_tuning_forgets_some(latest):
    table = pd.read_csv(latest / "tables" / "probes.csv")
    assert len(table) == table["model"].nunique() == N_NETWORKS
    assert table["accuracy"].between(table["ci_low"], table["ci_high"]).all()
    assert (table["ci_high"] > 1 / table["n_classes"]).all()
    assert set(table["n_train"] + table["n_test"]) == {600}
    assert table["converged"].all()
    (untuned,) = table.loc[table["method"] == "untuned", "accuracy"]
    assert untuned > 4 / 10
    tuned = table[table["method"] != "untuned"].groupby("method")["accuracy"].mean()
    assert ((tuned > 1 / 10) & (tuned < untuned)).all(), tuned


def test_dissimilarities_make_a_symmetric_matrix(latest):
    table = pd.read_csv(latest / "tables" / "dissimilarity.csv")
    models = sorted({*table["model_a"], *table["model_b"]})
    n = N_NETWORKS + 2
    assert len(models) == n and {"untuned", "truth", "ignorance"} <= set(models)
    assert len(table) == n * (n - 1) / 2, "each pair once, no model with itself"
    assert (table["distance"] > 0).all() and np.isfinite(table["distance"]).all()
    names, distance = read_dissimilarity(latest / "tables" / "dissimilarity.csv")
    assert sorted(names) == models
    np.testing.assert_array_equal(distance, distance.T)
    assert not np.diag(distance).any()


def test_the_landscape_places_every_network_with_truth_and_ignorance(latest):
    table = pd.read_csv(latest / "tables" / "landscape.csv")
    assert set(table["space"]) == {"inpca", "mds"}
    for _, space in table.groupby("space"):
        assert len(space) == space["model"].nunique() == N_NETWORKS + 2
        assert {"truth", "ignorance", "untuned"} <= set(space["model"])
        assert space[["axis_1", "axis_2", "axis_3"]].notna().all(axis=None)
        assert space["explained_stress"].between(0, 1).all()
        places = space.set_index("model")[["axis_1", "axis_2", "axis_3"]]
        apart = ((places - places.loc["truth"]) ** 2).sum(axis=1)
        assert apart.drop(["truth", "untuned"]).min() > apart["untuned"], "it classifies best"
    tests = pd.read_csv(latest / "tables" / "landscape_tests.csv").set_index("factor")
    assert set(tests.index) == {"roi", "hemisphere", "subject", "method"}
    assert tests.loc["method", "statistic"] < tests.loc["method", "null_mean"], "methods differ"
    axes = pd.read_csv(latest / "tables" / "landscape_axes.csv")
    assert (axes["eigenvalue"].abs().diff().dropna() <= 0).all()


def test_early_networks_look_to_the_visual_field_of_their_hemisphere(latest):
    table = pd.read_csv(latest / "tables" / "lateralization.csv")
    assert len(table) == table["model"].nunique() == 1 + N_UNITS
    assert table["li_mean"].between(table["ci_low"], table["ci_high"]).all()
    assert (table["n_images"] + table["n_empty"] == 500).all()
    (untuned,) = table.loc[table["method"] == "untuned", "li_vs_untuned"]
    assert untuned == 0
    tests = pd.read_csv(latest / "tables" / "lateralization_tests.csv")
    tests = tests[tests["group"] == "V1v"].set_index("method")
    assert tests.loc["contrastive", ["n_subjects", "p_least"]].tolist() == [3, 0.25]
    assert tests.loc["contrastive", "li_diff_mean"] > 0


def test_contract(latest, shared):
    """The checker that comes with the contract finds nothing in the tables of these stages."""
    names = ",".join(TABLES)
    command = [sys.executable, str(shared / "check_contract.py"), str(latest), "--only", names]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_accuracy_exceeds_its_ceiling_by_more_than_its_interval(units):
    assert units["ceiling_r_mean"].notna().all()
    half = (units["r_ci_high"] - units["r_ci_low"]) / 2
    assert (units["r_mean"] <= units["ceiling_r_mean"] + half).all()


def test_levels_are_those_of_the_real_data(units, shared):
    """Ceilings and untuned accuracy lie in the range of the published table."""
    published = pd.read_csv(shared / "reference" / "published_encoding.csv")
    published = published[published["method"] == "untuned"]
    untuned = units[units["method"] == "untuned"]
    for roi, rows in untuned.groupby("roi"):
        known = published.loc[published["roi"] == roi, "r_mean"]
        assert known.min() - 0.05 <= rows["r_mean"].mean() <= known.max() + 0.05, roi
    assert 0.45 <= units["ceiling_r_mean"].mean() <= 0.7


def truth_of(demo, config, subject, hemisphere):
    address = Address(dataset="nsd", subject=subject)
    folder = Project(config).path("simulate_dataset", "truth", address)
    return h5py.File(demo.folder / folder / f"{hemisphere}.h5", "r")


def test_null_voxels_score_nothing(demo, config, voxels):
    scores = []
    for (subject, hemisphere), rows in voxels.groupby(["subject", "hemisphere"], observed=True):
        with truth_of(demo, config, subject, hemisphere) as truth:
            null = np.flatnonzero(truth["null"][:])
        scores.append(rows.loc[rows["vertex"].isin(null), "r"])
    scores = pd.concat(scores)
    assert len(scores) > 50
    assert scores.abs().mean() < 0.05
    assert abs(scores.mean()) < 0.02


def test_skipped_names_the_empty_and_the_tiny_roi(latest, units):
    skipped = pd.read_csv(latest / "tables" / "skipped.csv")
    reasons = dict(zip(skipped["roi"], skipped["reason"], strict=True))
    assert "empty" in reasons["mTL-faces"]
    assert "6 voxels" in reasons["FBA-1"]
    assert not set(units["roi"]) & {"mTL-faces", "FBA-1"}


def test_backbone_learnt_its_classes(demo):
    (path,) = (demo.folder / "results" / "pretrain_backbone").glob("*/accuracy.json")
    found = json.loads(path.read_text())
    assert found["accuracy"] >= 4 * found["chance"]
    assert found["n_test"] >= 500


def test_reported_layer_is_scored_as_in_the_table_of_layers(latest):
    units = pd.read_csv(latest / "tables" / "encoding.csv")
    layers = pd.read_csv(latest / "tables" / "encoding_layers.csv")
    key = ["subject", "hemisphere", "roi", "method", "protocol"]
    published = units[units["protocol"] == "published"].set_index(key)
    best = layers.groupby(key)["r_mean"].max().loc[published.index]
    np.testing.assert_allclose(published["r_mean"], best, rtol=1e-6)
    assert (
        published["r_mean"]
        >= units[units["protocol"] == "heldout_cv"]
        .set_index(["subject", "hemisphere", "roi", "method"])["r_mean"]
        .reindex(published.index.droplevel("protocol"))
        .to_numpy()
        - 0.01
    ).all()


def test_manifest_hashes_the_tables(latest):
    manifest = json.loads((latest / "manifest.json").read_text())
    for name in [*TABLES, "encoding_voxels.parquet"]:
        digest = hashlib.sha256((latest / "tables" / name).read_bytes()).hexdigest()
        assert manifest["tables"][name] == digest
    assert manifest["rules"]["tune_network"]["jobs"] == 27
    assert manifest["rules"]["tune_pooled"]["jobs"] == 3
    assert manifest["libraries"]["torch"]


def test_every_artifact_carries_the_provenance_of_its_folder(demo):
    results = demo.folder / "results"
    seen = 0
    for path in results.rglob("*"):
        version = re.search(r"results/([a-z_]+)/(\d+-[0-9a-f]{8})/", path.as_posix())
        wanted = path.suffix in (".h5", ".safetensors", ".parquet", ".csv", ".png")
        if version and wanted and "simulate_dataset" not in path.parts:
            provenance = read_provenance(path)
            assert (provenance["stage"], provenance["version"]) == version.groups(), path
            seen += 1
    assert seen > 100


def test_no_pickle_is_written(demo):
    suffixes = {path.suffix for path in (demo.folder / "results").rglob("*")}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".npz"}


def test_nothing_is_left_in_scratch(demo):
    assert [p for p in (demo.folder / "results").rglob("*") if ".checkpoint" in p.name] == []
    assert list((demo.folder / "results").rglob(".*.part*")) == []


def test_summary_prints_the_headline(demo):
    done = demo.cortune("summary")
    assert done.returncode == 0
    assert "contrastive" in done.stdout and "noise ceiling" in done.stdout


def test_report_is_one_page_with_all_figures(demo):
    text = (demo.folder / "results" / "latest" / "report.html").read_text()
    assert len(text) > 1_000_000
    figures = ("encoding_by_roi.png", "cortex.png", "published.png", "information_by_roi.png")
    figures += ("transfer_subjects.png", "transfer_datasets.png")
    more = ("probe_accuracy.png", "landscape_inpca.png", "laterality.png", "saliency_maps.png")
    for name in (*figures, *more, "training_curves.png", "encoding.csv", "comparison.csv"):
        assert name in text


# ---- what a changed setting reruns

DOWNSTREAM = {
    "tabulate_encoding",
    "tabulate_comparison",
    "tabulate_published",
    "plot_cortex",
    "plot_encoding",
    "plot_published",
    "plot_forgetting",
    "publish_results",
}
CURVE = {"fit_size_curve", "tabulate_size_curve", "plot_size_curve"}
BOUND = {"bound_information", "plot_information"}
TRANSFERRED = {"transfer_dataset", "tabulate_transfer", "plot_transfer"}
PROBED = {
    "probe_network",
    "tabulate_probes",
    "plot_probes",
    "embed_networks",
    "plot_landscape",
    "map_saliency",
    "tabulate_lateralization",
    "plot_saliency",
}
N_UNITS = 9  # 3 subjects: V1v in both hemispheres, PPA in one


def changed(demo, **changes):
    config = yaml.safe_load((demo.folder / "config.yaml").read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        section = config
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return demo.write_config(config, "changed.yaml")


def test_a_finished_run_plans_nothing(demo):
    assert demo.planned(demo.folder / "config.yaml") == {}


def test_new_alphas_rerun_no_tuning_and_no_features(demo):
    planned = demo.planned(changed(demo, encoding__alphas={"num": 5}))
    encoding = {"encode_roi", "transfer_subject"}
    assert set(planned) == DOWNSTREAM | CURVE | TRANSFERRED | encoding
    assert planned["encode_roi"] == 5 * N_UNITS


def test_new_temperature_reruns_contrastive_tuning_only(demo):
    """The pooled networks are tuned contrastively too; all others stay."""
    planned = demo.planned(changed(demo, contrastive__temperature=0.1))
    tuning = {"tune_network", "tune_pooled", "extract_features", "encode_roi", "plot_tuning"}
    assert set(planned) == DOWNSTREAM | CURVE | BOUND | TRANSFERRED | PROBED | tuning
    assert planned["probe_network"] == 4, "a job per subject, and one for the pooled networks"
    assert planned["map_saliency"] == 3, "of contrastive alone"
    assert planned["transfer_dataset"] == 2, "of the pooled networks alone"
    assert planned["tune_network"] == N_UNITS
    assert planned["tune_pooled"] == 3
    for rule in ("extract_features", "encode_roi"):
        assert planned[rule] == 2 * N_UNITS, "of contrastive and pooled_mean alone"
    assert planned["fit_size_curve"] == 6, "of contrastive alone"


def test_a_new_subject_reruns_nothing_of_the_others(demo):
    """But the networks that pool all subjects, for which it is a new subject too."""
    subjects = ["subj01", "subj02", "subj03", "subj04"]
    planned = demo.planned(changed(demo, datasets__nsd__subjects=subjects))
    assert planned["simulate_dataset"] == planned["prepare_images"] == 1
    assert planned["prepare_responses"] == 2
    assert planned["tune_network"] == 3 * 3
    assert planned["tune_pooled"] == 3
    pooled = N_UNITS + 3
    assert planned["extract_features"] == 1 + 3 * 3 + pooled
    assert planned["encode_roi"] == 4 * 3 + pooled
    assert planned["transfer_subject"] == 8, "every network is tried on the new subject"
    assert planned["transfer_dataset"] == 2 + 2, "its own networks and the pooled ones"
    assert planned["probe_network"] == 3 + 1, "of three methods, and of the pooled networks"
    assert planned["map_saliency"] == 1
    assert "pretrain_backbone" not in planned


def test_a_new_subject_without_pooling_reruns_nothing_of_the_others(demo):
    methods = ["untuned", "contrastive"]
    subjects = ["subj01", "subj02", "subj03", "subj04"]
    size_curve = {"sizes": [30, 60, 120], "rois": ["V1v"]}
    planned = demo.planned(
        changed(
            demo,
            datasets__nsd__subjects=subjects,
            tuning__methods=methods,
            encoding__size_curve=size_curve,
            transfer={"subjects": False},
        )
    )
    assert planned["tune_network"] == 3
    assert planned["extract_features"] == 4
    assert planned["encode_roi"] == 6
    assert planned["fit_size_curve"] == 4
    assert planned["probe_network"] == planned["map_saliency"] == 1
    assert "tune_pooled" not in planned


def test_settings_of_the_landscape_rerun_it_alone(demo):
    planned = demo.planned(changed(demo, landscape__methods=["inpca"]))
    assert set(planned) == {"embed_networks", "plot_landscape", "publish_results"}
    planned = demo.planned(changed(demo, saliency__n_images=200))
    saliency = {"map_saliency", "tabulate_lateralization", "plot_saliency"}
    assert set(planned) == saliency | {"publish_results"}
    assert planned["map_saliency"] == 3 + 1, "of contrastive by subject, and the untuned network"


@pytest.mark.parametrize("off", ["saliency", "landscape", "probes"])
def test_what_is_switched_off_is_not_planned(repository, workspace, off):
    """In an empty folder, so that every job is planned and every input asked for."""
    config = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    config |= {"probes": {}, "saliency": {}} if off == "probes" else {off: None}
    planned = workspace.planned(workspace.write_config(config))
    made = {
        "saliency": {"map_saliency", "tabulate_lateralization", "plot_saliency"},
        "landscape": {"embed_networks", "plot_landscape"},
        "probes": PROBED | {"prepare_probe", "plot_forgetting"},
    }
    everything = PROBED | {"prepare_probe", "plot_forgetting"}
    assert set(planned) & everything == everything - made[off]


def test_there_and_back(demo):
    """Another setting is really run; going back finds every file in place.

    Only results/latest, which holds the last complete run, is put in place again.
    `cortune versions` tells the difference and `cortune clean` removes it.
    """
    original = demo.folder / "config.yaml"
    latest = demo.folder / "results" / "latest" / "tables"
    tables = {path.name: path.read_bytes() for path in latest.iterdir()}
    other = changed(demo, encoding__min_noise_ceiling=0.1)
    demo.run(other)
    assert (latest / "encoding.csv").read_bytes() != tables["encoding.csv"]
    assert demo.planned(original) == {}

    listed = demo.cortune("versions", "--configfile", str(original))
    assert listed.returncode == 0
    assert "encoding.min_noise_ceiling: 0.1, now 0.05" in listed.stdout
    shown = demo.cortune("clean", "--configfile", str(original))
    assert "--yes" in shown.stdout
    kept = demo.cortune("clean", "--configfile", str(original), "--keep", str(other), "--yes")
    assert "Nothing to delete" in kept.stdout
    stage = demo.folder / "results" / "tabulate_encoding"
    assert len(list(stage.iterdir())) == 2
    assert demo.cortune("clean", "--configfile", str(original), "--yes").returncode == 0
    assert len(list(stage.iterdir())) == 1

    demo.run(original)
    assert demo.planned(original) == {}
    assert tables == {path.name: path.read_bytes() for path in latest.iterdir()}


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
