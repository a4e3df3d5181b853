"""Encoders: what they predict, what they cost, and what is said of a bad one."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from algonauts_tree import write_tree
from PIL import Image

import cortune
from cortune.cli import main
from cortune.data import open_dataset, prepare_images, prepare_responses, split_images
from cortune.data.images import Framing, read_index
from cortune.data.prepare import read_responses
from cortune.data.units import load_images
from cortune.encoding import Settings
from cortune.encoding.ridge import predict, principal_components, project, rotate
from cortune.errors import InputError, LeakageError, ResourceError
from cortune.export.brainscore import plugin_folder
from cortune.export.encoder import Encoder, find_pictures
from cortune.export.fit import Target, fit_encoder
from cortune.export.hub import export_folder
from cortune.export.outputs import predict_to_file
from cortune.features import extract_features
from cortune.networks.backbones import build_backbone, preprocessing
from cortune.networks.device import choose_runtime
from cortune.networks.store import save_network
from cortune.versions import Provenance
from disks import mounted

PROVENANCE = Provenance("export_encoder", "1-00000000", 0)
SETTINGS = Settings(alphas=[1e-2, 0.1, 1.0], n_components=20)
LAYERS = ["features.2", "features.12", "classifier.5"]
CPU = choose_runtime("cpu", "float32")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A subject's prepared files, and a network."""
    folder = tmp_path_factory.mktemp("prepared")
    tree = write_tree(folder / "data", 1, n_images=80, n_vertices={"lh": 120, "rh": 130})
    reader = open_dataset("algonauts2023", tree.root)
    names = ("images.npy", "index.csv", "split.csv", "lh.h5", "rh.h5", "network.safetensors")
    images, index, split, lh, rh, network = (str(folder / name) for name in names)
    prepare_images(reader, "subj01", Framing(64), images, index, PROVENANCE)
    for side, path in (("lh", lh), ("rh", rh)):
        prepare_responses(reader, "subj01", side, path, PROVENANCE)
    shares = {"tune": 0.4, "validation": 0.1, "test": 0.5}
    split_images(read_index(index), 0, shares, split, PROVENANCE)
    backbone = build_backbone("alexnet_small", num_classes=10)
    paths = SimpleNamespace(images=images, index=index, split=split, reader=reader)
    tuned_on = sorted(load_images(paths).marks("tune"))
    save_network(network, backbone, PROVENANCE, num_classes=10, tuned_on=tuned_on)
    paths.network, paths.responses = network, {"lh": lh, "rh": rh}
    return paths


def _sets(paths):
    images = load_images(paths)
    return images.identities, images.sets


def fitted(
    prepared, folder, *, fit="untouched", dtype="float32", network=None, layers=LAYERS, base=None
):
    targets = [
        Target("nsd", "subj01", side, "V1v", prepared.responses[side]) for side in ("lh", "rh")
    ]
    fit_encoder(
        network or prepared.network,
        layers,
        load_images(prepared),
        targets,
        folder / "encoder.safetensors",
        folder / "config.json",
        PROVENANCE,
        CPU,
        SETTINGS,
        fit=fit,
        dtype=dtype,
        n_folds=3,
        batch_size=16,
        base=base,
    )
    return Encoder(folder)


@pytest.fixture(scope="module")
def encoder(prepared, tmp_path_factory):
    return fitted(prepared, tmp_path_factory.mktemp("encoder"))


def by_grams(prepared, folder, encoder, unit, keep):
    """Predict every image as encoding models do: from inner products with the images fitted."""
    images = load_images(prepared)
    path = folder / "grams.h5"
    extract_features(prepared.network, [unit.layer], images, path, PROVENANCE, CPU)
    import h5py

    with h5py.File(path) as file:
        gram = file[f"layers/{unit.layer}"][:]
    responses = read_responses(prepared.responses[unit.hemisphere], unit.roi)
    rows = [responses.identities.index(identity) for identity in images.identities]
    Y = responses.values[rows][keep].astype(np.float64)
    components = principal_components(gram[np.ix_(keep, keep)], SETTINGS.n_components)
    scores = project(components, gram[:, keep])
    alpha = encoder._maps[f"{unit.name}/alpha"].astype(np.float64)
    found = predict(scores, components.eigenvalues, rotate(components.axes, Y), alpha)
    return found + Y.mean(axis=0)


def test_pictures_through_the_whole_path_give_what_the_same_fit_gives_in_the_workflow(
    prepared, encoder, tmp_path
):
    sets = load_images(prepared).sets
    files = list(prepared.reader.images("subj01").unique().files)
    found = encoder.predict(files, device="cpu", batch_size=13)
    start = 0
    for unit in encoder.units:
        wanted = by_grams(prepared, tmp_path, encoder, unit, np.flatnonzero(sets == "test"))
        mine = found[:, start : start + unit.n_voxels]
        assert np.abs(mine - wanted).max() < 1e-5
        assert np.std(wanted, axis=0).min() > 1e-3, "predictions that say nothing"
        start += unit.n_voxels
    assert start == found.shape[1] == encoder.n_outputs


def test_columns_say_what_is_predicted(prepared, encoder):
    columns = encoder.columns
    assert len(columns) == encoder.n_outputs
    left = columns[columns.hemisphere == "lh"]
    responses = read_responses(prepared.responses["lh"], "V1v")
    assert left.vertex.tolist() == responses.vertices.tolist()
    assert left.mesh_vertex.tolist() == responses.mesh_vertices.tolist()


def test_only_images_that_no_network_saw_fit_a_map_that_is_scored(prepared, encoder, tmp_path):
    identities, sets = _sets(prepared)
    assert {unit.n_images_fit for unit in encoder.units} == {int((sets == "test").sum())}
    whole = fitted(prepared, tmp_path, fit="all")
    assert {unit.n_images_fit for unit in whole.units} == {len(identities)}
    for unit in encoder.units:
        assert unit.r_ci_low < unit.r < unit.r_ci_high
    assert all(unit.r is unit.r_ci_low is None for unit in whole.units)
    assert whole.columns.r.isna().all() and encoder.columns.r.notna().all()


def test_a_network_that_saw_an_image_cannot_be_scored_on_it(prepared, tmp_path):
    path = tmp_path / "network.safetensors"
    saw = load_images(prepared, "test").identities[0]
    save_network(
        path,
        build_backbone("alexnet_small", num_classes=10),
        PROVENANCE,
        num_classes=10,
        tuned_on=[saw],
    )
    with pytest.raises(LeakageError, match=saw):
        fitted(prepared, tmp_path / "out", network=path)


def test_float16_halves_the_map_and_says_what_it_costs(prepared, encoder, tmp_path):
    small = fitted(prepared, tmp_path, dtype="float16")
    pictures = np.asarray(load_images(prepared).cache[:40])
    a, b = (each.predict(pictures, device="cpu") for each in (encoder, small))
    centred = a - a.mean(0)
    cost = np.sqrt(np.mean((a - b) ** 2) / np.mean(centred**2))
    said = small.config["dtype_loss"]
    assert 1e-6 < said < 2e-3 and said / 5 < cost < said * 5
    sizes = [(each.folder / "encoder.safetensors").stat().st_size for each in (encoder, small)]
    assert 1.7 < sizes[0] / sizes[1] < 2.1
    assert encoder.config["dtype_loss"] == 0


def test_the_same_again_gives_the_same_bytes(prepared, encoder, tmp_path):
    fitted(prepared, tmp_path)
    for name in ("encoder.safetensors",):
        assert (tmp_path / name).read_bytes() == (encoder.folder / name).read_bytes()


def test_features_are_those_of_the_network(prepared, encoder):
    pictures = np.asarray(load_images(prepared).cache[:5])
    found = encoder.features(pictures, LAYERS, device="cpu", batch_size=2)
    from cortune.networks.backbones import normalise

    with torch.no_grad():
        whole = encoder.network.features[:3](
            normalise(torch.from_numpy(pictures.copy()), encoder.network)
        )
    np.testing.assert_allclose(found["features.2"], whole.flatten(1), atol=1e-5)
    assert set(found) == set(LAYERS)


def test_a_part_of_an_encoder(encoder):
    part = encoder.only(hemisphere="rh", rois=["V1v"])
    assert [unit.name for unit in part.units] == ["rh/V1v"]
    with pytest.raises(InputError, match="no encoder of subj09.*one of subj01 lh V1v"):
        encoder.only(subject="subj09")


# ---- folders and files for other places


@pytest.fixture(scope="module")
def folder(encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("hub") / "encoder"
    return export_folder(encoder, out, layout="algonauts2023", simulated=False)


def test_a_folder_of_the_hub_predicts_the_same_wherever_it_lies(prepared, encoder, folder):
    files = list(prepared.reader.images("subj01").unique().files)[:5]
    found = cortune.predict(folder, files, device="cpu")
    np.testing.assert_array_equal(found, encoder.predict(files, device="cpu"))
    names = {path.name for path in folder.iterdir()}
    assert names == {"README.md", "config.json", "encoder.safetensors", "model.safetensors"}
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    assert cortune.load(folder).saved.tuned_on == encoder.saved.tuned_on
    features = cortune.features(folder, files, ["features.2"], device="cpu")["features.2"]
    assert features.shape[0] == 5


def test_the_model_card_says_how_well_and_of_what(encoder, folder):
    from huggingface_hub import ModelCard

    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "cortune"
    for unit in encoder.units:
        assert f"{unit.r:.3f} | {unit.r_ci_low:.3f} to {unit.r_ci_high:.3f}" in card.text
    assert "none of which the network saw" in card.text
    tuned = [mark for mark in encoder.saved.tuned_on if mark.startswith("nsd:")]
    assert len(encoder.saved.tuned_on) == 2 * len(tuned), "every image has two marks"
    said = f"{len(tuned)} images were used to tune the network or to choose its epoch."
    assert said in card.text
    for part in ("terms", "Intended use", "subj01", "nested cross-validation"):
        assert part in card.text


def test_a_card_of_an_encoder_of_all_images_claims_no_score(prepared, tmp_path):
    whole = fitted(prepared, tmp_path / "fitted", fit="all")
    text = (
        export_folder(whole, tmp_path / "out", layout="nod", simulated=True) / "README.md"
    ).read_text()
    assert "no score is claimed" in text and "no data of people" in text
    assert "| lh | V1v |" in text and "nan" not in text.lower() and "None" not in text


@pytest.mark.parametrize("name", ["alexnet", "timm/resnet10t"])
def test_weights_load_in_the_makers_own_libraries(prepared, tmp_path, name):
    from safetensors.torch import load_file

    path = tmp_path / "network.safetensors"
    backbone = build_backbone(name, num_classes=7)
    save_network(path, backbone, PROVENANCE, num_classes=7)
    layers = [n for n, m in backbone.named_modules() if isinstance(m, torch.nn.ReLU)][:1]
    encoder = fitted(prepared, tmp_path / "fitted", network=path, layers=layers)
    out = export_folder(encoder, tmp_path / "out", layout="nod", simulated=False)
    if name == "alexnet":
        from torchvision.models import alexnet

        model = alexnet(num_classes=7)
        model.load_state_dict(load_file(out / "model.safetensors"))
    else:
        import timm

        model = timm.create_model(f"local-dir:{out}", pretrained=True)
        assert model.num_classes == 7
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.eval()(x), backbone.eval()(x))


# A network, and a layer after what was tuned of it.
ADAPTED = {
    "alexnet": "classifier.5",
    "vit_b_16": "encoder.layers.encoder_layer_11",
    "timm/vit_tiny_patch16_224": "blocks.11",
}
LARGE = pytest.param("vit_b_16", marks=pytest.mark.long)


@pytest.mark.parametrize("how", [{"last_blocks": 1}, {"lora": {"rank": 2, "alpha": 4}}], ids=str)
@pytest.mark.parametrize("name", ["alexnet", LARGE, "timm/vit_tiny_patch16_224"])
def test_an_adapted_network_leaves_as_a_whole_one_of_its_makers(prepared, tmp_path, name, how):
    """Weights that were added to are compared with the network that was saved as a difference."""
    from safetensors.torch import load_file

    from cortune.networks.adapters import Adapt, adapt

    size = 64
    shown = preprocessing(name, "random").at(size)
    given = {"image_size" if name == "vit_b_16" else "img_size": size} if "vit" in name else {}
    backbone = build_backbone(name, num_classes=7, seed=0, preprocessing=shown, **given)
    base, path = tmp_path / "base.safetensors", tmp_path / "network.safetensors"
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, size, size, generator=noise).double()

    def perturb():
        with torch.no_grad():
            for parameter in (p for p in backbone.parameters() if p.requires_grad):
                parameter += 0.05 * torch.randn(parameter.shape, generator=noise)
            # In float64: scores are small differences of large numbers.
            return copy.deepcopy(backbone.eval()).double()(x)

    before = perturb()
    save_network(base, backbone, PROVENANCE, num_classes=7)
    adapt(backbone, Adapt(**how))
    mine = perturb()
    tuned_on = [i for i, s in zip(*_sets(prepared), strict=True) if s == "tune"]
    save_network(path, backbone, PROVENANCE, num_classes=7, tuned_on=tuned_on, base=base)
    made = fitted(prepared, tmp_path / "made", network=path, base=base, layers=[ADAPTED[name]])
    out = export_folder(made, tmp_path / "out", layout="nod", simulated=False)
    moved = cortune.load(shutil.move(out, tmp_path / "elsewhere"))
    for file in (base, path):
        file.unlink()
    pictures = np.asarray(load_images(prepared).cache[:6])
    wanted = made.predict(pictures, device="cpu")
    np.testing.assert_allclose(moved.predict(pictures, device="cpu"), wanted, atol=1e-4)
    assert moved.saved.tuned_on == tuple(sorted(tuned_on))
    weights = load_file(moved.folder / "model.safetensors")
    if name.startswith("timm/"):
        import timm

        model = timm.create_model(f"local-dir:{moved.folder}", pretrained=True)
    else:
        from torchvision.models import get_model

        model = get_model(name, num_classes=7, **given)
        model.load_state_dict(weights)
    with torch.no_grad():
        theirs = model.double().eval()(x)
    torch.testing.assert_close(theirs, mine, atol=1e-5, rtol=1e-5)
    assert (before - mine).abs().max() > 1e-2, "nothing was tuned"


def test_only_an_export_is_replaced(encoder, folder, tmp_path):
    again = export_folder(encoder, folder, layout="nsd", simulated=False)
    assert again == folder
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="a folder of other files"):
        export_folder(encoder, tmp_path, layout="nsd", simulated=False)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_repository_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"no such folder, and no repository"):
        cortune.load("nobody-at-all/nothing-of-the-kind")
    with pytest.raises(InputError, match="nothing; expected the folder of an encoder"):
        cortune.load(tmp_path / "nowhere")


def test_a_plugin_of_brain_score(encoder, tmp_path, monkeypatch):
    """Its form is that of the models that come with brainscore-vision 2.4."""
    out = plugin_folder(encoder, tmp_path / "plugin", "cortune_test")
    for path in out.glob("*.py"):
        compile(path.read_text(), str(path), "exec")
    regions = json.loads((out / "region_layer_map" / "cortune_test.json").read_text())
    assert set(regions) == {"V1", "V2", "V4", "IT"}
    assert set(regions.values()) == {max(encoder.units, key=lambda unit: unit.r).layer}
    assert "model_registry['cortune_test']" in (out / "__init__.py").read_text()


LOAD = """
import sys, numpy
from brainscore_vision import load_model

out, *pictures = sys.argv[1:]
model = load_model("cortune_seen")
assert set(model.layer_model.region_layer_map) == {"V1", "V2", "V4", "IT"}
seen = model.activations_model(pictures, layers=model.layers, stimuli_identifier=None)
numpy.save(out, seen.values[numpy.argsort(seen["stimulus_path"].values)])
"""


@pytest.mark.long
def test_brain_score_loads_a_plugin_and_sees_what_we_see(prepared, tmp_path):
    """By its own loader, which needs older libraries than ours: from a folder made for it.

    ``pip install --target FOLDER --no-deps brainscore-vision brainscore-core`` and
    ``pip install --target FOLDER 'numpy<2' 'pandas<2.3' 'xarray<2022.6' 'scikit-learn<1.6'
    'scipy<1.15' 'importlib-metadata<5' boto3 netCDF4 result-caching peewee pybtex fire
    psycopg2-binary networkx h5py opencv-python-headless``.
    """
    site = os.environ.get("CORTUNE_BRAINSCORE")
    if site is None:
        pytest.skip("set CORTUNE_BRAINSCORE to a folder with brainscore-vision")
    path = tmp_path / "network.safetensors"
    save_network(path, build_backbone("alexnet", num_classes=7), PROVENANCE, num_classes=7)
    made = fitted(prepared, tmp_path / "fitted", network=path, layers=["features.5"])
    plugin = Path(site) / "brainscore_vision" / "models" / "cortune_seen"
    pictures = []
    for number, pixels in enumerate(np.asarray(load_images(prepared).cache[:3])):
        pictures.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(pictures[-1])
    plugin_folder(made, plugin, "cortune_seen")
    try:
        own = {"PYTHONPATH": site, "BS_INSTALL_DEPENDENCIES": "no", "RESULTCACHING_DISABLE": "1"}
        command = [sys.executable, "-c", LOAD, tmp_path / "seen.npy", *pictures]
        done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    finally:
        shutil.rmtree(plugin)
    ours = made.features(pictures, device="cpu")["features.5"]
    np.testing.assert_allclose(np.load(tmp_path / "seen.npy"), ours, atol=1e-5)
    assert np.abs(ours).max() > 1e-2


@pytest.mark.parametrize("form", [".npy", ".parquet", ".gii"])
def test_files_of_predictions(prepared, encoder, tmp_path, form):
    files = list(prepared.reader.images("subj01").unique().files)[:5]
    wanted = encoder.predict(files, device="cpu")
    written = predict_to_file(encoder, files, tmp_path / f"out{form}", device="cpu", batch_size=2)
    assert all(path.is_file() for path in written)
    if form == ".npy":
        np.testing.assert_allclose(np.load(written[0]), wanted, atol=1e-5)
        said = json.loads(written[1].read_text())
        assert said["pictures"] == [str(file) for file in files]
        assert said["columns"]["vertex"] == encoder.columns.vertex.tolist()
    elif form == ".parquet":
        import pandas as pd

        table = pd.read_parquet(written[0])
        assert len(table) == wanted.size
        np.testing.assert_allclose(
            table.response.to_numpy().reshape(wanted.shape), wanted, atol=1e-5
        )
        first = table[table.picture == str(files[3])]
        assert first.vertex.tolist() == encoder.columns.vertex.tolist()
        assert first.roi.astype(str).tolist() == encoder.columns.roi.tolist()
    else:
        import nibabel as nib

        assert [path.name for path in written] == ["lh.out.gii", "rh.out.gii"]
        left = nib.load(written[0])
        columns = encoder.columns
        on = (columns.hemisphere == "lh").to_numpy()
        maps = np.stack([array.data for array in left.darrays])
        assert maps.shape == (5, 163_842)
        mesh = columns.mesh_vertex[on]
        np.testing.assert_allclose(maps[:, mesh], wanted[:, on], atol=1e-5)
        assert np.isfinite(maps).sum() == 5 * on.sum()


def test_grayordinates(encoder, tmp_path):
    import nibabel as nib

    from cortune.simulate.grayordinates import brain_models

    like = tmp_path / "like.dscalar.nii"
    axis = brain_models()
    scalars = nib.cifti2.ScalarAxis(["one"])
    nib.save(nib.Cifti2Image(np.zeros((1, len(axis)), np.float32), (scalars, axis)), like)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(pictures / "grey.png")
    out = tmp_path / "out.dscalar.nii"
    with pytest.raises(InputError, match="voxels that are no grayordinates"):
        predict_to_file(encoder, pictures, out, like=like, device="cpu")
    with pytest.raises(InputError, match="--like"):
        predict_to_file(encoder, pictures, out, device="cpu")
    # An encoder of NOD has no vertices of fsaverage.
    other = encoder.only(hemisphere="lh")
    maps = {k: np.full_like(v, -1) if "mesh" in k else v for k, v in encoder._maps.items()}
    vars(other).update(_maps=maps)
    predict_to_file(other, pictures, out, like=like, device="cpu")
    image = nib.load(out)
    assert image.header.get_axis(0).name.tolist() == ["grey.png"]
    wanted = other.predict(pictures, device="cpu")
    found = image.get_fdata()[:, other.columns.vertex]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_command_line_predicts(folder, tmp_path, capsys):
    Image.fromarray(np.full((30, 40, 3), 99, np.uint8)).save(tmp_path / "grey.png")
    out = tmp_path / "out.npy"
    given = ["predict", str(folder), str(tmp_path), "--out", str(out), "--device", "cpu"]
    assert main([*given, "--hemisphere", "rh"]) == 0
    assert np.load(out).shape == (1, cortune.load(folder).only(hemisphere="rh").n_outputs)
    out.unlink(), Path(f"{out}.json").unlink()
    assert main([*given, "--subject", "subj09"]) == 1
    assert "no encoder of subj09" in capsys.readouterr().err
    (tmp_path / "note.txt").write_text("no picture")
    assert main(given) == 1
    error = capsys.readouterr().err
    assert "note.txt: found no picture" in error
    assert not out.exists() and not [*tmp_path.glob(".*")], "something half-written stays"


def test_a_form_that_is_none(encoder, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"\.csv; expected \.parquet or \.npy"):
        predict_to_file(encoder, tmp_path, tmp_path / "out.csv")


# ---- bad input


def copied(encoder, folder):
    shutil.copytree(encoder.folder, folder)
    return folder


def test_a_folder_of_another_version(encoder, tmp_path):
    folder = copied(encoder, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["cortune"].update(format=99, version="9.9")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"format 99, of Cortune 9\.9; expected format 1"):
        Encoder(folder)


BARE = '{"cortune": {"format": 1, "units": []}}'


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"model_type": "vit"}', "\x00", BARE])
def test_a_foreign_or_damaged_configuration(encoder, tmp_path, text):
    folder = copied(encoder, tmp_path / "copy")
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError, match="another program's or a damaged file"):
        Encoder(folder)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="no file; expected the config.json of an encoder"):
        Encoder(tmp_path / "nothing")


def test_damaged_maps(encoder, tmp_path):
    folder = copied(encoder, tmp_path / "copy")
    path = folder / "encoder.safetensors"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"nothing of the kind" * 100):
        path.write_bytes(content)
        with pytest.raises(InputError, match="no readable safetensors"):
            Encoder(folder)


def test_foreign_maps(encoder, tmp_path):
    from safetensors.numpy import save_file

    folder = copied(encoder, tmp_path / "copy")
    save_file({"weight": np.zeros((3, 4), np.float32)}, folder / "encoder.safetensors")
    with pytest.raises(InputError, match="no array"):
        Encoder(folder)


@pytest.mark.parametrize(
    ("key", "shape", "said"),
    [
        ("lh/V1v/scale", None, "no array 'lh/V1v/scale'"),
        ("lh/V1v/mesh_vertices", None, "no array 'lh/V1v/mesh_vertices'"),
        ("lh/V1v/intercept", (3,), r"'lh/V1v/intercept' of shape \(3,\); expected \(\d+,\)"),
        ("lh/V1v/weights", (2, 3), r"'lh/V1v/weights' of shape \(2, 3\)"),
    ],
)
def test_maps_of_another_encoder(encoder, tmp_path, key, shape, said):
    from safetensors.numpy import load_file, save_file

    folder = copied(encoder, tmp_path / "copy")
    maps = load_file(folder / "encoder.safetensors")
    del maps[key]
    if shape:
        maps[key] = np.zeros(shape, np.float32)
    save_file(maps, folder / "encoder.safetensors")
    with pytest.raises(InputError, match=said):
        Encoder(folder)


@pytest.mark.parametrize("name", ["encoder.safetensors", "model.safetensors"])
def test_one_bit_of_an_exported_folder(folder, tmp_path, name):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: found another or a damaged file"):
        cortune.load(copy).network  # noqa: B018


def test_a_network_of_another_kind(prepared, encoder, tmp_path):
    """Its description is Cortune's, its tensors are of something else."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    folder = copied(encoder, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["cortune"]["network"]["file"] = "model.safetensors"
    (folder / "config.json").write_text(json.dumps(config))
    with safe_open(prepared.network, framework="numpy") as file:
        metadata = file.metadata()
    path = folder / "model.safetensors"
    save_file({"backbone.weight": np.zeros((3, 4), np.float32)}, path, metadata)
    with pytest.raises(InputError, match="tensors that are not those of alexnet_small"):
        Encoder(folder).network  # noqa: B018
    save_file({"weight": np.zeros(3, np.float32)}, path, {"cortune": "no JSON"})
    with pytest.raises(InputError, match="no readable network.*Export it again"):
        Encoder(folder).network  # noqa: B018


def test_a_network_with_other_features(encoder, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = copied(encoder, tmp_path / "copy")
    maps, layer = load_file(folder / "encoder.safetensors"), encoder.units[0].layer
    for name in ("mean", "components"):
        maps[f"{layer}/{name}"] = maps[f"{layer}/{name}"][1:]
    save_file(maps, folder / "encoder.safetensors")
    shutil.copy(encoder.folder / encoder.config["network"]["file"], folder / "n.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["cortune"]["network"]["file"] = "n.safetensors"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"a network with [0-9]+ features in {layer}"):
        Encoder(folder).predict(np.zeros((1, 64, 64, 3), np.uint8), device="cpu")


@pytest.mark.parametrize("form", [".npy", ".parquet", ".gii"])
def test_a_disk_that_is_full(prepared, encoder, tmp_path, form):
    # A map of the surface is large; of the other forms so much is asked for before any work.
    files = list(prepared.reader.images("subj01").unique().files) * (1 if form == ".gii" else 40)
    with mounted(tmp_path / "disk", "64k") as disk:
        with pytest.raises(ResourceError, match="space left on the disk"):
            predict_to_file(encoder, files, disk.folder / f"out{form}", device="cpu")
        with pytest.raises(ResourceError, match="space left on the disk"):
            export_folder(encoder, disk.folder / "hub", layout="nod", simulated=False)
        assert not [*disk.folder.iterdir()], "something half-written stays"


def test_a_network_that_is_none(encoder, tmp_path):
    from safetensors.numpy import save_file

    folder = copied(encoder, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["cortune"]["network"]["file"] = "model.safetensors"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"model\.safetensors: found no readable network"):
        Encoder(folder).network  # noqa: B018
    save_file({"weight": np.zeros((3, 4), np.float32)}, folder / "model.safetensors")
    with pytest.raises(InputError, match="that Cortune did not write"):
        Encoder(folder).network  # noqa: B018


def test_pictures_that_are_none(encoder, tmp_path):
    (tmp_path / "note.txt").write_text("no picture")
    with pytest.raises(InputError, match=r"note\.txt: found no picture in its 10 bytes"):
        encoder.predict(tmp_path, device="cpu")
    with pytest.raises(InputError, match="an empty folder"):
        (tmp_path / "empty").mkdir()
        find_pictures(tmp_path / "empty")
    with pytest.raises(InputError, match="nowhere: found nothing there; expected a folder of"):
        encoder.predict(tmp_path / "nowhere", device="cpu")
    with pytest.raises(InputError, match="nowhere: found nothing there; expected a folder of"):
        find_pictures([str(tmp_path / "nowhere")])  # as the program hands them over
    with pytest.raises(InputError, match="nowhere: found nothing there; expected a picture file"):
        find_pictures([tmp_path / "note.txt", tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"uint8 of shape \(n, 64, 64, 3\)"):
        encoder.predict(np.zeros((2, 32, 32, 3), np.uint8), device="cpu")
