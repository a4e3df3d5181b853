"""Networks see and compute what they do with their makers' own code, from image files on."""

from __future__ import annotations

import math
import os
import re
from collections import OrderedDict
from copy import copy
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision.models import WeightsEnum, get_model, get_model_weights
from torchvision.transforms import InterpolationMode, functional

from cortune.data.images import Framing, open_rgb
from cortune.networks.backbones import load_backbone, normalise, origin_of
from cortune.networks.layers import Trace, captured_layers
from cortune.networks.weights import without_memory

NAMES = list(models.list_models(module=models))
SAMPLE = ["squeezenet1_1", "googlenet", "shufflenet_v2_x0_5", "vit_b_32"]
# 2.5 GB of weights each, which are held three times at most.
LARGE, ENOUGH = {"vit_h_14", "regnet_y_128gf"}, 12e9
TIMM = [
    "resnet18.a1_in1k",
    "vit_tiny_patch16_224.augreg_in21k",
    "convnext_atto.d2_in1k",
    "deit3_small_patch16_224.fb_in1k",
    "efficientnet_b0.ra_in1k",
    "eva02_tiny_patch14_224.mim_in22k",
    "mobilenetv3_small_050.lamb_in1k",
    "resmlp_12_224.fb_in1k",
    "swin_tiny_patch4_window7_224.ms_in1k",
    "vit_small_patch14_dinov2.lvd142m",
]
OPEN_CLIP = ["ViT-B-32/laion2b_s34b_b79k", "RN50/openai", "ViT-B-16-SigLIP/webli"]


def sampled(names, sample):
    long = pytest.mark.long
    return [name if name in sample else pytest.param(name, marks=long) for name in names]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two pictures, wide and tall, with structure at every scale."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = []
    for name, (width, height) in {"wide.png": (500, 375), "tall.jpg": (333, 499)}.items():
        pixels = np.zeros((height, width, 3))
        for scale in (2, 8, 32, 128):
            small = random.normal(size=(-(-height // scale), -(-width // scale), 3))
            pixels += np.kron(small, np.ones((scale, scale, 1)))[:height, :width]
        paths.append(folder / name)
        Image.fromarray((128 + 30 * pixels).clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def state_of(build):
    """Draw a whole state, statistics of normalisations included; much faster than builders do."""
    random = torch.Generator().manual_seed(0)

    def draw(key, like):
        if not like.is_floating_point():
            return torch.zeros(like.shape, dtype=like.dtype)
        values = torch.rand(like.shape, generator=random)
        if like.ndim > 1:
            # Of such a size that differences of the last bit do not grow with depth.
            return values.sub_(0.5).mul_(math.sqrt(12 / like[0].numel()))
        values = values.sub_(0.5).mul_(0.5)
        return values.add_(1) if key.endswith(("weight", "var")) else values.mul_(0.2)

    shapes = without_memory(build).state_dict()
    return {key: draw(key, like) for key, like in shapes.items()}


def drawn(model):
    """Draw weights that start as zeros, whose part of a network no test would see."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return model.eval()


def shown(model, files, *, crop):
    """Return pictures as Cortune shows them to a network."""
    made = origin_of(model).preprocessing
    cropped = {"resize": made.resize_size, "squash": made.squash} if crop else {}
    framing = Framing(made.input_size, made.interpolation, **cropped)
    pixels = np.stack([framing(open_rgb(file), file) for file in files])
    return normalise(torch.from_numpy(pixels), model)


def transformed(transforms, files):
    return torch.stack([transforms(Image.open(file).convert("RGB")) for file in files])


def squeezed(model, files):
    """Return pictures as torchvision squeezes and normalises them."""
    made = origin_of(model).preprocessing
    size, method = [made.input_size] * 2, InterpolationMode(made.interpolation)
    squares = [functional.resize(Image.open(f).convert("RGB"), size, method) for f in files]
    tensors = [functional.normalize(functional.to_tensor(s), made.mean, made.std) for s in squares]
    return torch.stack(tensors)


def assert_equal(found, expected):
    scale = expected.abs().max()
    assert scale > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(scale))


def compare(ours, theirs, images, files):
    """Compare pictures, and the features of layers and the output of theirs on the last."""
    own = shown(ours, files, crop=True)
    assert_equal(own, images)
    assert_equal(shown(ours, files, crop=False), squeezed(ours, files))
    layers = Trace(origin_of(ours)).auto(3)
    with torch.no_grad():
        with captured_layers(ours, layers) as found:
            output = ours(own[-1:])
        found, expected = dict(found), {}
        for layer in layers:

            def keep(_module, _inputs, given, layer=layer):
                expected[layer] = given.flatten(1).clone()

            theirs.get_submodule(layer).register_forward_hook(keep)
        assert_equal(output, theirs(images[-1:]))
    for layer in layers:
        assert_equal(found[layer], expected[layer])


@pytest.mark.parametrize("name", sampled(NAMES, SAMPLE))
def test_torchvision(name, files, monkeypatch):
    """Random weights stand where torchvision's builder and Cortune look for published ones."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if name in LARGE and memory < ENOUGH:
        pytest.skip(f"{name}: this machine has less than {ENOUGH / 1e9:.0f} GB of memory")
    entries = get_model_weights(name)
    entry = min(entries, key=lambda each: each.transforms().crop_size[0])
    auxiliary = {"aux_logits": True, "init_weights": False} if _has_auxiliary(name) else {}
    image_size = _image_size(entry) if name.startswith("vit_") else {}
    state = state_of(partial(get_model, name, weights=None, **auxiliary, **image_size))
    if name.startswith("densenet"):  # as torchvision's files have it
        old = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])\.")
        state = {
            old.sub(r"\1.\2.", key): value
            for key, value in state.items()
            if not key.endswith("num_batches_tracked")
        }
    state = OrderedDict(state)
    if name.startswith("mnasnet"):  # which asks for the version of its module
        state._metadata = get_model(name, weights=None).state_dict()._metadata
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: copy(state))
    theirs = get_model(name, weights=entry).eval()
    state.update((k, v) for k, v in theirs.state_dict().items() if k in state)  # held once
    ours = load_backbone(name, entry.name).eval()
    compare(ours, theirs, transformed(entry.transforms(), files), files)
    for other in entries:
        made = load_made(name, other)
        assert_equal(shown(made, files, crop=True), transformed(other.transforms(), files))


def load_made(name, entry):
    """Return something that is shown images as a network with these weights is."""
    from cortune.networks.backbones import planned, set_origin

    stand_in = torch.nn.Identity()
    set_origin(stand_in, planned(name, entry.name))
    return stand_in


def _image_size(entry):
    return {"image_size": min(entry.meta["min_size"])}


def _has_auxiliary(name):
    return name in ("googlenet", "inception_v3")


@pytest.mark.parametrize("name", sampled(TIMM, TIMM[:2]))
def test_timm(name, files, tmp_path):
    import timm
    from safetensors.torch import save_model

    torch.manual_seed(0)
    theirs = drawn(timm.create_model(name, pretrained=False))
    save_model(theirs, tmp_path / "model.safetensors")
    ours = load_backbone(f"timm/{name}", str(tmp_path / "model.safetensors")).eval()
    config = timm.data.resolve_data_config(model=theirs)
    transforms = timm.data.create_transform(**config)
    compare(ours, theirs, transformed(transforms, files), files)


@pytest.mark.parametrize("name", sampled(OPEN_CLIP, OPEN_CLIP[:1]))
def test_open_clip(name, files, tmp_path):
    import open_clip

    architecture, tag = name.split("/")
    published = open_clip.get_pretrained_cfg(architecture, tag)
    keys = ("mean", "std", "interpolation", "resize_mode")
    torch.manual_seed(0)
    clip, _, transforms = open_clip.create_model_and_transforms(
        architecture,
        pretrained=None,
        force_quick_gelu=published.get("quick_gelu", False),
        **{f"image_{key}": published[key] for key in keys if key in published},
    )
    drawn(clip)
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    ours = load_backbone(f"open_clip/{name}", str(tmp_path / "clip.pt")).eval()
    compare(ours, clip.visual, transformed(transforms, files), files)
