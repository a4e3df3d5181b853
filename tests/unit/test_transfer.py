from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cortune.artifacts import hdf5_writer
from cortune.data.units import UnitPaths, load_images
from cortune.encoding import Settings, encode_unit, write_encoding
from cortune.errors import InputError, LeakageError
from cortune.features import Space, extract_layers
from cortune.networks.backbones import build_backbone
from cortune.networks.device import choose_runtime
from cortune.networks.store import save_network
from cortune.report import transfer as tables
from cortune.report import transfer_figures
from cortune.report.tables import EncodedUnit
from cortune.transfer import Target, read_transfer, targets, transfer_network
from cortune.versions import Provenance

PROVENANCE = Provenance("transfer_subject", "1-00000000", 0)
SETTINGS = Settings([1.0, 100.0])
LAYERS = ["features.2", "classifier.5"]
N = 40


@pytest.fixture(scope="module")
def runtime():
    return choose_runtime("cpu", "float32", threads=1)


@pytest.fixture(scope="module")
def model():
    return build_backbone("alexnet_small", seed=0).eval()


def write_subject(folder, name, identities, seed):
    """Prepared files of one subject: pictures by identity, one ROI of five voxels."""
    random = np.random.default_rng(seed)
    here = folder / name
    here.mkdir()
    pictures = [
        np.random.default_rng(int(i[4:])).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        for i in identities
    ]
    np.save(here / "images.npy", np.stack(pictures))
    columns = {"identity": identities, "file": "x", "name": identities, "digest": identities}
    pd.DataFrame(columns).to_csv(here / "index.csv", index=False)
    sets = "test"
    pd.DataFrame({"identity": identities, "set": sets}).to_csv(here / "split.csv", index=False)
    with hdf5_writer(here / "responses.h5", PROVENANCE) as file:
        # In another order than the pictures: rows are matched by identity.
        file["identities"] = np.char.encode(np.array(identities[::-1]))
        values = random.standard_normal((len(identities), 5)).astype(np.float32)
        file.create_dataset("responses", data=values, chunks=(8, 2))
        for key in ("vertices", "mesh_vertices"):
            file[key] = np.arange(5)
        file["noise_ceiling"] = np.full(5, 0.5, np.float32)
        file.create_group("rois")["V1v"] = np.arange(5)
    return UnitPaths(
        *(str(here / f) for f in ("images.npy", "index.csv", "split.csv", "responses.h5"))
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory, model):
    """Three subjects of whom the first and third share ten images."""
    folder = tmp_path_factory.mktemp("world")
    names = [f"nsd:{i:05d}" for i in range(3 * N)]
    seen = {"a": names[:N], "b": names[N : 2 * N], "c": names[2 * N : 3 * N - 10] + names[:10]}
    paths = {s: write_subject(folder, s, i, n) for n, (s, i) in enumerate(seen.items())}
    save_network(
        folder / "net.safetensors", model, PROVENANCE, num_classes=20,
        tuned_on=["nsd:00999"],
    )  # fmt: skip
    return SimpleNamespace(folder=folder, paths=paths, network=folder / "net.safetensors")


def run(world, runtime, out, who="abc", network=None, **options):
    wanted = [Target(s, ("V1v",), world.paths[s]) for s in who]
    transfer_network(
        network or world.network, LAYERS, wanted, out, PROVENANCE, runtime, SETTINGS,
        protocol="heldout_cv", n_folds=4, **options,
    )  # fmt: skip
    return read_transfer(out)


def test_each_target_is_encoded_as_from_features_of_its_own(world, runtime, model, tmp_path):
    found = run(world, runtime, tmp_path / "t.h5", batch_size=7)
    assert set(found) == {("a", "V1v"), ("b", "V1v"), ("c", "V1v")}
    from cortune.data.prepare import read_responses

    for (subject, roi), encoding in found.items():
        paths = world.paths[subject]
        images = load_images(paths, "test")
        features = extract_layers(model, LAYERS, images.cache, images.rows, runtime)
        grams = {}
        for layer, values in features.items():
            centred = values.astype(np.float64) - values.mean(0)
            grams[layer] = centred @ centred.T
        responses = read_responses(paths.responses, roi)
        row = {identity: i for i, identity in enumerate(responses.identities)}
        Y = responses.values[[row[i] for i in images.identities]]
        sets = {"test": np.arange(len(images))}
        expected = encode_unit(grams, Y, sets, SETTINGS, protocols=["heldout_cv"], n_folds=4)
        np.testing.assert_allclose(encoding.r, expected["heldout_cv"].r, atol=1e-3)
        assert encoding.layer == expected["heldout_cv"].layer


def test_the_network_sees_every_image_once(world, runtime, tmp_path, monkeypatch):
    from cortune.networks import store

    passed = []
    original = store.load_network

    def watched(*paths):
        saved = original(*paths)
        saved.backbone.register_forward_pre_hook(lambda _m, inputs: passed.append(len(inputs[0])))
        return saved

    monkeypatch.setattr(store, "load_network", watched)
    run(world, runtime, tmp_path / "t.h5", batch_size=16)
    assert sum(passed) == 3 * N - 10  # ten images are two subjects'


def test_a_scratch_file_changes_nothing(world, runtime, tmp_path):
    one = run(world, runtime, tmp_path / "one.h5", who="ac")
    two = run(world, runtime, tmp_path / "two.h5", who="ac", space=Space(1, 3e6))
    for key in one:
        np.testing.assert_array_equal(one[key].r, two[key].r)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.h5", "two.h5"]


def test_an_image_tuned_on_may_not_score(world, runtime, model, tmp_path):
    leaky = tmp_path / "leaky.safetensors"
    save_network(leaky, model, PROVENANCE, num_classes=20, tuned_on=["nsd:00041"])
    run(world, runtime, tmp_path / "fine.h5", who="a", network=leaky)
    with pytest.raises(LeakageError, match="b"):
        run(world, runtime, tmp_path / "t.h5", who="ab", network=leaky)
    assert not (tmp_path / "t.h5").exists()


def test_targets_pair_subjects_with_their_files(world):
    lists = SimpleNamespace(
        **{
            field: [getattr(world.paths[s], field) for s in "ca"]
            for field in ("images", "index", "split", "responses")
        }
    )
    found = targets({"c": ["V1v"], "a": ["V1v", "hV4"]}, lists)
    assert [t.subject for t in found] == ["c", "a"] and found[1].rois == ("V1v", "hV4")
    assert found[0].paths == world.paths["c"]


# ---- tables


def encoding_of(r):
    """An encoding whose r are given, by way of the real code."""
    random = np.random.default_rng(0)
    x = random.standard_normal((N, 6))
    found = encode_unit(
        {"fc": x @ x.T}, random.standard_normal((N, len(r))).astype(np.float32),
        {"test": np.arange(N)}, SETTINGS, protocols=["heldout_cv"], n_folds=4,
    )["heldout_cv"]  # fmt: skip
    return type(found)(**{**vars(found), "r": np.asarray(r, np.float32)})


class Network(SimpleNamespace):
    """A transferred network."""


@pytest.fixture
def scored(tmp_path):
    def own(subject, method, r):
        path = tmp_path / f"{subject}-{method}.h5"
        write_encoding(path, {"heldout_cv": encoding_of(r)}, PROVENANCE)
        return EncodedUnit("nsd", subject, "lh", "V1v", method, str(path))

    def to(name, target, subject, roi, method, scores):
        from cortune.encoding.results import write_group

        path = tmp_path / f"{name}.h5"
        with hdf5_writer(path, PROVENANCE) as file:
            for key, r in scores.items():
                write_group(file.create_group(key), encoding_of(r))
        return Network(
            target=target,
            subject=subject,
            hemisphere="lh",
            roi=roi,
            method=method,
            paths=[str(path)],
        )

    units = [
        own("a", "untuned", [0.1, 0.2, np.nan, 0.3]),
        own("b", "untuned", [0.1, 0.1, 0.1, 0.1]),
        own("a", "pooled_loso", [0.2, 0.3, np.nan, 0.2]),
    ]
    networks = [
        to("ba", None, "b", "V1v", "contrastive", {"a/V1v": [0.2, 0.1, np.nan, 0.4]}),
        to("pn", "nod", None, "V1v", "pooled_mean", {"sub01/V1": [0.5, 0.1]}),
        to("un", "nod", None, None, "untuned", {"sub01/V1": [0.3, 0.2]}),
    ]
    out = SimpleNamespace(subjects=tmp_path / "s.csv", datasets=tmp_path / "d.csv")
    tables.tabulate_transfer(networks, units, "nsd", out, PROVENANCE, protocol="heldout_cv")
    return pd.read_csv(out.subjects), pd.read_csv(out.datasets), out


def test_rows_set_transfer_beside_the_untuned_network(scored):
    within, beyond, _ = scored
    row = within[within["method"] == "contrastive"].iloc[0]
    assert (row["source_subject"], row["target_subject"]) == ("b", "a")
    assert row["r_mean"] == pytest.approx(0.7 / 3)
    assert row["r_untuned_mean"] == pytest.approx(0.2)
    assert row["frac_voxels_better"] == pytest.approx(2 / 3)
    loso = within[within["method"] == "pooled_loso"].iloc[0]
    assert (loso["source_subject"], loso["target_subject"]) == ("others", "a")
    assert loso["r_diff_mean"] == pytest.approx(0.1 / 3, abs=1e-6)
    row = beyond.iloc[0]
    assert len(beyond) == 1
    assert (row["source_subject"], row["target_dataset"], row["target_roi"]) == (
        "pooled", "nod", "V1",
    )  # fmt: skip
    assert row["r_mean"] == pytest.approx(0.3) and row["frac_voxels_better"] == 0.5


def test_other_voxels_than_the_reference_are_refused(scored, tmp_path):
    encoding = encoding_of([0.1, 0.2])
    pair = tables.Pair("nsd", "a", "nsd", "b", "lh", "V1v", "V1v", "contrastive")
    with pytest.raises(InputError, match="b lh V1v"):
        tables._row(pair, [encoding], encoding_of([0.1, 0.2, 0.3]))


def test_without_transfer_tables_have_a_header_and_figures_say_so(tmp_path):
    out = SimpleNamespace(subjects=tmp_path / "s.csv", datasets=tmp_path / "d.csv")
    tables.tabulate_transfer([], [], "nsd", out, PROVENANCE, protocol="heldout_cv")
    assert pd.read_csv(out.subjects).empty and "target_roi" in pd.read_csv(out.datasets)
    figure = transfer_figures.transfer_matrix(pd.read_csv(out.subjects), pd.DataFrame())
    assert "nothing" in figure.axes[0].texts[0].get_text()


def test_the_diagonal_is_the_subjects_own_network():
    voxels = pd.DataFrame(
        [
            (s, "lh", "V1v", m, v, r)
            for s, gain in (("a", 0.2), ("b", -0.1))
            for m, r in (("untuned", 0.3), ("contrastive", 0.3 + gain))
            for v in range(4)
        ],
        columns=["subject", "hemisphere", "roi", "method", "vertex", "r"],
    ).astype({"method": "category"})
    own = transfer_figures.own_networks(voxels).set_index("subject")
    assert own["r_diff_mean"].round(6).to_dict() == {"a": 0.2, "b": -0.1}
    assert own["frac_voxels_better"].to_dict() == {"a": 1.0, "b": 0.0}
    cells = transfer_figures._cells(
        pd.DataFrame({"source_subject": ["a"], "target_subject": ["b"], "r_diff_mean": [0.05]}),
        own.reset_index(), "r_diff_mean", ["a", "b"], ["a", "b"],
    )  # fmt: skip
    np.testing.assert_allclose(cells, [[0.2, 0.05], [np.nan, -0.1]])


def test_both_figures_are_drawn(scored, tmp_path):
    _, _, out = scored
    names = ["dataset", "subject", "hemisphere", "roi", "method", "protocol", "vertex", "r"]
    rows = [
        ("nsd", s, "lh", "V1v", m, "heldout_cv", v, 0.1 * v)
        for s in "ab" for m in ("untuned", "contrastive") for v in range(3)
    ]  # fmt: skip
    pd.DataFrame(rows, columns=names).to_parquet(tmp_path / "v.parquet")
    figures = SimpleNamespace(subjects=tmp_path / "s.png", datasets=tmp_path / "d.png")
    transfer_figures.plot_transfer(
        out.subjects, out.datasets, tmp_path / "v.parquet", figures, PROVENANCE,
        protocol="heldout_cv",
    )  # fmt: skip
    assert figures.subjects.stat().st_size > 10_000 and figures.datasets.stat().st_size > 10_000
