"""The landscape's artifacts, stage, tables and figures."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from cortune.artifacts import hdf5_writer, read_provenance
from cortune.errors import InputError
from cortune.landscape.dissimilarity import bhattacharyya, with_references
from cortune.landscape.inpca import inpca
from cortune.landscape.predictions import Model, open_predictions
from cortune.landscape.stages import (
    Settings,
    compare_predictions,
    embed_networks,
    read_dissimilarity,
)
from cortune.report import landscape_figures
from cortune.report.style import figure_style
from cortune.versions import Provenance

PROVENANCE = Provenance("embed_networks", "1-00000000", 3)
N, CLASSES = 60, 5
LABELS = np.random.default_rng(0).integers(0, CLASSES, N)
ROIS = ("V1v", "hV4", "PPA")
MODELS = (
    Model("untuned", method="untuned"),
    *(
        Model(f"{s}_{h}_{r}", s, h, r, "contrastive")
        for s in ("subj01", "subj02")
        for h in ("lh", "rh")
        for r in ROIS
    ),
)


def predict(model, probe="scenes"):
    """Return log-probabilities that know the truth, the network's ROI and some noise."""
    random = np.random.default_rng([len(probe), *model.model.encode()])
    logits = 0.4 * random.standard_normal((N, CLASSES))
    logits[np.arange(N), LABELS] += 1.5
    if model.roi:
        logits += np.random.default_rng([*model.roi.encode()]).standard_normal((N, CLASSES))
    return log_softmax(logits, axis=1).astype(np.float32)


def write(folder, model, probe="scenes", **changes):
    path = folder / f"{probe}_{model.model}.h5"
    arrays = {"log_probabilities": predict(model, probe), "labels": LABELS}
    arrays |= {"identities": np.array([f"coco:{i}".encode() for i in range(N)])} | changes
    with hdf5_writer(path, PROVENANCE) as file:
        for name, values in arrays.items():
            if values is not None:
                file[name] = values
        file.attrs.update({"probe": probe} | vars(model))
    return path


def outputs(folder):
    names = {"dissimilarity": "dissimilarity", "landscape": "landscape"}
    names |= {"axes": "landscape_axes", "tests": "landscape_tests"}
    return SimpleNamespace(**{key: folder / f"{name}.csv" for key, name in names.items()})


def expected_distance(models, probe="scenes"):
    p = np.stack([predict(model, probe) for model in models])
    return bhattacharyya(with_references(p, LABELS))


@pytest.fixture
def paths(tmp_path):
    return [write(tmp_path, model) for model in MODELS]


def sorted_models(models=MODELS):
    return sorted(models, key=lambda model: model.model)


def test_tables_of_the_stage(tmp_path, paths):
    out = outputs(tmp_path)
    embed_networks(paths, out, PROVENANCE, Settings(("inpca", "mds"), 999, memory_mb=0.01))
    models = sorted_models()
    names, distance = read_dissimilarity(out.dissimilarity)
    assert names == [model.model for model in models] + ["truth", "ignorance"]
    np.testing.assert_allclose(distance, expected_distance(models), rtol=1e-6)
    landscape = pd.read_csv(out.landscape)
    contract = "model subject hemisphere roi method space axis_1 axis_2 axis_3 explained_stress"
    assert set(contract.split()) <= set(landscape) and len(landscape) == 2 * len(names)
    components = inpca(expected_distance(models))
    rows = landscape[landscape["space"] == "inpca"]
    np.testing.assert_allclose(
        rows[["axis_1", "axis_2", "axis_3"]], components.coordinates[:, :3], rtol=1e-5, atol=1e-6
    )
    assert rows["explained_stress"].iloc[0] == pytest.approx(components.explained_stress(3))
    axes = pd.read_csv(out.axes)
    np.testing.assert_allclose(
        axes["eigenvalue"], components.eigenvalues[: len(axes)], rtol=1e-5, atol=1e-9
    )
    assert ((axes["kind"] == "imaginary") == (axes["eigenvalue"] < 0)).all()
    tests = pd.read_csv(out.tests).set_index("factor")
    # Of the ROIs of two subjects 6^2 arrangements, of which one in 6 differs by names alone.
    assert tests.loc["roi", "n_arrangements"] == 6 and np.isnan(tests.loc["roi", "p_value"])
    assert tests.loc["roi", "statistic"] < tests.loc["roi", "null_mean"]
    assert tests.loc["subject", "p_value"] > 0.01 and np.isnan(tests.loc["hemisphere", "p_value"])
    assert (tests["n_models"] == 12).all() and np.isnan(tests.loc["method", "p_value"])
    assert read_provenance(out.tests)["stage"] == "embed_networks"


def test_probes_are_averaged_and_order_of_files_does_not_matter(tmp_path, paths):
    paths += [write(tmp_path, model, "objects") for model in MODELS]
    models, distance = compare_predictions(paths[::-1])
    assert models[:-2] == sorted_models()
    one, two = (expected_distance(sorted_models(), probe) for probe in ("scenes", "objects"))
    np.testing.assert_allclose(distance, (one + two) / 2, atol=1e-12)


def test_blocks_read_every_image_once(paths):
    (probe,) = open_predictions(paths)
    blocks = list(probe.blocks(memory_mb=0.01))
    assert len(blocks) > 5
    p = np.stack([predict(model) for model in sorted_models()])
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), with_references(p, LABELS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identities": np.array([f"coco:{N - i}".encode() for i in range(N)])}, "another order"),
        ({"identities": None, "test_rows": np.arange(N)}, "identities or test_rows"),
        ({"identities": None}, "data sets labels, log_probabilities"),
        ({"labels": (LABELS + 1) % CLASSES}, "labels of the test images"),
        ({"labels": LABELS + 1}, "below the number of classes"),
        ({"labels": LABELS[1:]}, "59 labels"),
        ({"log_probabilities": np.full((N, 8), np.log(0.125), np.float32)}, "other classes"),
        ({"log_probabilities": np.full((N, CLASSES), np.nan, np.float32)}, "probe scenes"),
    ],
)
def test_predictions_that_do_not_fit_are_named(tmp_path, paths, changes, message):
    paths[3] = write(tmp_path, MODELS[3], **changes)
    with pytest.raises(InputError, match=message):
        compare_predictions(paths)


def test_models_that_do_not_fit_are_named(tmp_path, paths):
    with pytest.raises(InputError, match="each model once"):
        open_predictions([*paths, paths[2]])
    with pytest.raises(InputError, match="in one of them only"):
        open_predictions([*paths, write(tmp_path, MODELS[0], "objects")])
    with pytest.raises(InputError, match="which the landscape adds"):
        open_predictions([write(tmp_path, Model("truth"))])
    with pytest.raises(InputError, match="at least one network"):
        open_predictions([])
    with hdf5_writer(tmp_path / "bare.h5", PROVENANCE) as file:
        file["labels"] = LABELS
    with pytest.raises(InputError, match="no attribute probe"):
        open_predictions([tmp_path / "bare.h5"])


def test_figures_show_the_tables(tmp_path, paths):
    out = outputs(tmp_path)
    embed_networks(paths, out, PROVENANCE, Settings(("inpca", "mds"), 9))
    figures = SimpleNamespace(
        inpca=tmp_path / "a.png", spaces=tmp_path / "b.png", clusters=tmp_path / "c.png"
    )
    landscape_figures.plot_landscape(out.landscape, out.dissimilarity, figures, PROVENANCE)
    for path in vars(figures).values():
        assert path.read_bytes().startswith(b"\x89PNG")
    text = dict.fromkeys([*vars(MODELS[0]), "imaginary_axes"], str)
    table = pd.read_csv(out.landscape, dtype=text).fillna(dict.fromkeys(text, ""))
    table = table[table["space"] == "inpca"]
    with figure_style():
        first, *_ = landscape_figures.inpca_map(table).axes
        imaginary = landscape_figures.inpca_map(table.assign(imaginary_axes="axis_2")).axes[0]
    drawn = np.array([dots.get_offsets()[0] for dots in first.collections])
    np.testing.assert_allclose(drawn, table[["axis_1", "axis_2"]])
    assert {text.get_text() for text in first.texts} == {"truth", "ignorance", "untuned"}
    assert first.get_ylabel() == "inPCA axis 2"
    assert imaginary.get_ylabel() == "inPCA axis 2 (imaginary)"


def test_heat_map_is_in_the_order_of_the_tree(tmp_path):
    models = sorted_models()
    distance = expected_distance(models)
    names = [model.model for model in models] + ["truth", "ignorance"]
    with figure_style():
        table = pd.DataFrame([vars(model) for model in models])
        figure = landscape_figures.clustered_distances(names, distance, table)
    heat = next(ax for ax in figure.axes if ax.get_yticklabels() and ax.images)
    order = [names.index(label.get_text()) for label in heat.get_yticklabels()]
    assert sorted(order) == list(range(len(models)))
    np.testing.assert_allclose(heat.images[0].get_array(), distance[np.ix_(order, order)])
    rois = [models[i].roi for i in order if models[i].roi]
    assert sum(a != b for a, b in pairwise(rois)) == len(ROIS) - 1


def test_figures_of_nothing_say_so():
    empty = pd.DataFrame(columns=[*vars(MODELS[0]), "space"])
    for draw in (landscape_figures.inpca_map, landscape_figures.other_maps):
        with figure_style():
            assert draw(empty).axes[0].get_title("left").startswith("No")
    with figure_style():
        alone = landscape_figures.clustered_distances(["a", "truth"], np.zeros((2, 2)), empty)
    assert "nothing to cluster" in alone.axes[0].get_title("left")


def test_a_single_network_has_a_map(tmp_path):
    out = outputs(tmp_path)
    embed_networks([write(tmp_path, MODELS[1])], out, PROVENANCE, Settings(("inpca",), 9))
    table = pd.read_csv(out.landscape, keep_default_na=False, na_values={"axis_3": ""})
    assert len(table) == 3 and table["axis_3"].isna().all()
    with figure_style():
        assert len(landscape_figures.inpca_map(table).axes) == 2
    assert pd.read_csv(out.tests)["p_value"].isna().all()
