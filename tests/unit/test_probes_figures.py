from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cortune.artifacts import hdf5_writer, read_provenance
from cortune.probes import NetworkLabel, ProbeImages
from cortune.report import probe_figures, saliency_figures
from cortune.saliency import SaliencyResult, hemisphere_tests, lateralization
from cortune.simulate.scenes import labelled_scenes
from cortune.versions import Provenance

PROVENANCE = Provenance("plot_probes", "1-00000000", 0)
SUBJECTS, ROIS = ("subj01", "subj02", "subj03"), ("V1v", "hV4", "PPA")
METHODS = ("regression", "contrastive", "pooled_mean")


def labels():
    yield NetworkLabel("untuned", "nsd", method="untuned")
    for method in METHODS:
        for subject in ("",) if method == "pooled_mean" else SUBJECTS:
            for hemisphere in ("lh", "rh"):
                for roi in ROIS:
                    name = "-".join((subject, hemisphere, roi, method))
                    yield NetworkLabel(name, "nsd", subject, hemisphere, roi, method)


def probe_table():
    random = np.random.default_rng(0)
    rows = []
    for probe, n_classes in (("scenes", 10), ("caltech256", 257)):
        for label in labels():
            accuracy = random.uniform(0.3, 0.6) + 0.1 * (label.method == "untuned")
            rows.append(
                vars(label)
                | {"probe": probe, "n_classes": n_classes, "accuracy": accuracy}
                | {"ci_low": accuracy - 0.05, "ci_high": accuracy + 0.05}
            )
    return pd.DataFrame(rows)


def encoding_table():
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "dataset": "nsd", "subject": subject, "hemisphere": hemisphere, "roi": roi,
            "method": method, "protocol": "heldout_cv",
            "r_mean": random.uniform(0.2, 0.3) + 0.1 * (method != "untuned"),
        }
        for subject in SUBJECTS for hemisphere in ("lh", "rh") for roi in ROIS
        for method in ("untuned", *METHODS)
    )  # fmt: skip


def saliency_results(n=120, size=64):
    random = np.random.default_rng(2)
    x = np.linspace(-1, 1, size)
    results = []
    for label in labels():
        side = {"lh": 1, "rh": -1, "": 0}[label.hemisphere]
        side *= {"V1v": 0.15, "hV4": 0.08, "PPA": 0.02, "": 0}[label.roi]
        li = random.normal(0.1 + side, 0.15, n)
        density = np.exp(-2 * (x[:, None] ** 2 + (x - 0.3 - 2 * side) ** 2)) + 0.2
        shifts = random.uniform(-0.5, 0.5, (5, 2))
        examples = np.array(
            [np.exp(-6 * ((x[:, None] - a) ** 2 + (x - b - side) ** 2)) for a, b in shifts]
        )
        results.append(
            SaliencyResult(
                label, "scenes", "features.12", "grad_cam", np.arange(n), li + 0.1, li - 0.1, 0,
                (density / density.sum()).astype(np.float32), examples.astype(np.float32),
                np.full(4, 0.3),
            )
        )  # fmt: skip
    return results


def write(result, path):
    with hdf5_writer(path, PROVENANCE) as file:
        for name in ("rows", "li_image", "li_mirror", "mean_map", "examples", "r_randomised"):
            file[name] = getattr(result, name)
        file.attrs.update(vars(result.label))
        for name in ("probe", "layer", "attribution", "n_empty"):
            file.attrs[name] = getattr(result, name)
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    probe_table().to_csv(folder / "probes.csv", index=False)
    encoding_table().to_csv(folder / "encoding.csv", index=False)
    results = saliency_results()
    options = {"n_bootstrap": 100, "n_permutations": 100}
    lateralization(results, **options).to_csv(folder / "lateralization.csv", index=False)
    hemisphere_tests(results, **options).to_csv(folder / "tests.csv", index=False)
    return folder, results


def test_probe_figures_are_drawn_from_the_tables(tables):
    folder, _ = tables
    probe_figures.plot_probes(folder / "probes.csv", folder / "accuracy.png", PROVENANCE)
    probe_figures.plot_forgetting(
        folder / "encoding.csv", folder / "probes.csv", folder / "f.png", PROVENANCE,
        protocol="heldout_cv",
    )  # fmt: skip
    for name in ("accuracy.png", "f.png"):
        assert (folder / name).stat().st_size > 10_000
        assert read_provenance(folder / name)["stage"] == "plot_probes"


def test_every_network_is_a_point_with_untuned_and_chance_lines(tables):
    table = probe_figures.read_probe_table(tables[0] / "probes.csv")
    figure = probe_figures.accuracy_by_roi(table)
    axes = figure.axes
    assert len(axes) == 4
    points = [
        line for ax in axes for line in ax.lines if line.get_marker() not in ("None", "", None)
    ]
    assert len(points) == (table["method"] != "untuned").sum()
    heights = {round(float(line.get_ydata()[0]), 6) for line in axes[2].lines}
    of_probe = table[table["probe"] == "caltech256"]
    assert round(1 / 257, 6) in heights
    assert round(of_probe.loc[of_probe["method"] == "untuned", "accuracy"].item(), 6) in heights


def test_gain_and_loss_are_differences_from_untuned(tables):
    folder, _ = tables
    units, probed = encoding_table(), probe_figures.read_probe_table(folder / "probes.csv")
    table = probe_figures.gains_and_losses(units, probed)
    assert len(table) == 2 * len(METHODS) * 18
    for row in table.sample(20, random_state=0).itertuples():
        unit = units[
            (units["subject"] == row.subject)
            & (units["hemisphere"] == row.hemisphere)
            & (units["roi"] == row.roi)
        ].set_index("method")["r_mean"]
        assert row.gain == pytest.approx(unit[row.method] - unit["untuned"])
        subject = "" if row.method == "pooled_mean" else row.subject
        of_probe = probed[probed["probe"] == row.probe].set_index("model")["accuracy"]
        name = "-".join((subject, row.hemisphere, row.roi, row.method))
        assert row.loss == pytest.approx(of_probe["untuned"] - of_probe[name])
    alone = probe_figures.gains_and_losses(units, probed[probed["method"] != "untuned"])
    assert alone.empty
    assert probe_figures.gain_against_forgetting(alone).axes


def test_saliency_figures_are_drawn_from_the_artifacts(tables):
    folder, results = tables
    paths = [write(one, folder / f"{i}.h5") for i, one in enumerate(results)]
    pixels, classes = labelled_scenes(10, size=64, n_classes=3, seed=0, stream="figure")
    images = ProbeImages(pixels, tuple("0123456789"), classes, ("a", "b", "c"), classes < 0)
    names = ("maps", "laterality", "distributions", "examples")
    outputs = SimpleNamespace(**{name: str(folder / f"{name}.png") for name in names})
    saliency_figures.plot_saliency(
        paths, folder / "lateralization.csv", folder / "tests.csv", images, outputs, PROVENANCE
    )
    for name in names:
        assert (folder / f"{name}.png").stat().st_size > 10_000


def test_mean_maps_show_both_hemispheres_and_their_difference(tables):
    figure = saliency_figures.mean_maps(tables[1])
    drawn = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert len(drawn) == 1 + 3 * len(METHODS) * len(ROIS)
    lh, rh, difference = drawn[1:4]
    np.testing.assert_allclose(difference, lh - rh)
    assert lh.mean() == pytest.approx(1, rel=1e-5)
    assert lh[:, 32:].sum() > rh[:, 32:].sum()


def test_without_tuned_networks_figures_say_so(tables):
    results = tables[1][:1]
    table = lateralization(results, n_bootstrap=10, n_permutations=10)
    tests = hemisphere_tests(results)
    for figure in (
        saliency_figures.mean_maps(results),
        saliency_figures.laterality_by_roi(table, tests),
        saliency_figures.laterality_distributions(results, tests),
    ):
        assert (
            "No tuned network" in figure.axes[0].get_title(loc="left") + figure.axes[0].get_title()
        )
    probed = probe_table()
    assert probe_figures.accuracy_by_roi(probed[probed["method"] == "untuned"]).axes
