"""Networks of which a part is tuned: what is trained, what is saved, what comes back."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from cortune.data.units import ImageSet, UnitData
from cortune.errors import InputError, ResourceError
from cortune.features import extract_layers
from cortune.networks.adapters import Adapt, adapt, adaptation, changed_bytes
from cortune.networks.backbones import (
    build_backbone,
    load_backbone,
    origin_of,
    planned,
    preprocessing,
)
from cortune.networks.device import choose_runtime
from cortune.networks.families import find_family
from cortune.networks.layers import Trace
from cortune.networks.store import load_network, n_scores, save_network
from cortune.tuning.methods.contrastive import Contrastive
from cortune.tuning.stages import tune_network
from cortune.versions import Provenance

PROVENANCE = Provenance("tune_network", "1-00000000", 0)
LORA, LAST = Adapt(lora={"rank": 2, "alpha": 4}), Adapt(last_blocks=1)
# Edge of a network's images, number of its blocks, its last block, and of adapted matrices.
NETWORKS = {
    "alexnet_small": (64, 8, "classifier.5", 8),
    "resnet50": (64, 16, "layer4", 52),
    "convnext_tiny": (64, 18, "features.7", 39),
    "vit_b_16": (32, 12, "encoder.layers.encoder_layer_11", 36),
    "swin_t": (64, 12, "features.7", 27),
    "timm/vit_tiny_patch16_224": (32, 12, "blocks.11", 48),
    "timm/convnext_atto": (64, 12, "stages.3", 27),
    "open_clip/ViT-B-32": (64, 12, "transformer.resblocks.11", 36),
    "timm/efficientnet_b0": (64, 15, "blocks.6", 60),
}
TUNED = ["resnet50", "convnext_tiny", "vit_b_16", "timm/vit_tiny_patch16_224", "open_clip/ViT-B-32"]


@pytest.fixture(scope="module")
def runtime():
    return choose_runtime("cpu", "float32", threads=1)


def network(name):
    """Build a network whose weights are none of them zero, as those of some are at first."""
    size = NETWORKS[name][0]
    if name == "vit_b_16":  # torchvision's transformers are built for one size
        shown = preprocessing(name, "random").at(size)
        model = build_backbone(name, seed=3, preprocessing=shown, image_size=size)
    else:
        model = load_backbone(name, "random", seed=3, input_size=size)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=noise)
    return model, size


def saved(name, folder):
    model, size = network(name)
    path = folder / "base.safetensors"
    save_network(path, model, PROVENANCE, num_classes=n_scores(model, size))
    return path, size


def unit(size, n=28):
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    sets = np.array(["tune"] * (n - 16) + ["validation"] * 8 + ["test"] * 8)
    images = ImageSet(pictures, np.arange(n), tuple(map(str, range(n))), sets)
    responses = random.standard_normal((n, 10)).astype(np.float32)
    return UnitData(images, responses, np.arange(10))


def tuned(name, how, folder, runtime, epochs=1):
    """Tune a network for an epoch; return it as it is in memory, and its files."""
    base, size = saved(name, folder)
    outputs = SimpleNamespace(
        network=folder / "n.safetensors", history=folder / "h.csv", embeddings=folder / "e.h5"
    )
    kept = []

    def keep(path, backbone, *args, **options):
        kept.append(backbone)
        save_network(path, backbone, *args, **options)

    from cortune.tuning import stages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "save_network", keep)
        recipe = Contrastive(batch_size=12, epochs=epochs, learning_rate=1e-2)
        tune_network(
            "contrastive", unit(size), recipe, base, outputs, PROVENANCE, runtime,
            seeded="x", how=how,
        )  # fmt: skip
    return kept[0].eval(), base, outputs.network, size


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_and_targets_of_a_network(name):
    model, size = network(name)
    assert len(Trace(origin_of(model)).blocks) == NETWORKS[name][1]
    adapt(model, LORA)
    found = adaptation(model)
    assert len(found["modules"]) + len(found["parameters"]) == NETWORKS[name][3]
    n = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert changed_bytes(Trace(origin_of(network(name)[0])), LORA) == 4 * n
    assert all("lora_" in key for key, p in model.named_parameters() if p.requires_grad)
    # Every adapter has a say: an output that all of them reach has a gradient by each.
    model.train()
    model(torch.randn(2, 3, size, size)).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("how", [LORA, LAST], ids=["lora", "last_blocks"])
@pytest.mark.parametrize("name", TUNED)
def test_base_and_difference_are_the_tuned_network_to_the_bit(name, how, tmp_path, runtime):
    model, base, path, size = tuned(name, how, tmp_path, runtime)
    start, again = load_network(base).backbone, load_network(path, base).backbone
    pictures, rows = unit(size).images.cache, np.arange(8)
    layers = [NETWORKS[name][2]]
    before, there, here = (
        extract_layers(each, layers, pictures, rows, runtime)[layers[0]]
        for each in (start, model, again)
    )
    np.testing.assert_array_equal(here, there)
    assert np.abs(here - before).max() > 1e-3 * np.abs(before).max()
    assert path.stat().st_size < base.stat().st_size / 3
    # Twice the same: nothing is merged into the weights and taken out again.
    np.testing.assert_array_equal(
        extract_layers(again, layers, pictures, rows, runtime)[layers[0]], here
    )


def test_what_is_saved_is_what_changed_and_is_planned_for(tmp_path, runtime):
    from safetensors.numpy import load_file

    _, base, path, size = tuned("resnet50", LAST, tmp_path, runtime)
    before, after = load_file(base), load_file(path)
    own = {key: value for key, value in after.items() if key.startswith("backbone.")}
    assert {key.split(".")[1] for key in own} == {"layer4", "fc"}
    assert all(key.startswith(("backbone.layer4.2.", "backbone.fc.")) for key in own)
    assert all(not np.array_equal(before[key], value) for key, value in own.items())
    plain = Trace(planned("resnet50", "random", input_size=size))
    assert changed_bytes(plain, LAST) == sum(v.nbytes for v in own.values())
    assert changed_bytes(plain, "all") == sum(
        value.nbytes for key, value in before.items() if key.startswith("backbone.")
    )


@pytest.mark.parametrize("how", [LORA, LAST], ids=["lora", "last_blocks"])
def test_frozen_parts_stay_in_evaluation_mode(how):
    model, size = network("resnet50")
    adapt(model, how)
    whole = nn.Sequential(model, nn.Dropout())
    whole.train()
    model(torch.randn(4, 3, size, size))
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    moved = {n for n, m in norms.items() if int(m.num_batches_tracked)}
    assert moved == ({n for n in norms if n.startswith("layer4.2.")} if how is LAST else set())
    assert whole[1].training
    whole.eval()
    assert not any(module.training for module in whole.modules())


def test_a_difference_needs_the_network_it_is_one_from(tmp_path, runtime):
    _, base, path, _ = tuned("alexnet_small", LAST, tmp_path, runtime)
    other = tmp_path / "other.safetensors"
    model = build_backbone("alexnet_small", seed=9)
    save_network(other, model, PROVENANCE, num_classes=20)
    for wrong in (None, other):
        with pytest.raises(InputError, match="difference from another network"):
            load_network(path, wrong)
    assert load_network(path, base).tuned_on


def test_what_cannot_be_adapted_is_named():
    model, _ = network("resnet50")
    with pytest.raises(InputError, match=r"tuning\.adapt\.last_blocks.*at most the 16 blocks"):
        adapt(model, Adapt(last_blocks=17))
    family = find_family("resnet50")[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(family), "lora_targets", lambda *_: ([], []))
        with pytest.raises(InputError, match=r"tuning\.adapt\.lora.*no layer"):
            adapt(model, LORA)
    for wrong in ({}, {"last_blocks": 1, "lora": {}}, {"lora": {"rank": 0}}):
        with pytest.raises(ValidationError):
            Adapt(**wrong)


def test_peft_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    model, _ = network("alexnet_small")
    with pytest.raises(ResourceError, match=r"cortune\[lora\]"):
        adapt(model, LORA)
