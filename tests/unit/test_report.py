from __future__ import annotations

import itertools
import os
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from example import EXAMPLE
from PIL import Image

from cortune.artifacts import read_json, read_provenance
from cortune.config import Config
from cortune.encoding import UnitEncoding, write_encoding
from cortune.report import encoding_figures, tables, tuning_figures
from cortune.report.publish import place_latest, publish_results
from cortune.report.summary import headline
from cortune.stages.publish import headings
from cortune.versions import Provenance

PROVENANCE = Provenance("tabulate_encoding", "1-00000000", 0)
SUBJECTS, ROIS, METHODS = ("subj01", "subj02"), ("hV4", "V1v"), ("untuned", "contrastive")


def encoding(random, constant=0):
    r = random.uniform(0, 0.5, 30).astype(np.float32)
    r[:constant] = np.nan
    layers = np.stack([r, r - 0.1])
    return UnitEncoding(
        layers=("features.2", "features.5"),
        layer="features.2",
        fold_layers=("features.2",) * 3,
        n_images_fit=40,
        n_images_scored=60,
        vertices=np.arange(30),
        noise_ceiling=np.full(30, 0.36, np.float32),
        r=r,
        alpha=np.full(30, 10.0, np.float32),
        fold_alpha=np.full((3, 30), 10.0, np.float32),
        r_layers=layers,
        alpha_layers=np.full((2, 30), 10.0, np.float32),
        interval=np.array([np.nanmean(r) - 0.02, np.nanmean(r) + 0.02]),
        interval_layers=np.tile([0.0, 0.5], (2, 1)),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    random = np.random.default_rng(0)
    units = []
    for subject, side, roi, method in itertools.product(SUBJECTS, ("lh", "rh"), ROIS, METHODS):
        path = folder / f"{subject}{side}{roi}{method}.h5"
        constant = 2 if (subject, side, roi) == ("subj01", "lh", "V1v") else 0
        results = {"heldout_cv": encoding(random, constant), "published": encoding(random)}
        write_encoding(path, results, PROVENANCE)
        units.append(tables.EncodedUnit("nsd", subject, side, roi, method, str(path)))
    out = SimpleNamespace(
        encoding=folder / "encoding.csv",
        replicates=folder / "encoding_replicates.csv",
        layers=folder / "encoding_layers.csv",
        voxels=folder / "encoding_voxels.parquet",
        partition=folder / "variance_partition.csv",
        skipped=folder / "skipped.csv",
        comparison=folder / "comparison.csv",
    )
    tables.tabulate_encoding(units, [], out, PROVENANCE, min_noise_ceiling=0.05)
    tables.tabulate_comparison(
        out.encoding,
        out.voxels,
        out.comparison,
        PROVENANCE,
        protocol="heldout_cv",
        methods=METHODS,
        n_bootstrap=200,
        n_permutations=200,
    )
    return out


def test_tables_have_a_row_per_unit_layer_and_voxel(written):
    units, layers = pd.read_csv(written.encoding), pd.read_csv(written.layers)
    voxels = pd.read_parquet(written.voxels)
    assert len(units) == 2 * 2 * 2 * 2 * 2
    assert len(layers) == 2 * len(units)
    assert len(voxels) == 30 * len(units)
    means = voxels.groupby(tables.UNIT, observed=True)["r"].mean()
    found = units.set_index(tables.UNIT)["r_mean"]
    np.testing.assert_allclose(found, means.loc[found.index], rtol=1e-5)
    np.testing.assert_allclose(units["ceiling_r_mean"], 0.6, rtol=1e-5)
    np.testing.assert_allclose(
        voxels["nnr2"], np.sign(voxels["r"]) * voxels["r"] ** 2 / 0.36, rtol=1e-4
    )


def test_constant_voxels_are_kept_empty_and_counted(written):
    voxels = pd.read_parquet(written.voxels)
    assert voxels["r"].isna().sum() == 2 * len(METHODS)
    skipped = pd.read_csv(written.skipped)
    assert len(skipped) == len(METHODS)
    assert skipped["reason"].str.startswith("2 of 30 voxels").all()


def test_comparison_agrees_with_the_table_of_units(written):
    units = pd.read_csv(written.encoding)
    units = units[units["protocol"] == "heldout_cv"]
    wide = units.pivot_table(
        index=["subject", "hemisphere", "roi"], columns="method", values="r_mean"
    )
    expected = (wide["contrastive"] - wide["untuned"]).groupby("subject").mean().mean()
    comparison = pd.read_csv(written.comparison)
    (row,) = comparison[comparison["group"] == "early"].to_dict("records")
    assert row["r_diff_mean"] == pytest.approx(expected, abs=1e-6)
    assert (row["method_a"], row["method_b"]) == ("contrastive", "untuned")
    assert row["n_subjects"] == 2 and row["n_units"] == 8
    assert 0 <= row["frac_voxels_a_better"] <= 1


def test_tables_carry_provenance(written):
    for path in vars(written).values():
        assert read_provenance(path)["stage"] == "tabulate_encoding"


def test_bars_and_ceilings_show_the_table(written):
    units = pd.read_csv(written.encoding)
    units = units[units["protocol"] == "heldout_cv"]
    with encoding_figures.figure_style():
        figure = encoding_figures.accuracy_by_roi(units)
    left, right = figure.axes
    heights = sorted(bar.get_height() for bar in left.patches)
    expected = units[units["hemisphere"] == "lh"].groupby(["roi", "method"])["r_mean"].mean()
    np.testing.assert_allclose(heights, sorted(expected), rtol=1e-6)
    assert [t.get_text() for t in right.get_xticklabels()] == ["V1v", "hV4"], "early to higher"


def test_all_figures_are_drawn(written, tmp_path):
    out = SimpleNamespace(
        **{name: tmp_path / f"{name}.png" for name in ("by_roi", "layers", "voxels", "protocols")}
    )
    encoding_figures.plot_encoding(
        written.encoding, written.layers, written.voxels, out, PROVENANCE, protocol="heldout_cv"
    )
    for path in vars(out).values():
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("methods", [("untuned",), ("contrastive",)])
def test_figures_of_a_single_method_and_protocol(written, methods):
    units, layers = pd.read_csv(written.encoding), pd.read_csv(written.layers)
    voxels = pd.read_parquet(written.voxels)
    one = [
        t[(t["protocol"] == "heldout_cv") & t["method"].isin(methods)]
        for t in (units, layers, voxels)
    ]
    with encoding_figures.figure_style():
        encoding_figures.accuracy_by_roi(one[0]).canvas.draw()
        encoding_figures.layer_profile(one[1]).canvas.draw()
        encoding_figures.voxel_scatter(one[2]).canvas.draw()
        encoding_figures.protocol_optimism(one[0]).canvas.draw()


def test_other_protocols_are_named_as_such_in_their_titles():
    """Not "published: +0.062", which reads as a number of the paper."""
    both = [("heldout_cv", 0.3), ("published", 0.362)]
    units = pd.DataFrame(
        [("a", "lh", "V1v", "untuned", protocol, r) for protocol, r in both],
        columns=["subject", "hemisphere", "roi", "method", "protocol", "r_mean"],
    )
    with encoding_figures.figure_style():
        (ax,) = encoding_figures.protocol_optimism(units).axes
    assert ax.get_title(loc="left") == "protocol published:\n+.062 on average"


def test_epochs_are_whole_in_training_curves():
    histories = pd.DataFrame(
        {"network": "n", "hemisphere": "lh", "roi": "V1v", "method": "contrastive",
         "epoch": [1, 2], "loss": [2.0, 1.9], "validation_bound_nats": [0.1, 0.2]}
    )  # fmt: skip
    with encoding_figures.figure_style():
        figure = tuning_figures.training_curves(histories)
        figure.canvas.draw()
    ticks = figure.axes[-1].get_xticks()
    assert len(ticks) >= 2 and all(float(tick).is_integer() for tick in ticks)


def test_training_curves_without_networks():
    tuning_figures.training_curves(pd.DataFrame()).canvas.draw()


@pytest.fixture
def run(written, tmp_path, monkeypatch):
    """A published run: its folder of results, and what is placed there as the latest."""
    monkeypatch.chdir(tmp_path)
    benchmarks = tmp_path / "results" / "benchmarks" / "encode_roi"
    for version, seconds in (("1-00000000", 2.5), ("1-00000001", 100)):
        for name in ("rep-0", "rep-1"):
            path = benchmarks / version / "ds-nsd" / f"{name}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"s\th:m:s\n{seconds}\t0:00:02\n")
    short = tmp_path / "results" / "benchmarks" / "tabulate_encoding" / "1-00000002.tsv"
    short.parent.mkdir()
    short.write_text("s\th:m:s\n0.5\t0:00:00\n")
    figure = tmp_path / "encoding_by_roi.png"
    Image.new("RGB", (4, 4)).save(figure)
    shown = [str(written.encoding), str(written.skipped), str(figure)]
    folder = tmp_path / "results" / "publish_results" / "1-00000003"
    out = SimpleNamespace(manifest=str(folder / "manifest.json"), page=str(folder / "report.html"))
    publish_results(
        headings(shown),
        out,
        config=Config.from_mapping(EXAMPLE).as_dict(),
        versions={"encode_roi": ["1-00000000"], "tabulate_encoding": ["1-00000002"]},
        results="results",
    )

    def place():
        place_latest("results", out.manifest, out.page, shown)

    return SimpleNamespace(latest=tmp_path / "results" / "latest", place=place, out=out)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_published_run_has_what_this_run_made_and_nothing_older(run):
    (run.latest / "tables").mkdir(parents=True)
    (run.latest / "tables" / "old.csv").write_text("")
    (run.latest / "report.html").write_text("old")
    run.place()
    assert names(run.latest / "tables") == {
        "encoding.csv", "encoding.csv.json", "skipped.csv", "skipped.csv.json",
    }  # fmt: skip
    assert names(run.latest / "figures") == {"encoding_by_roi.png"}
    assert "encoding.csv" in (run.latest / "report.html").read_text()
    manifest = read_json(run.latest / "manifest.json")
    assert manifest["versions"] == {"encode_roi": "1-00000000", "tabulate_encoding": "1-00000002"}
    assert set(manifest["tables"]) == {"encoding.csv", "skipped.csv"}
    text = headline(run.latest)
    assert "contrastive" in text and "subj02" in text and "noise ceiling" in text


def test_the_headline_names_network_data_and_when_the_run_ended(run):
    """Also where it became the latest again long afterwards."""
    ended = datetime(2026, 11, 26, 9, 21, 30).timestamp()
    os.utime(run.out.manifest, (ended, ended))
    run.place()
    first, empty, *_ = headline(run.latest).splitlines()
    assert first == "alexnet (pretrain), nsd (simulated), nod (simulated), run of 2026-11-26 09:21"
    assert empty == ""


def test_the_manifest_counts_the_time_of_the_jobs_of_this_run(run):
    rules = read_json(run.out.manifest)["rules"]
    assert rules["encode_roi"] == {"jobs": 2, "seconds": 5.0}
    assert rules["tabulate_encoding"] == {"jobs": 1, "seconds": 0.5}


def test_a_run_that_is_in_place_is_left_alone(run):
    run.place()
    before = {path: path.stat().st_mtime_ns for path in run.latest.rglob("*")}
    run.place()
    assert {path: path.stat().st_mtime_ns for path in run.latest.rglob("*")} == before


@pytest.mark.parametrize("file", ["tables/encoding.csv", "report.html", "tables/more.csv"])
def test_what_was_changed_in_place_is_put_right(run, file):
    run.place()
    whole = {path: path.read_bytes() for path in run.latest.rglob("*") if path.is_file()}
    (run.latest / file).write_text("changed")
    run.place()
    assert {path: path.read_bytes() for path in run.latest.rglob("*") if path.is_file()} == whole


def test_a_manifest_means_a_whole_run(run, monkeypatch):
    """Where placing ends half way, there is none."""
    run.place()
    (run.latest / "tables" / "old.csv").write_text("")

    def failing(*args):
        raise OSError("the disk broke")

    monkeypatch.setattr("cortune.report.publish.shutil.copyfile", failing)
    with pytest.raises(OSError, match="broke"):
        run.place()
    assert not (run.latest / "manifest.json").exists()


def test_scores_of_several_networks_of_a_unit_are_averaged():
    unit = {"dataset": "nsd", "subject": "a", "hemisphere": "lh", "roi": "V1v", "protocol": "p"}
    rows = [
        unit | {"method": method, "replicate": replicate, "layer": layer, "r_mean": r}
        for method, replicate, layer, r in [
            ("untuned", "0", "x", 0.1),
            ("contrastive", "0", "y", 0.2),
            ("contrastive", "1", "x", 0.4),
        ]
    ]
    table = pd.DataFrame(rows).assign(n_voxels=30, n_images_fit=20)
    found = tables.over_replicates(table, tables.UNIT).set_index("method")
    assert found.loc["contrastive", "r_mean"] == pytest.approx(0.3)
    assert found.loc["contrastive", "r_sd_replicates"] == pytest.approx(np.std([0.2, 0.4], ddof=1))
    assert found.loc["untuned", "n_replicates"] == 1
    assert np.isnan(found.loc["untuned", "r_sd_replicates"])
    assert list(found.index) == ["untuned", "contrastive"] and found["layer"].to_list() == [
        "x",
        "y",
    ]
    assert "replicate" not in found
