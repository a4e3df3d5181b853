from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from algonauts_tree import write_tree

from cortune.artifacts import hdf5_writer
from cortune.data import open_dataset, prepare_images, prepare_responses, split_images
from cortune.data.images import Framing, read_index
from cortune.data.splits import SETS
from cortune.data.units import load_images, load_unit
from cortune.encoding import Settings, read_encoding
from cortune.encoding.components import decompose_features, n_bytes
from cortune.encoding.protocols import plans_of
from cortune.encoding.stages import encode_roi
from cortune.errors import InputError, LeakageError
from cortune.versions import Provenance

PROVENANCE = Provenance("encode_roi", "1-00000000", 0)
SETTINGS = Settings(alphas=[0.1, 10.0])
SHARES = {"tune": 0.4, "validation": 0.1, "test": 0.5}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The prepared files of one subject."""
    folder = tmp_path_factory.mktemp("prepared")
    tree = write_tree(folder / "data", 1, n_images=80, n_vertices={"lh": 120, "rh": 130})
    reader = open_dataset("algonauts2023", tree.root)
    paths = SimpleNamespace(
        images=folder / "images.npy",
        index=folder / "index.csv",
        split=folder / "split.csv",
        responses=folder / "responses.h5",
        tree=tree,
    )
    prepare_images(reader, "subj01", Framing(16), paths.images, paths.index, PROVENANCE)
    prepare_responses(reader, "subj01", "lh", paths.responses, PROVENANCE)
    split_images(read_index(paths.index), 0, SHARES, paths.split, PROVENANCE)
    return paths


def write_grams(path, prepared, sets=("test",), tuned_on=(), spoil=False):
    images = load_images(prepared, *sets)
    identities = ["nsd:99999" if spoil else i for i in images.identities]
    features = np.random.default_rng(0).normal(size=(len(images), 20))
    with hdf5_writer(path, PROVENANCE) as file:
        file["identities"] = np.char.encode(np.array(identities))
        file["sets"] = np.char.encode(images.sets)
        file["tuned_on"] = np.char.encode(np.array(tuned_on, dtype=np.str_))
        file.attrs["layers"] = ["fc"]
        file["layers/fc"] = (features @ features.T).astype(np.float32)
    return features


def encode(grams, prepared, out, protocols=("heldout_cv",), components=None, settings=SETTINGS):
    encode_roi(
        grams,
        prepared.responses,
        "V1v",
        out,
        PROVENANCE,
        settings,
        protocols=protocols,
        n_folds=4,
        components=components,
    )


def test_rows_of_images_and_responses_are_matched_by_identity(prepared, tmp_path):
    """With features that are a voxel's own responses, that voxel is predicted perfectly."""
    unit = load_unit(prepared, "V1v")
    test = unit.rows("test")
    features = unit.responses[test][:, :3]
    write_grams(tmp_path / "g.h5", prepared)
    images = load_images(prepared, "test")
    order = [list(np.array(unit.images.identities)[test]).index(i) for i in images.identities]
    with h5py.File(tmp_path / "g.h5", "a") as file:
        del file["layers/fc"]
        file["layers/fc"] = (features[order] @ features[order].T).astype(np.float32)
    encode(tmp_path / "g.h5", prepared, tmp_path / "e.h5")
    found = read_encoding(tmp_path / "e.h5")["heldout_cv"]
    assert (found.r[:3] > 0.99).all()
    assert np.abs(found.r[3:]).mean() < 0.5
    assert (
        found.vertices.tolist()
        == np.flatnonzero(prepared.tree.labels["lh", "prf-visualrois"] == 1).tolist()
    )


def test_leakage_canary(prepared, tmp_path):
    """A network tuned on one of the images that would score it is refused."""
    scored = load_images(prepared, "test").identities[5]
    write_grams(tmp_path / "g.h5", prepared, tuned_on=["nsd:70000", scored])
    with pytest.raises(LeakageError, match=scored):
        encode(tmp_path / "g.h5", prepared, tmp_path / "e.h5")
    assert not (tmp_path / "e.h5").exists()


def test_images_without_responses_are_named(prepared, tmp_path):
    write_grams(tmp_path / "g.h5", prepared, spoil=True)
    with pytest.raises(InputError, match="nsd:99999"):
        encode(tmp_path / "g.h5", prepared, tmp_path / "e.h5")


def test_all_protocols_run_where_all_images_have_features(prepared, tmp_path):
    write_grams(tmp_path / "g.h5", prepared, sets=())
    protocols = ("heldout_cv", "published", "tune_test")
    encode(tmp_path / "g.h5", prepared, tmp_path / "e.h5", protocols)
    found = read_encoding(tmp_path / "e.h5")
    assert set(found) == set(protocols)
    n_tune = int((load_images(prepared).sets == "tune").sum())
    assert found["tune_test"].n_images_fit == n_tune


def test_unknown_roi_is_named(prepared, tmp_path):
    write_grams(tmp_path / "g.h5", prepared)
    with pytest.raises(InputError, match="V9"):
        encode_roi(
            tmp_path / "g.h5", prepared.responses, "V9", tmp_path / "e.h5", PROVENANCE, SETTINGS,
            protocols=["heldout_cv"], n_folds=4,
        )  # fmt: skip


@pytest.mark.parametrize("device", [None, "cpu"], ids=["numpy", "torch"])
def test_components_decomposed_once_give_the_same_bytes(prepared, tmp_path, device):
    """And with them no Gram matrix is read: it may be anything."""
    grams, components = tmp_path / "g.h5", tmp_path / "c.h5"
    write_grams(grams, prepared, sets=())
    protocols = ("heldout_cv", "published", "tune_test")
    decompose_features(
        grams,
        components,
        PROVENANCE,
        protocols=protocols,
        n_folds=4,
        n_components=15,
        seed=0,
        device=device,
    )
    settings = replace(SETTINGS, n_components=15, device=device)
    encode(grams, prepared, tmp_path / "here.h5", protocols, settings=settings)
    with h5py.File(grams, "a") as file:
        file["layers/fc"][:] = np.nan
    encode(grams, prepared, tmp_path / "given.h5", protocols, components, settings)
    assert (tmp_path / "here.h5").read_bytes() == (tmp_path / "given.h5").read_bytes()
    sets = {name: load_images(prepared).sets == name for name in SETS}
    arrays = n_bytes(plans_of(protocols, sets, 4, 0), 15)
    assert arrays < components.stat().st_size < 2 * arrays + 50_000


def test_grams_that_cannot_be_decomposed_leave_nothing(prepared, tmp_path):
    write_grams(tmp_path / "g.h5", prepared)
    with h5py.File(tmp_path / "g.h5", "a") as file:
        file["layers/fc"][0, 0] = np.inf
    with pytest.raises(InputError, match="Gram of fc"):
        decompose_features(
            tmp_path / "g.h5", tmp_path / "c.h5", PROVENANCE,
            protocols=["heldout_cv"], n_folds=4, n_components=15, seed=0,
        )  # fmt: skip
    assert not (tmp_path / "c.h5").exists()
