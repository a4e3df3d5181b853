from __future__ import annotations

import io
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cortune.errors import CortuneError, InputError
from cortune.networks.backbones import (
    build_backbone,
    load_backbone,
    normalise,
    origin_of,
    planned,
    preprocessing,
    tokens_of,
    weights_entry,
)
from cortune.networks.families import (
    IMAGENET_MEAN,
    BackboneFamily,
    Preprocessing,
    Tokens,
    backbone_family,
    families,
)
from cortune.networks.layers import Trace, captured_layers, check_layers
from cortune.networks.store import load_network, n_scores, save_network
from cortune.networks.weights import read_checkpoint
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


def prefixed(prefix):
    return lambda state: {prefix + key: value for key, value in state.items()}


def parallel_features(state):
    """DataParallel around the convolutions alone, as PyTorch's ImageNet example has it."""
    return {key.replace("features.", "features.module."): value for key, value in state.items()}


def averaged_only(state):
    return {"n_averaged": torch.tensor(3), **prefixed("module.")(state)}


FORMS = {
    "plain": lambda state: state,
    "wrapped": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {}}}},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": torch.tensor(0.5)},
    "model": lambda state: {"model": state, "args": {"lr": 0.1}},
    "module": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "compiled and parallel": prefixed("module._orig_mod."),
    "fully sharded": prefixed("_fsdp_wrapped_module."),
    "parallel features": parallel_features,
    "model prefix": prefixed("model."),
    "lightning": lambda state: {
        "state_dict": prefixed("network.")(state) | {"criterion.weight": torch.ones(3)},
        "hparams": {"lr": 0.1},
    },
    "unknown prefix": prefixed("somebodys.own.encoder."),
    "averaged model": averaged_only,
    "beside a head": lambda state: prefixed("backbone.")(state) | {"head.weight": torch.ones(2)},
    "no counters": lambda state: {k: v for k, v in state.items() if not k.endswith("tracked")},
    "long counters": lambda state: {
        key: value.reshape(1) if key.endswith("tracked") else value for key, value in state.items()
    },
    "half precision": lambda state: {
        key: value.to(torch.float16).float() if value.is_floating_point() else value
        for key, value in state.items()
    },
}


@pytest.mark.parametrize("name", ["squeezenet1_1", "alexnet_small"])
@pytest.mark.parametrize("form", FORMS)
def test_local_weights_in_every_form(tmp_path, form, name):
    state = dict(build_backbone(name, seed=3, num_classes=7).state_dict())
    given = FORMS[form](state)
    torch.save(given, tmp_path / "weights.pth")
    loaded = load_backbone(name, str(tmp_path / "weights.pth")).state_dict()
    kept = given if form == "half precision" else state
    assert all(torch.equal(loaded[key], kept[key]) for key in state)


@pytest.mark.parametrize("name", ["squeezenet1_1", "alexnet_small"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_safetensors_in_every_form(tmp_path, prefix, name):
    state = dict(build_backbone(name, seed=3, num_classes=7).state_dict())
    save_file(prefixed(prefix)(state), tmp_path / "weights.safetensors")
    loaded = load_backbone(name, str(tmp_path / "weights.safetensors")).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_our_own_network_is_a_backbone(tmp_path):
    model = build_backbone("alexnet_small", seed=1, num_classes=5)
    head = {"image_map.weight": torch.randn(3, 5), "log_temperature": torch.tensor(0.1)}
    path = tmp_path / "network.safetensors"
    save_network(path, model, PROVENANCE, num_classes=5, head=head)
    loaded = load_backbone("alexnet_small", str(path)).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    "names", [("model", "model_ema"), ("state_dict", "state_dict_ema"), ("module", "ema.module")]
)
def test_the_moving_average_is_taken_and_named(tmp_path, caplog, names):
    raw, average = (dict(build_backbone("alexnet_small", seed=s).state_dict()) for s in (1, 2))
    torch.save({names[0]: raw, names[1]: average}, tmp_path / "weights.pth")
    with caplog.at_level(logging.WARNING):
        loaded = load_backbone("alexnet_small", str(tmp_path / "weights.pth")).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in average.items())
    assert "moving average" in caplog.text


def test_two_networks_in_one_file_are_refused_and_equal_ones_are_not(tmp_path):
    path = tmp_path / "weights.pth"
    one, other = (dict(build_backbone("alexnet_small", seed=s).state_dict()) for s in (1, 2))
    torch.save({"student": one, "teacher": other}, path)
    with pytest.raises(InputError, match="several networks.*student.*teacher"):
        load_backbone("alexnet_small", str(path))
    torch.save({"student": one, "teacher": one}, path)
    loaded = load_backbone("alexnet_small", str(path)).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in one.items())


def seen_by_first_convolution(model, images):
    seen = []
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d))
    handle = first.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    with torch.no_grad():
        scores = model.eval()(images)
    handle.remove()
    return seen[0], scores


@pytest.mark.parametrize(("name", "size"), [("googlenet", 64), ("inception_v3", 80)])
def test_transformed_inputs_come_with_weights_and_travel(tmp_path, name, size):
    """What torchvision's builders set with weights; the file has their auxiliary classifiers."""
    from torchvision.models import get_model

    options = {"transform_input": True, "aux_logits": True, "init_weights": False}
    theirs = get_model(name, weights=None, **options)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    images = torch.randn(2, 3, size, size)
    expected = seen_by_first_convolution(theirs, images)
    ours = load_backbone(name, str(tmp_path / "weights.pth"))
    torch.testing.assert_close(seen_by_first_convolution(ours, images), expected)
    assert not ours.aux_logits
    path = tmp_path / "network.safetensors"
    save_network(path, ours, PROVENANCE, num_classes=1000)
    again = load_network(path).backbone
    torch.testing.assert_close(seen_by_first_convolution(again, images), expected)


def test_a_network_tuned_from_random_weights_sees_untransformed_images(tmp_path):
    path, images = tmp_path / "network.safetensors", torch.randn(1, 3, 64, 64)
    save_network(path, build_backbone("googlenet"), PROVENANCE, num_classes=1000)
    again = load_backbone("googlenet", str(path))
    assert torch.equal(seen_by_first_convolution(again, images)[0], images)


def test_regnet_is_loaded(tmp_path):
    state = build_backbone("regnet_y_400mf", seed=1).state_dict()
    torch.save({"model": state}, tmp_path / "weights.pth")
    loaded = load_backbone("regnet_y_400mf", str(tmp_path / "weights.pth")).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_densenets_old_keys(tmp_path):
    state = build_backbone("densenet121", seed=1).state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value
        for key, value in state.items()
        if not key.endswith("tracked")
    }
    assert any(".norm.1." in key for key in old)
    torch.save({"state_dict": prefixed("module.")(old)}, tmp_path / "weights.pth")
    loaded = load_backbone("densenet121", str(tmp_path / "weights.pth")).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize("metadata", [True, False])
def test_vits_old_keys_and_larger_images(tmp_path, metadata):
    """Torchvision's own files name the MLPs ``linear_1``; SWAG's are for 384 pixels."""
    model = build_backbone("vit_b_32", image_size=384, num_classes=10)
    state = model.state_dict()
    for key in list(state):
        new = key.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2.")
        state[new] = state.pop(key)
    if metadata:
        for key, value in state._metadata.items():
            value["version"] = 1 if key.endswith("mlp") else value.get("version")
    torch.save(state if metadata else dict(state), tmp_path / "weights.pth")
    loaded = load_backbone("vit_b_32", str(tmp_path / "weights.pth"))
    expected = model.state_dict()
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in expected.items())
    assert origin_of(loaded).options == {"image_size": 384, "num_classes": 10}


@pytest.mark.parametrize("form", ["plain", "wrapped", "module", "no metadata", "safetensors"])
def test_versions_of_modules_are_kept_or_filled_in(tmp_path, form):
    """MNASNet refuses a state dict whose version it is not told."""
    state = build_backbone("mnasnet0_5", seed=2).state_dict()
    path = tmp_path / "weights.pth"
    if form == "safetensors":
        path = tmp_path / "weights.safetensors"
        save_file(dict(state), path)
    elif form == "module":
        torch.save(torch.nn.DataParallel(build_backbone("mnasnet0_5", seed=2)).state_dict(), path)
    else:
        saved = {"wrapped": {"model": state}, "no metadata": dict(state)}.get(form, state)
        torch.save(saved, path)
    loaded = load_backbone("mnasnet0_5", str(path)).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "classifier.1.bias"}, "1.bias is missing"),
        (lambda s: s | {"extra.weight": torch.ones(2)}, "extra.weight is unknown"),
        (lambda s: s | {"classifier.4.bias": torch.ones(3)}, r"4.bias is \(3,\), not \(256,\)"),
        (lambda s: s | {"classifier.1.bias": torch.full((256,), torch.nan)}, "NaN or infinity"),
        (lambda s: {"w": torch.ones(1)}, "no key is the network's"),
        (lambda s: {"epoch": 3}, "dict without tensors"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, words):
    state = dict(build_backbone("alexnet_small").state_dict())
    for name in ("", "module."):
        torch.save(prefixed(name)(change(state)), tmp_path / "weights.pth")
        with pytest.raises(InputError, match=words):
            load_backbone("alexnet_small", str(tmp_path / "weights.pth"))


def test_a_family_is_one_registration():
    @backbone_family("flat")
    class Flat(BackboneFamily):
        def names(self):
            return ["flat_linear"]

        def build(self, name, num_classes=4):
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, num_classes))

    try:
        assert build_backbone("flat_linear")(torch.ones(1, 3, 2, 2)).shape == (1, 4)
        assert build_backbone("flat/flat_linear", num_classes=2)[1].out_features == 2
        assert preprocessing("flat_linear", "random").mean == IMAGENET_MEAN
        with pytest.raises(InputError, match="pretrain"):
            weights_entry("flat_linear", "IMAGENET1K_V1")
    finally:
        del families()["flat"]


def test_families_are_known_without_torch():
    program = (
        "import sys; from cortune.networks.families import families; print(*families());"
        "assert not {'open_clip', 'timm', 'torch', 'torchvision'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"alexnet_small", "open_clip", "timm", "torchvision"}


def test_preprocessing_is_that_of_the_weights():
    small = preprocessing("alexnet_small", "pretrain")
    assert (small.input_size, small.interpolation) == (64, "bilinear")
    swin = preprocessing("swin_t", "IMAGENET1K_V1")
    assert (swin.interpolation, swin.resize_size, swin.input_size) == ("bicubic", 232, 224)
    assert preprocessing("torchvision/vit_b_16", "IMAGENET1K_SWAG_E2E_V1").input_size == 384
    assert preprocessing("resnet18", "my_weights.pth").resize_size == 256


class Exploit:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_a_state_dict_with_code_is_refused_and_not_run(tmp_path):
    target = tmp_path / "ran"
    torch.save({"weight": Exploit(str(target))}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="cannot be read safely") as error:
        read_checkpoint(tmp_path / "weights.pth")
    assert not target.exists()
    assert "(torch.save of more than tensors)" in str(error.value)
    assert "\x1b" not in str(error.value) and "options" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no file"),
        (b"", r"cannot be read safely \(it is empty\)"),
        ("nicht übertragen\n".encode(), r"cannot be read safely \(a text file\)"),
        (b"\x00\xff\xfe", r"cannot be read safely \(neither torch nor safetensors wrote it\)"),
        (b"PK\x03\x04cut", r"cannot be read safely \(an archive that is damaged\)"),
        (pickle.dumps({"a": Path("x")}), r"cannot be read safely \(a pickle of more than tensors"),
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
    found = normalise(torch.from_numpy(pixels)[None], Preprocessing())
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-5)


def test_saved_network_is_the_same_network(tmp_path):
    model = build_backbone("alexnet_small", seed=1, num_classes=5).eval()
    head = {"image_map.weight": torch.randn(3, 5)}
    save_network(
        tmp_path / "n.safetensors",
        model,
        PROVENANCE,
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
        load_network(tmp_path / "n.safetensors").head["image_map.weight"], head["image_map.weight"]
    )


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_broken_networks_are_named(tmp_path, damage):
    path = tmp_path / "n.safetensors"
    if damage == "truncated":
        model = build_backbone("alexnet_small")
        save_network(path, model, PROVENANCE, num_classes=20)
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "foreign":
        save_file({"x": torch.ones(1)}, path)
    with pytest.raises(InputError, match="no readable network"):
        load_network(path)


def test_torch_hub_is_not_asked_for_local_files(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.hub.urlopen", lambda *a, **k: io.BytesIO())
    save_file(build_backbone("alexnet_small").state_dict(), tmp_path / "w.safetensors")
    load_backbone("alexnet_small", str(tmp_path / "w.safetensors"))


ENCODER = "encoder.layers.encoder_layer"
TIMM = "timm/vit_tiny_patch16_224.augreg_in21k"
CLIP = "open_clip/ViT-B-32/openai"


def test_each_source_brings_its_own_preprocessing():
    from timm.data import create_transform, resolve_data_config
    from timm.models import get_pretrained_cfg

    shown = preprocessing(TIMM)
    config = resolve_data_config(pretrained_cfg=get_pretrained_cfg(TIMM[5:]).to_dict())
    assert (shown.mean, shown.std) == (config["mean"], config["std"]) == ((0.5,) * 3, (0.5,) * 3)
    steps = create_transform(**config).transforms
    assert steps[0].size == shown.resize_size == 248 and shown.interpolation == "bicubic"
    clip = preprocessing(CLIP)
    assert clip.mean[0] == pytest.approx(0.48145466)
    assert (clip.input_size, clip.resize_size, clip.squash) == (224, 224, False)
    assert preprocessing("open_clip/ViT-B-16-SigLIP/webli").squash


def test_a_network_keeps_its_preprocessing(tmp_path):
    model = load_backbone(TIMM, "random", input_size=64).eval()
    path = tmp_path / "network.safetensors"
    save_network(path, model, PROVENANCE, num_classes=n_scores(model, 64))
    saved = load_network(path).backbone
    assert origin_of(saved) == origin_of(model) and origin_of(saved).preprocessing.std == (0.5,) * 3
    again = load_backbone(TIMM, str(path), input_size=64).eval()
    assert origin_of(again).preprocessing == preprocessing(TIMM, str(path))
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = model(pixels.permute(0, 3, 1, 2) / 127.5 - 1)
        for other in (saved, again):
            torch.testing.assert_close(other(normalise(pixels, other)), expected)


@pytest.mark.parametrize(
    ("name", "readout", "width", "layout"),
    [
        (TIMM, "logits", 21843, Tokens(1, True)),
        ("timm/vit_small_patch14_dinov2.lvd142m", "pooled", 384, Tokens(1, True)),
        ("timm/swin_tiny_patch4_window7_224", "logits", 1000, Tokens(channels_last=True)),
        (CLIP, "projection", 512, Tokens(1, True)),
        ("vit_b_32", "logits", 1000, Tokens(1, True)),
        ("squeezenet1_1", "logits", 1000, Tokens()),
    ],
)
def test_readouts_and_tokens_are_declared(name, readout, width, layout):
    with torch.device("meta"):
        model = load_backbone(name, "random").eval()
    assert origin_of(model).readout == readout
    assert tokens_of(model) == layout
    image = torch.zeros(1, 3, *[origin_of(model).preprocessing.input_size] * 2, device="meta")
    assert model(image).shape == (1, width)


def test_position_embeddings_are_resized_as_timm_does(tmp_path):
    import timm

    theirs = timm.create_model(TIMM[5:], pretrained=False)
    torch.nn.init.normal_(theirs.pos_embed)
    path = tmp_path / "model.safetensors"
    save_file(theirs.state_dict(), path)
    ours = load_backbone(TIMM, str(path), input_size=96).eval()
    overlay = {"file": str(path), "custom_load": False}
    expected = timm.create_model(
        TIMM[5:], pretrained=True, img_size=96, pretrained_cfg_overlay=overlay
    ).eval()
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), expected(images))


def test_a_whole_clips_file_gives_its_image_tower(tmp_path):
    import open_clip

    clip = open_clip.create_model("ViT-B-32", pretrained=None, force_quick_gelu=True).eval()
    torch.save({"state_dict": clip.state_dict()}, tmp_path / "clip.pt")
    ours = load_backbone(CLIP, str(tmp_path / "clip.pt")).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), clip.encode_image(images))


def no_sockets(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no connection here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (TIMM, "timm/vit_tiny_patch16_224.augreg_in21k/resolve/main/model.safetensors"),
        (CLIP, "timm/vit_base_patch32_clip_224.openai/resolve/main/open_clip_model.safetensors"),
        ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"),
    ],
)
def test_offline_the_file_to_fetch_is_named(name, file, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    no_sockets(monkeypatch)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the hub's five attempts
    with pytest.raises(InputError, match=f"{re.escape(file)}, and set backbone.weights"):
        load_backbone(name)


def test_cached_weights_are_read_without_a_request(monkeypatch, tmp_path):
    import timm

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / "models--timm--vit_tiny_patch16_224.augreg_in21k"
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    theirs = timm.create_model(TIMM[5:], pretrained=False).eval()
    save_file(theirs.state_dict(), repo / "snapshots" / "abc" / "model.safetensors")
    no_sockets(monkeypatch)
    ours = load_backbone(TIMM).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


def test_who_needs_open_clip_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(CortuneError, match=r"pip install 'cortune\[open-clip\]'"):
        build_backbone(CLIP)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("alexnet", ALEXNET),
        ("alexnet_small", ALEXNET),
        ("resnet18", [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]),
        ("vit_b_32", [f"{ENCODER}_{i}" for i in (1, 2, 4, 5, 7, 8, 10, 11)]),
        ("timm/deit_tiny_patch16_224", [f"blocks.{i}" for i in (1, 2, 4, 5, 7, 8, 10, 11)]),
        (CLIP, [f"transformer.resblocks.{i}" for i in (1, 2, 4, 5, 7, 8, 10, 11)]),
        ("regnet_y_400mf", None),
        ("squeezenet1_1", [f"features.{i}" for i in (3, 5, 6, 8, 10, 11, 12)]),
        ("timm/convnext_atto", None),
    ],
)
def test_layers_are_chosen_evenly_over_blocks(name, chosen):
    trace = Trace(planned(name, "random"))
    found = trace.auto()
    assert len(found) == 8 and trace.auto(2)[-1] == found[-1]
    assert chosen is None or set(found) >= set(chosen)
    for layer in found:
        trace.check(layer)
    depths = list(trace.layers)
    assert [depths.index(layer) for layer in found] == sorted(map(depths.index, found))


def test_tokens_are_picked():
    model = load_backbone(TIMM, "random", input_size=32).eval()
    full = torch.randn(2, 3, 32, 32)
    found = {}
    for tokens in ("all", "class", "mean", "patches"):
        with torch.no_grad(), captured_layers(model, ["blocks.3", "head"], tokens) as outputs:
            model(full)
        found[tokens], logits = outputs["blocks.3"], outputs["head"]
        assert logits.shape == (2, 21843)
    whole = found["all"].reshape(2, 5, 192)
    torch.testing.assert_close(found["class"], whole[:, 0])
    torch.testing.assert_close(found["patches"], whole[:, 1:].flatten(1))
    torch.testing.assert_close(found["mean"], whole[:, 1:].mean(1))


def test_swins_maps_are_tokens_too():
    model = build_backbone("swin_t").eval()
    with torch.no_grad(), captured_layers(model, ["features.1.0"], "mean") as outputs:
        model(torch.randn(1, 3, 64, 64))
    assert outputs["features.1.0"].shape == (1, 96)
    layer = Trace(planned("swin_t", "random")).layers["features.1.0"]
    assert (layer.shape, layer.n_tokens) == ((56, 56, 96), 56 * 56)


@pytest.mark.parametrize(
    ("name", "size", "layer", "tokens", "words"),
    [
        (
            "vit_b_32",
            None,
            "encoder.layers.encoder_layer_0.self_attention.out_proj",
            "all",
            "never",
        ),
        ("swin_t", None, "features.1.0.attn", "class", "none of which is of the class"),
        ("resnet18", None, "layer1.0.relu", "all", "called 2 times"),
        ("resnet18", None, "layer1.9", "all", "the name of a module of ResNet"),
        ("timm/swin_tiny_patch4_window7_224", None, "layers.0.blocks.0.attn", "all", "a row each"),
    ],
)
def test_what_is_wrong_with_a_layer_is_named(name, size, layer, tokens, words):
    with pytest.raises(InputError, match=words):
        Trace(planned(name, "random", input_size=size)).check(layer, tokens=tokens)


def test_a_layer_that_gives_a_tuple_is_named_and_attention_taken():
    trace = Trace(planned("vit_b_32", "random"))
    trace.check(f"{ENCODER}_0.self_attention")

    @backbone_family("pair")
    class Pair(BackboneFamily):
        def names(self):
            return ["pair_net"]

        def build(self, name, num_classes=4):
            class Two(torch.nn.Module):
                def forward(self, x):
                    return x, x

            class Net(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.two, self.end = Two(), torch.nn.Linear(768, num_classes)

                def forward(self, x):
                    return self.end(self.two(x)[1].flatten(1))

            return Net()

    try:
        with pytest.raises(InputError, match="two, which gives tuple of Tensor, Tensor"):
            Trace(planned("pair_net", "random", input_size=16)).check("two")
    finally:
        del families()["pair"]


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("vit_b_16", 64, "Expected 224 but got 64"),
        ("alexnet", 32, "too small"),
        ("inception_v3", 64, "Kernel size"),
        ("maxvit_t", 64, "64, at which maxvit_t"),
    ],
)
def test_networks_that_cannot_be_run_at_a_size_are_named(name, size, words):
    with pytest.raises(InputError, match=words):
        Trace(planned(name, "random", input_size=size)).require_runs()
