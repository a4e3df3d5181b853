"""Accuracy against the number of images fitted: stage, table and figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cortune.artifacts import hdf5_writer, read_provenance
from cortune.encoding import Settings, read_encoding
from cortune.encoding.curves import fit_size_curve, read_size_curve
from cortune.encoding.stages import encode_roi
from cortune.errors import InputError, LeakageError
from cortune.features import gram_matrix
from cortune.report import curves
from cortune.report.style import figure_style
from cortune.report.tables import EncodedUnit
from cortune.versions import Provenance

PROVENANCE = Provenance("fit_size_curve", "1-00000000", 0)
SETTINGS = Settings(alphas=[0.1, 10.0, 1000.0], n_components=50)
SETS = np.repeat(["tune", "validation", "test"], [200, 20, 60])
IDENTITIES = np.array([f"nsd:{i:05d}" for i in range(len(SETS))])
N_FEATURES, N_VOXELS = 30, 5


def encode_names(names):
    return np.char.encode(np.asarray(names, dtype=np.str_), "utf-8")


def write_grams(path, features, keep=slice(None), tuned_on=()):
    with hdf5_writer(path, PROVENANCE) as file:
        file["identities"] = encode_names(IDENTITIES[keep])
        file["sets"] = encode_names(SETS[keep])
        file["tuned_on"] = encode_names(list(tuned_on) or [""])[: len(tuned_on)]
        file.attrs["layers"] = ["features.2"]
        file["layers/features.2"] = gram_matrix(features[keep]).astype(np.float32)
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Responses that are linear in the features, written in another order of images."""
    folder = tmp_path_factory.mktemp("planted")
    random = np.random.default_rng(0)
    features = random.standard_normal((len(SETS), N_FEATURES)).astype(np.float32)
    signal = features @ random.standard_normal((N_FEATURES, N_VOXELS)) / np.sqrt(N_FEATURES)
    values = (signal + random.standard_normal(signal.shape)).astype(np.float32)
    order = random.permutation(len(SETS))
    with hdf5_writer(folder / "responses.h5", PROVENANCE) as file:
        file.create_dataset("responses", data=values[order], chunks=(64, 2))
        file["vertices"] = file["mesh_vertices"] = np.arange(N_VOXELS)
        file["noise_ceiling"] = np.full(N_VOXELS, 0.5, np.float32)
        file["identities"] = encode_names(IDENTITIES[order])
        file["rois/V1v"] = np.arange(N_VOXELS)
    return folder, features, values


def fit(folder, grams, sizes=(20, 60, 10_000)):
    out = folder / f"{grams.stem}_curve.h5"
    fit_size_curve(
        grams, folder / "responses.h5", "V1v", out, PROVENANCE, SETTINGS, sizes=sizes, n_folds=4
    )
    return out


@pytest.fixture(scope="module")
def fitted(planted):
    folder, features, _ = planted
    tuned_on = IDENTITIES[SETS != "test"]
    return fit(folder, write_grams(folder / "all.h5", features, tuned_on=tuned_on))


def test_accuracy_rises_to_what_the_noise_allows(fitted):
    found = read_size_curve(fitted)
    assert list(found) == [20, 60, 200], "ascending; beyond the tuning images, all of them"
    assert [each.n_images_fit for each in found.values()] == [20, 60, 200]
    assert {each.n_images_scored for each in found.values()} == {60}
    means = [each.r.mean() for each in found.values()]
    assert (np.diff(means) > 0.03).all()
    assert 0.55 < means[-1] < np.sqrt(0.5) + 0.1, "rows mismatched would give no r at all"


def test_largest_size_equals_ridge_on_the_features(planted, fitted):
    """With one penalty for every voxel, against the closed form on the features."""
    folder, features, values = planted
    alpha = 10.0
    out = folder / "one_penalty.h5"
    settings = Settings(alphas=[alpha], n_components=N_FEATURES)
    fit_size_curve(
        folder / "all.h5",
        folder / "responses.h5",
        "V1v",
        out,
        PROVENANCE,
        settings,
        sizes=[200],
        n_folds=4,
    )
    tune, test = SETS == "tune", SETS == "test"
    X = features[tune] - features[tune].mean(0)
    Y = values[tune] - values[tune].mean(0)
    weights = np.linalg.solve(X.T @ X + alpha * np.eye(N_FEATURES), X.T @ Y)
    predicted = features[test] @ weights
    expected = [np.corrcoef(predicted[:, v], values[test][:, v])[0, 1] for v in range(N_VOXELS)]
    np.testing.assert_allclose(read_size_curve(out)[200].r, expected, atol=1e-4)


@pytest.mark.parametrize("stage", ["fit_size_curve", "encode_roi"])
def test_a_leaked_image_is_caught(planted, stage):
    folder, features, _ = planted
    leaked = [*IDENTITIES[SETS == "tune"], IDENTITIES[SETS == "test"][0]]
    grams = write_grams(folder / "leaked.h5", features, tuned_on=leaked)
    out = folder / "leaked_encoding.h5"
    with pytest.raises(LeakageError, match="1 of 60 scored images"):
        if stage == "fit_size_curve":
            fit(folder, grams)
        else:
            encode(folder, grams, out)
    assert not out.exists()


def encode(folder, grams, out):
    encode_roi(
        grams,
        folder / "responses.h5",
        "V1v",
        out,
        PROVENANCE,
        SETTINGS,
        protocols=["tune_test"],
        n_folds=4,
    )


def test_both_stages_see_the_same_rows(planted, fitted):
    folder, _, _ = planted
    encode(folder, folder / "all.h5", folder / "encoding.h5")
    scored = read_encoding(folder / "encoding.h5")["tune_test"]
    np.testing.assert_allclose(scored.r, read_size_curve(fitted)[200].r, atol=0.05)


def test_grams_without_tuning_images_are_refused(planted):
    folder, features, _ = planted
    grams = write_grams(folder / "test_only.h5", features, keep=SETS == "test")
    with pytest.raises(InputError, match="images of set test alone.*encoding.size_curve.sizes"):
        fit(folder, grams)


def test_images_without_responses_are_refused(planted, monkeypatch):
    folder, features, _ = planted
    renamed = IDENTITIES.copy()
    renamed[3] = "coco:1"
    monkeypatch.setitem(globals(), "IDENTITIES", renamed)
    grams = write_grams(folder / "renamed.h5", features)
    with pytest.raises(InputError, match="image coco:1 without responses"):
        fit(folder, grams)


@pytest.fixture(scope="module")
def table(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "size_curve.csv"
    units = [
        EncodedUnit("nsd", subject, "lh", "V1v", method, str(fitted))
        for subject in ("01", "02")
        for method in ("untuned", "contrastive")
    ]
    curves.tabulate_size_curve(units, path, PROVENANCE)
    return path


def test_table_has_a_row_per_unit_and_size(table, fitted):
    rows = pd.read_csv(table, dtype={"subject": str})
    assert list(rows.columns) == curves.COLUMNS and len(rows) == 2 * 2 * 3
    assert set(rows["split"]) == {"hash"} and set(rows["n_images_scored"]) == {60}
    (row,) = rows.query("subject == '02' and method == 'untuned' and n_images_fit == 60").to_dict(
        "records"
    )
    encoding = read_size_curve(fitted)[60]
    found = [row[name] for name in ("r_mean", "r_ci_low", "r_ci_high")]
    np.testing.assert_allclose(found, [encoding.r.mean(), *encoding.interval], rtol=1e-5)
    assert read_provenance(table)["stage"] == "fit_size_curve"


def rows_of(subject, r_by_size, roi="V1v", method="untuned"):
    return [
        ("nsd", subject, "lh", roi, method, n, "hash", 60, r, r, r, 1, np.nan)
        for n, r in r_by_size.items()
    ]


def test_curve_by_hand():
    """Units within a subject first; the last point is all that each subject has."""
    rows = rows_of("a", {10: 0.1, 100: 0.3, 900: 0.5}) + rows_of(
        "a", {10: 0.3, 100: 0.5, 900: 0.7}, "hV4"
    )
    rows += rows_of("b", {10: 0.4, 100: 0.8, 1000: 0.8, 1100: 1.0})
    line = curves.curve(pd.DataFrame(rows, columns=curves.COLUMNS))
    expected = [(10, 0.3, 0.2, 0.4), (100, 0.6, 0.4, 0.8), (1000, 0.8, 0.6, 1.0)]
    np.testing.assert_allclose(line.to_numpy(), expected)


def test_lines_show_accuracy_and_gain():
    rows = rows_of("a", {10: 0.1, 100: 0.3})
    rows += rows_of("a", {10: 0.4, 100: 0.5}, method="contrastive")
    with figure_style():
        figure = curves.size_curves(pd.DataFrame(rows, columns=curves.COLUMNS))
    accuracy, gain, roi = figure.axes
    by_method = {line.get_label(): line.get_ydata().tolist() for line in accuracy.lines}
    assert by_method == {"untuned": [0.1, 0.3], "contrastive": [0.4, 0.5]}
    np.testing.assert_allclose(gain.lines[0].get_ydata(), [0.3, 0.2])
    assert gain.get_xscale() == accuracy.get_xscale() == roi.get_xscale() == "log"
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "early",
        "early: gain over untuned",
        "V1v",
    ]


@pytest.mark.parametrize(
    ("rois", "methods"),
    [
        (("V1v", "FFA-1", "hV4", "PPA", "EBA"), ("untuned", "regression")),
        (("midventral",), ("contrastive",)),
    ],
)
def test_figure_is_drawn(rois, methods, tmp_path):
    rows = [
        row
        for roi in rois
        for method in methods
        for row in rows_of("1", {10: 0.1, 100: np.nan if roi == "EBA" else 0.2}, roi, method)
    ]
    table, figure = tmp_path / "size_curve.csv", tmp_path / "size_curve.png"
    pd.DataFrame(rows, columns=curves.COLUMNS).to_csv(table, index=False)
    curves.plot_size_curve(table, figure, PROVENANCE)
    assert figure.read_bytes().startswith(b"\x89PNG")
