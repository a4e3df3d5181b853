from __future__ import annotations

import io
import os
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cortune.errors import InputError
from cortune.networks.backbones import (
    build_backbone,
    load_backbone,
    normalise,
    read_state_dict,
)
from cortune.networks.layers import captured_layers, check_layers
from cortune.networks.store import load_head, load_network, n_scores, save_network
from cortune.versions import Provenance

PROVENANCE = Provenance("tune_network", "1-00000000", 0)
ALEXNET = ["features.2", "features.5", "features.7", "features.9", "features.12"]
ALEXNET += ["classifier.2", "classifier.5", "classifier.6"]
MODELS = {
    "alexnet": ALEXNET,
    "resnet18": ["relu", "layer1.0.bn1", "layer2", "layer4", "fc"],
    "squeezenet1_1": ["features.0", "features.4", "features.12", "classifier.1"],
    "alexnet_small": ALEXNET,
}


@pytest.fixture(autouse=True)
def two_threads():
    torch.set_num_threads(2)


@pytest.mark.parametrize("name", MODELS)
def test_captured_layers_equal_torchvisions_feature_extractor(name):
    from torchvision.models.feature_extraction import create_feature_extractor

    model = build_backbone(name).eval()
    images = torch.randn(2, 3, 64, 64)
    # The oracle returns what the layer gave, which a later in-place ReLU may overwrite; it is
    # asked for copies.
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    with torch.no_grad():
        expected = create_feature_extractor(model, MODELS[name])(images)
    model = build_backbone(name).eval()
    with torch.no_grad(), captured_layers(model, MODELS[name]) as outputs:
        model(images)
    for layer in MODELS[name]:
        torch.testing.assert_close(outputs[layer], expected[layer].flatten(1))


def test_hooks_are_removed():
    model = build_backbone("alexnet_small")
    with captured_layers(model, ALEXNET):
        pass
    assert all(not module._forward_hooks for module in model.modules())


def test_small_alexnet_has_alexnets_layer_names():
    names = {name for name, _ in build_backbone("alexnet").named_modules()}
    small = build_backbone("alexnet_small")
    check_layers(small, ALEXNET)
    assert set(ALEXNET) <= names


def test_small_alexnets_geometry_is_mirror_symmetric():
    model = build_backbone("alexnet_small").features
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.copy_((module.weight + module.weight.flip(-1)) / 2)
    model.eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(image.flip(-1)), model(image).flip(-1), atol=1e-5, rtol=0)


def test_unknown_model_and_layer_are_named_with_the_nearest():
    with pytest.raises(InputError, match="resnet18"):
        build_backbone("resnet81")
    with pytest.raises(InputError, match="features.2"):
        check_layers(build_backbone("alexnet_small"), ["feature.2"])


def test_random_weights_depend_on_the_seed_only():
    torch.manual_seed(5)
    one = build_backbone("alexnet_small", seed=1).state_dict()
    torch.manual_seed(6)
    two = build_backbone("alexnet_small", seed=1).state_dict()
    other = build_backbone("alexnet_small", seed=2).state_dict()
    key = "classifier.1.weight"
    assert torch.equal(one[key], two[key])
    assert not torch.equal(one[key], other[key])


@pytest.mark.parametrize("form", ["safetensors", "plain", "wrapped", "module"])
@pytest.mark.parametrize("name", ["squeezenet1_1", "alexnet_small"])
def test_local_weights_in_every_form(tmp_path, form, name):
    state = build_backbone(name, seed=3, num_classes=7).state_dict()
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "safetensors":
        save_file(state, path)
    elif form == "plain":
        torch.save(state, path)
    elif form == "wrapped":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    loaded = load_backbone(name, str(path)).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


class Exploit:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_a_state_dict_with_code_is_refused_and_not_run(tmp_path):
    target = tmp_path / "ran"
    torch.save({"weight": Exploit(str(target))}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="cannot be read safely"):
        read_state_dict(tmp_path / "weights.pth")
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no file"),
        (b"", "cannot be read safely"),
        (b"not a checkpoint", "cannot be read safely"),
    ],
)
def test_broken_weights_are_named(tmp_path, content, words):
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        load_backbone("alexnet_small", str(path))


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save(build_backbone("squeezenet1_1").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(InputError, match="do not fit alexnet_small"):
        load_backbone("alexnet_small", str(tmp_path / "weights.pth"))


def test_a_list_instead_of_weights_is_refused(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "weights.pth")
    with pytest.raises(InputError, match="list without tensors"):
        load_backbone("alexnet_small", str(tmp_path / "weights.pth"))


def test_torchvision_weights_come_from_its_cache(tmp_path, monkeypatch):
    """A state dict under the published file name in torch's cache is what gets loaded."""
    from torchvision.models import get_model_weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    entry = get_model_weights("squeezenet1_1")["IMAGENET1K_V1"]
    state = build_backbone("squeezenet1_1", seed=9).state_dict()
    path = tmp_path / "hub" / "checkpoints" / entry.url.rsplit("/", 1)[1]
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    loaded = load_backbone("squeezenet1_1", "IMAGENET1K_V1").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_offline_says_what_to_download(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(InputError, match=r"cannot be downloaded.*alexnet-owt.*\.pth"):
        load_backbone("alexnet", "IMAGENET1K_V1")


def test_unknown_torchvision_weights_are_named():
    with pytest.raises(InputError, match="IMAGENET1K_V1"):
        load_backbone("alexnet", "IMAGENET")
    with pytest.raises(InputError, match="pretrain"):
        load_backbone("alexnet_small", "IMAGENET1K_V1")


def test_normalise_equals_torchvision():
    from PIL import Image
    from torchvision.transforms import Compose, Normalize, ToTensor

    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    expected = Compose([ToTensor(), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])(
        Image.fromarray(pixels)
    )
    found = normalise(torch.from_numpy(pixels)[None])
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-5)


def test_saved_network_is_the_same_network(tmp_path):
    model = build_backbone("alexnet_small", seed=1, num_classes=5).eval()
    head = {"image_map.weight": torch.randn(3, 5)}
    save_network(
        tmp_path / "n.safetensors",
        model,
        PROVENANCE,
        name="alexnet_small",
        num_classes=n_scores(model, 64),
        head=head,
        tuned_on=["nsd:00002", "nsd:00001"],
    )
    saved = load_network(tmp_path / "n.safetensors")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(saved.backbone(images), model(images))
    assert saved.tuned_on == ("nsd:00001", "nsd:00002")
    assert torch.equal(
        load_head(tmp_path / "n.safetensors")["image_map.weight"], head["image_map.weight"]
    )


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_broken_networks_are_named(tmp_path, damage):
    path = tmp_path / "n.safetensors"
    if damage == "truncated":
        model = build_backbone("alexnet_small")
        save_network(path, model, PROVENANCE, name="alexnet_small", num_classes=20)
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "foreign":
        save_file({"x": torch.ones(1)}, path)
    with pytest.raises(InputError, match="no readable network"):
        load_network(path)


def test_torch_hub_is_not_asked_for_local_files(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.hub.urlopen", lambda *a, **k: io.BytesIO())
    save_file(build_backbone("alexnet_small").state_dict(), tmp_path / "w.safetensors")
    load_backbone("alexnet_small", str(tmp_path / "w.safetensors"))
