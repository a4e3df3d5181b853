"""Kernels stay on the device of their tensors, without a device at hand.

Fake tensors have the device and shape of real ones and no content; an operation that mixes
devices, or looks at content on the host, raises.
"""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from cortune.encoding.ridge import decompose, predict, rotate
from cortune.features import add_products, whole
from cortune.networks.backbones import build_backbone, normalise, origin_of
from cortune.networks.layers import captured_layers

N, D = 40, 90
NETWORKS = {"alexnet_small": "features.12", "resnet50": "layer4", "timm/test_vit": "blocks.5"}


@pytest.fixture
def fake():
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        yield mode


def on(device, *shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device=device)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_forward_pass_stays_on_the_gpu(name):
    model = build_backbone(name).eval()
    layer, shown, state = NETWORKS[name], origin_of(model).preprocessing, model.state_dict()
    with FakeTensorMode() as mode, torch.no_grad():
        pictures = on("cuda", 2, shown.input_size, shown.input_size, 3, dtype=torch.uint8)
        here = {key: mode.from_tensor(value) for key, value in state.items()}
        there = {key: value.to("cuda") for key, value in here.items()}
        with captured_layers(model, [layer]) as outputs:
            functional_call(model, there, (normalise(pictures, shown),))
            assert outputs[layer].device.type == "cuda" and len(outputs[layer]) == 2
        with pytest.raises(RuntimeError, match="device"):
            functional_call(model, here, (normalise(pictures, shown),))


def sums(device):
    return [on(device, *shape, dtype=torch.float64) for shape in ((N, N), (N,), (N,))]


def test_gram_products_stay_on_the_gpu(fake):
    found = sums("cuda")
    add_products(on("cuda", N, D), *found)
    whole(found[0])
    assert all(each.device.type == "cuda" for each in found)
    with pytest.raises(RuntimeError, match="device"):
        add_products(on("cuda", N, D), *sums("cpu"))


def test_ridge_stays_on_the_gpu(fake):
    eigenvalues = on("cuda", 8, dtype=torch.float64)
    rotated = rotate(on("cuda", N, 8), on("cuda", N, 5))
    found = predict(on("cuda", 6, 8), eigenvalues.float(), rotated, on("cuda", 1))
    assert found.device.type == "cuda" and found.shape == (6, 5)
    with pytest.raises(RuntimeError, match="device"):
        rotate(on("cuda", N, 8), on("cpu", N, 5))


def test_eigendecompositions_stay_on_the_gpu(fake):
    found = decompose(on("cuda", N, N))
    assert {each.device.type for each in found} == {"cuda"}
    assert found[1].shape == (N, N) and found[1].dtype == torch.float64
