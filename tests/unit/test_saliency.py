from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from cortune import saliency
from cortune.errors import InputError
from cortune.networks.backbones import Origin, build_backbone, load_backbone, normalise, set_origin
from cortune.networks.device import choose_runtime
from cortune.networks.families import Preprocessing
from cortune.networks.layers import captured_layers
from cortune.networks.store import save_network
from cortune.probes import LinearProbe, NetworkLabel, ProbeImages, ProbeJob, probe_networks
from cortune.report.saliency_figures import _verdict
from cortune.saliency.attribution import (
    Mapper,
    ProbedNetwork,
    check_spatial_layer,
    grad_cam,
    hires_cam,
    integrated_gradients,
)
from cortune.saliency.laterality import image_means, laterality_index
from cortune.saliency.maps import SaliencyResult, SaliencySettings, _summarise
from cortune.simulate.scenes import labelled_scenes
from cortune.versions import Provenance

PROVENANCE = Provenance("map_saliency", "1-00000000", 0)
CPU = torch.device("cpu")
SIZE, N_CLASSES = 16, 3
BLOCKS = "transformer.resblocks"


def tiny(seed=0, kernel=3):
    """A net of maps; the ReLU is in place, as torchvision's are."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 5, kernel, padding=kernel // 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * (SIZE // 4) ** 2, 7),
        nn.ReLU(inplace=True),
    )
    set_origin(net, Origin("alexnet_small", Preprocessing()))
    return net.eval()


def linear_probe(n_features, seed=0):
    random = np.random.default_rng(seed)
    weights = random.normal(size=(N_CLASSES, n_features))
    return LinearProbe(weights, random.normal(size=N_CLASSES), 1.0, 1, True)


def probe_images(n=40, seed=0):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    labels = random.integers(0, N_CLASSES, n)
    names = tuple(map(str, range(n)))
    return ProbeImages(pixels, names, labels, ("a", "b", "c"), np.arange(n) % 4 == 0)


def mapper(net, images, probe=None, layer="5", probed="8", attribution="grad_cam"):
    probe = probe or linear_probe(7)
    network = ProbedNetwork(net, probed, probe)
    return Mapper(
        network,
        images.labels,
        layer=layer,
        attribution=attribution,
        device=CPU,
        example=images.cache[:1],
    )


def summarised(net, images, **options):
    rows = np.arange(len(images))
    settings = SaliencySettings("5", n_examples=3, batch_size=16)
    return _summarise(mapper(net, images, **options), images, rows, settings)


def symmetrised(net, images, **options):
    li, _, _ = summarised(net, images, **options)
    return li.mean(0)


@pytest.mark.parametrize("layer", ["0", "2", "3", "4", "5"])
def test_grad_cam_is_the_gradient_computed_by_hand(layer):
    net, probe, images = tiny(), linear_probe(7), probe_images(6)
    x = normalise(torch.from_numpy(images.cache), Preprocessing())
    labels = torch.from_numpy(images.labels)
    found = grad_cam(ProbedNetwork(net, "8", probe), layer, x, labels)

    with torch.no_grad():
        maps = net[: int(layer) + 1](x).clone() if layer != "0" else net[0](x)
    maps = maps.requires_grad_()
    # A copy, since the next module may change its input in place.
    features = net[int(layer) + 1 :](maps.clone()).double()
    logits = features @ torch.from_numpy(probe.weights).T + torch.from_numpy(probe.bias)
    (gradient,) = torch.autograd.grad(logits[range(6), labels].sum(), maps)
    weights = gradient.mean((2, 3), keepdim=True)
    expected = (weights * maps).sum(1).clamp(min=0)
    assert expected.max() > 0
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-6)
    found = hires_cam(ProbedNetwork(net, "8", probe), layer, x, labels)
    expected = (gradient * maps).sum(1).clamp(min=0)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-6)


class Laid(nn.Module):
    """A block whose tokens are laid out as maps for a moment, for captum to look at."""

    def __init__(self, block, prefix, edge):
        super().__init__()
        self.block, self.maps, self.prefix, self.edge = block, nn.Identity(), prefix, edge

    def forward(self, x, *args, **options):
        x = self.block(x, *args, **options)
        maps = x[:, self.prefix :].unflatten(1, (self.edge, self.edge)).permute(0, 3, 1, 2)
        patches = self.maps(maps).permute(0, 2, 3, 1).flatten(1, 2)
        return torch.cat([x[:, : self.prefix], patches], 1)


@pytest.mark.parametrize(
    ("name", "size", "layer", "probed", "prefix", "tokens"),
    [
        ("timm/vit_tiny_patch16_224", 48, "blocks.10", "blocks.11", 1, "class"),
        ("timm/vit_tiny_patch16_224", 48, "blocks.11", "norm", 1, "mean"),
        (
            "open_clip/ViT-B-32",
            96,
            "transformer.resblocks.10",
            "transformer.resblocks.11",
            1,
            "all",
        ),
    ],
)
def test_tokens_are_looked_at_as_captum_looks_at_their_maps(
    name, size, layer, probed, prefix, tokens
):
    from captum.attr import LayerGradCam, LayerGradientXActivation

    net = load_backbone(name, "random", input_size=size).eval()
    x = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2, 1])
    with torch.no_grad(), captured_layers(net, [probed], tokens) as outputs:
        net(x)
        probe = replace(linear_probe(outputs[probed].shape[1]), tokens=tokens)
    network = ProbedNetwork(net, probed, probe)
    found, hires = (each(network, layer, x, labels) for each in (grad_cam, hires_cam))
    parent, _, last = layer.rpartition(".")
    laid = Laid(net.get_submodule(layer), prefix, 3)
    setattr(net.get_submodule(parent), last, laid)
    expected = LayerGradCam(network, laid.maps).attribute(x, labels, relu_attributions=True)
    assert found.shape == (3, 3, 3) and found.max() > 0
    torch.testing.assert_close(found, expected[:, 0].detach(), rtol=1e-4, atol=1e-8)
    expected = LayerGradientXActivation(network, laid.maps).attribute(x, labels).sum(1).clamp(min=0)
    torch.testing.assert_close(hires, expected.detach(), rtol=1e-4, atol=1e-8)


def test_channels_last_maps_are_looked_at_as_maps():
    net = load_backbone("swin_t", "random", input_size=64).eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = ProbedNetwork(net, "norm", replace(linear_probe(768), tokens="mean"))
    assert grad_cam(network, "features.5", x, torch.tensor([0, 1])).shape == (2, 4, 4)


@pytest.mark.parametrize("layer", ["0", "2", "5"])
def test_maps_are_captums_to_the_last_bit(layer):
    from captum.attr import LayerGradCam

    net, images = tiny(), probe_images(6)
    network = ProbedNetwork(net, "8", linear_probe(7))
    x = normalise(torch.from_numpy(images.cache), Preprocessing())
    labels = torch.from_numpy(images.labels)
    module = net.get_submodule(layer)
    expected = LayerGradCam(network, module).attribute(x, labels, relu_attributions=True)
    torch.testing.assert_close(
        grad_cam(network, layer, x, labels), expected[:, 0].detach(), rtol=1e-6, atol=0
    )


def test_a_network_without_a_map_says_so():
    vit = load_backbone("timm/vit_tiny_patch16_224", "random", input_size=48).eval()
    image = torch.zeros(1, 3, 48, 48)
    network = ProbedNetwork(vit, "blocks.11", replace(linear_probe(192), tokens="class"))
    for layer, why in (
        ("head", "gives no map"),
        ("blocks.0.attn.q_norm", "gives no map"),
        ("blocks.11", "of whose places blocks.11 sees none"),
        ("norm", "that blocks.11 does not see"),
    ):
        with pytest.raises(InputError, match=rf"saliency\.layer.*{layer}.*({why})"):
            check_spatial_layer(network, layer, image)
    small = load_backbone("timm/vit_tiny_patch16_224", "random", input_size=16).eval()
    network = ProbedNetwork(small, "norm", replace(linear_probe(192), tokens="mean"))
    with pytest.raises(InputError, match="whose map is 1 by 1"):
        check_spatial_layer(network, "blocks.3", torch.zeros(1, 3, 16, 16))


def test_integrated_gradients_of_a_linear_net_are_its_weighted_pixels():
    net = nn.Sequential(nn.Flatten())
    set_origin(net, Origin("alexnet_small", Preprocessing()))
    probe, images = linear_probe(3 * SIZE**2), probe_images(5)
    x = normalise(torch.from_numpy(images.cache), Preprocessing()).contiguous()
    found = integrated_gradients(
        ProbedNetwork(net, "0", probe), "", x, torch.from_numpy(images.labels)
    )
    weights = probe.weights[images.labels].reshape(5, 3, SIZE, SIZE)
    expected = np.maximum((weights * x.numpy()).sum(1), 0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


class HalfBlind(nn.Module):
    """Sees one half of its input."""

    def __init__(self, left, right):
        super().__init__()
        mask = torch.zeros(SIZE)
        mask[: SIZE // 2], mask[SIZE // 2 :] = left, right
        self.register_buffer("mask", mask)

    def forward(self, images):
        return images * self.mask


def half_blind(left, right):
    # Kernels of 2 with stride 2 mix no pixels of the two halves.
    torch.manual_seed(0)
    net = nn.Sequential(
        HalfBlind(left, right),
        nn.Conv2d(3, 6, 2, 2, bias=False),
        nn.ReLU(),
        nn.Conv2d(6, 6, 1, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
    )
    set_origin(net, Origin("alexnet_small", Preprocessing()))
    return net.eval()


@pytest.mark.parametrize(("left", "right", "expected"), [(0, 1, 1.0), (1, 0, -1.0)])
def test_a_net_that_sees_one_half_is_lateralized_to_it(left, right, expected):
    images = probe_images()
    probe = linear_probe(6 * (SIZE // 4) ** 2)
    # The maps before pooling: upsampling those of 8 x 8 blurs across the meridian.
    net = half_blind(left, right)
    maps = mapper(net, images, probe, layer="4", probed="6")(images.cache, np.arange(40))
    index = laterality_index(maps)
    seen = np.isfinite(index)
    assert seen.sum() > 20
    np.testing.assert_allclose(index[seen], expected)
    li, mean_map, _ = summarised(net, images, probe=probe, probed="6")
    whole = np.isfinite(li).all(0)
    assert (np.sign(li[:, whole]) == expected).all() and np.abs(li[:, whole]).min() > 0.7
    assert laterality_index(mean_map) * expected > 0.7


def mirrored(net):
    """The same net, left and right exchanged."""
    other = tiny()
    state = {
        key: value.flip(-1) if value.ndim == 4 else value for key, value in net.state_dict().items()
    }
    maps = state["7.weight"].reshape(7, 4, SIZE // 4, SIZE // 4)
    state["7.weight"] = maps.flip(-1).reshape(7, -1)
    other.load_state_dict(state)
    return other.eval()


def test_mirrored_weights_flip_the_sign_and_mirrored_data_do_not():
    net, images = tiny(), probe_images()
    own = symmetrised(net, images)
    assert np.nanstd(own) > 0.01
    np.testing.assert_allclose(symmetrised(mirrored(net), images), -own, atol=1e-5)
    flipped = replace(images, cache=images.cache[:, :, ::-1])
    np.testing.assert_allclose(symmetrised(net, flipped), own, atol=1e-12)


def test_a_mirror_symmetric_net_has_no_laterality():
    net, images = tiny(), probe_images()
    for module in (net[0], net[3]):
        module.weight.data += module.weight.data.flip(-1)
    maps = net[7].weight.data.reshape(7, 4, SIZE // 4, SIZE // 4)
    net[7].weight.data = (maps + maps.flip(-1)).reshape(7, -1)
    li, _, _ = summarised(net, images)
    assert np.nanmax(np.abs(li)) > 0.05  # images are not symmetric
    np.testing.assert_allclose(li.mean(0)[np.isfinite(li).all(0)], 0, atol=1e-5)


def test_the_mean_map_has_the_mean_laterality():
    images = probe_images()
    li, mean_map, examples = summarised(tiny(), images)
    whole = np.isfinite(li).all(0)
    assert mean_map.sum() == pytest.approx(1)
    assert laterality_index(mean_map) == pytest.approx(li[:, whole].mean())
    np.testing.assert_allclose(laterality_index(examples), li[0, :3])


def test_laterality_index_of_maps():
    maps = np.zeros((4, 2, 5))
    maps[0, :, 3:] = 2
    maps[1, :, :2] = 1
    maps[2, :, 2] = 9  # the meridian only
    maps[3] = [3, 0, 5, 0, 1]
    np.testing.assert_array_equal(laterality_index(maps), [1, -1, np.nan, -0.5])


def test_empty_maps_are_counted_and_left_out():
    net = tiny()
    net[3].weight.data.zero_()
    net[3].bias.data.zero_()
    li, mean_map, _ = summarised(net, probe_images())
    assert np.isnan(li).all() and not mean_map.any()


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def n_hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@pytest.mark.parametrize("attribution", ["grad_cam", "integrated_gradients"])
def test_2000_images_leave_no_hooks_and_no_memory(attribution):
    net, images = tiny(), probe_images(2000)
    network = mapper(net, images, attribution=attribution)
    n = 2000 if attribution == "grad_cam" else 400
    sizes = []
    for start in range(0, n, 20):
        rows = np.arange(start, start + 20)
        network.upsampled(images.cache[rows], rows)
        sizes.append(resident())
    assert n_hooks(network._network) == 0
    assert sizes[-1] - sizes[len(sizes) // 4] < 8e6
    assert all(parameter.grad is None for parameter in net.parameters())


def test_hooks_are_released_when_a_pass_fails():
    net, images = tiny(), probe_images(4)
    network = mapper(net, images)
    with pytest.raises(RuntimeError):
        network(images.cache[:, :8], np.arange(4))
    assert n_hooks(network._network) == 0


@pytest.mark.parametrize(
    ("layer", "probed", "expected"),
    [
        ("55", "8", "Did you mean"),
        ("7", "8", "gives no map of the image"),
        ("5", "3", "3 does not see"),
    ],
)
def test_unfit_layers_are_refused(layer, probed, expected):
    probe = linear_probe(7 if probed == "8" else 4 * 64)
    net = tiny()
    with pytest.raises(InputError, match=expected):
        mapper(net, probe_images(2), probe, layer=layer, probed=probed)
    assert n_hooks(net) == 0


def test_an_unknown_attribution_is_refused():
    with pytest.raises(InputError, match="'gradcam'; expected one of grad_cam, hires"):
        mapper(tiny(), probe_images(2), attribution="gradcam")


# Statistics.


def test_image_means_equal_single_computations():
    values = np.random.default_rng(0).normal(0.1, 1, (3, 80))
    values[1, :30] = np.nan
    values[2] = np.nan
    found = image_means(values, 4000, 4000, seed=0)
    np.testing.assert_array_equal(found.n_images, [80, 50, 0])
    for row, chosen in ((0, values[0]), (1, values[1, 30:])):
        t = stats.ttest_1samp(chosen, 0)
        low, high = t.confidence_interval()
        assert found.mean[row] == pytest.approx(chosen.mean())
        assert found.p[row] == pytest.approx(t.pvalue, abs=0.03)
        np.testing.assert_allclose([found.low[row], found.high[row]], [low, high], atol=0.05)
    assert np.isnan([found.mean[2], found.low[2], found.p[2]]).all()


def test_the_permutation_test_has_its_size_under_the_null():
    values = np.random.default_rng(1).laplace(0, 1, (1000, 40))
    p = image_means(values, 10, 999, seed=0).p
    for level in (0.05, 0.2, 0.5):
        n = int((p <= level).sum())
        assert stats.binomtest(n, 1000, level).pvalue > 1e-3


def result(li, subject="s1", hemisphere="lh", roi="V1v", method="contrastive", **options):
    model = f"{subject}-{hemisphere}-{roi}-{method}"
    label = NetworkLabel(model, "nsd", subject, hemisphere, roi, method)
    n = len(li)
    empty = np.zeros((0, 4, 4), np.float32)
    values = {"rows": np.arange(n), "li_image": li + 0.3, "li_mirror": li - 0.3} | options
    return SaliencyResult(
        label, "p", "5", "grad_cam", n_empty=0, mean_map=np.zeros((4, 4), np.float32),
        examples=empty, r_randomised=np.full(3, 0.5), **values,
    )  # fmt: skip


def brain(effect, seed=0, n=60, subjects=("s1", "s2", "s3"), rois=("V1v", "V1d", "PPA")):
    random = np.random.default_rng(seed)
    shared = random.normal(0.2, 0.1, n)  # what images and architecture bring along
    untuned = replace(result(shared), label=NetworkLabel("untuned", "nsd", method="untuned"))
    return [untuned] + [
        result(shared + side * effect + random.normal(0, 0.05, n), subject, hemisphere, roi)
        for subject in subjects
        for roi in rois
        for hemisphere, side in (("lh", 0.5), ("rh", -0.5))
    ]


OPTIONS = {"n_bootstrap": 500, "n_permutations": 999, "seed": 0}


def test_lateralization_is_relative_to_the_untuned_network():
    results = brain(0.2)
    table = saliency.lateralization(results, **OPTIONS).set_index("model")
    one = table.loc["s2-lh-V1d-contrastive"]
    li = next(r for r in results if r.label.model == one.name)
    assert one["li_mean"] == pytest.approx(li.li.mean())
    assert one["li_vs_untuned"] == pytest.approx((li.li - results[0].li).mean())
    assert one["ci_low"] < one["li_mean"] < one["ci_high"]
    assert one["vs_untuned_ci_low"] < one["li_vs_untuned"] < one["vs_untuned_ci_high"]
    assert one["n_images"] == 60 and table.loc["untuned", "li_vs_untuned"] == 0
    alone = saliency.lateralization(results[1:], **OPTIONS)
    assert alone["li_vs_untuned"].isna().all()


def test_images_without_a_map_do_not_count():
    li = np.linspace(0.1, 0.3, 20)
    results = [result(li), result(np.where(np.arange(20) < 5, np.nan, li), hemisphere="rh")]
    table = saliency.lateralization(results, **OPTIONS)
    assert list(table["n_images"]) == [20, 15]
    assert table["li_mean"][1] == pytest.approx(li[5:].mean())


def row(table, group):
    (found,) = table[table["group"] == group].to_dict("records")
    return found


def test_hemispheres_are_tested_over_subjects():
    results = brain(0.2, subjects=[f"s{i}" for i in range(7)])
    table = saliency.hemisphere_tests(results, **OPTIONS)
    everything = row(table, "all")
    means = {r.label.model: r.li.mean() for r in results}
    expected = np.mean([value for name, value in means.items() if "-lh-" in name]) - np.mean(
        [value for name, value in means.items() if "-rh-" in name]
    )
    assert everything["li_diff_mean"] == pytest.approx(expected)
    assert everything["p_value"] == everything["p_least"] == 2 / 2**7
    assert [everything[n] for n in ("n_subjects", "n_pairs", "n_replicates")] == [7, 21, 1]
    assert row(table, "early")["n_pairs"] == 14
    rois = table[table["level"] == "roi"]
    np.testing.assert_allclose(rois["q_value"], stats.false_discovery_control(rois["p_value"]))
    assert table.loc[table["level"] == "group", "q_value"].isna().all()


def test_a_single_subject_is_written_in_the_singular():
    for subjects, said in ((["s1"], "1 subject"), (["s1", "s2"], "2 subjects")):
        tests = saliency.hemisphere_tests(brain(0.5, subjects=subjects), **OPTIONS)
        assert _verdict(tests, "V1v", "contrastive").endswith(said)


def test_three_subjects_have_no_p_whatever_their_images_say():
    found = row(saliency.hemisphere_tests(brain(0.5), **OPTIONS), "V1v")
    assert np.isnan(found["p_value"]) and np.isnan(found["q_value"])
    assert (found["n_subjects"], found["p_least"]) == (3, 0.25) and found["ci_low"] > 0


def test_replicates_are_averaged_within_subjects():
    one, two = (
        [
            replace(
                r,
                li_image=r.li_image + 2 * shift,
                label=replace(r.label, replicate=n),
            )
            for r in brain(0.2)
        ]
        for n, shift in (("0", 0.0), ("1", 0.04))
    )
    more = [r for r in two if r.label.hemisphere == "lh" and r.label.subject != "s1"]
    table = saliency.hemisphere_tests(one + more, **OPTIONS)
    alone = saliency.hemisphere_tests(one, **OPTIONS)
    gain = row(table, "V1v")["li_diff_mean"] - row(alone, "V1v")["li_diff_mean"]
    assert gain == pytest.approx(0.02 * 2 / 3)
    assert row(table, "V1v")["n_replicates"] == 1, "rh has one network"


def test_exchanged_hemispheres_flip_the_sign():
    def exchange(one):
        sides = {"lh": "rh", "rh": "lh", "": ""}
        return replace(one, label=replace(one.label, hemisphere=sides[one.label.hemisphere]))

    table = saliency.hemisphere_tests(brain(0.2), **OPTIONS)
    flipped = saliency.hemisphere_tests([exchange(one) for one in brain(0.2)], **OPTIONS)
    np.testing.assert_allclose(flipped["li_diff_mean"], -table["li_diff_mean"])
    np.testing.assert_allclose(flipped["p_value"], table["p_value"])


def test_a_pooled_pair_has_no_subject():
    results = [result(np.full(9, 0.1 * k), "", h) for k, h in ((2, "lh"), (1, "rh"))]
    found = row(saliency.hemisphere_tests(results, **OPTIONS), "V1v")
    assert found["li_diff_mean"] == pytest.approx(0.1)
    assert found["p_least"] == 1 and np.isnan(found["ci_low"])


def test_no_pairs_give_an_empty_table_with_columns():
    table = saliency.hemisphere_tests([result(np.ones(4))], **OPTIONS)
    assert table.empty and "p_least" in table


def test_different_images_are_not_compared():
    other = result(np.ones(4), rows=np.arange(4) + 1, hemisphere="rh")
    with pytest.raises(InputError, match="on other images"):
        saliency.lateralization([result(np.ones(4)), other], **OPTIONS)
    with pytest.raises(InputError, match="two networks of lh"):
        saliency.hemisphere_tests([result(np.ones(4))] * 2, **OPTIONS)


# The stage.


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saliency")
    pixels, labels = labelled_scenes(60, size=64, n_classes=N_CLASSES, seed=0, stream="test")
    names = tuple(map(str, range(60)))
    images = ProbeImages(pixels, names, labels, ("a", "b", "c"), np.arange(60) % 3 == 0)
    runtime = choose_runtime("cpu", "float32", threads=1)
    labels_of = [NetworkLabel("untuned", "nsd", method="untuned")]
    labels_of += [NetworkLabel(h, "nsd", "s1", h, "V1v", "contrastive") for h in ("lh", "rh")]
    jobs = []
    for seed, label in enumerate(labels_of):
        model = build_backbone("alexnet_small", seed=seed, num_classes=5)
        network = folder / f"{label.model}.safetensors"
        save_network(network, model, PROVENANCE, num_classes=5)
        jobs.append(ProbeJob(label, network, folder / f"{label.model}-probe.h5"))
    probe_networks(jobs, images, PROVENANCE, runtime, probe="p", layer="classifier.5")
    mapped = [
        saliency.SaliencyJob(job.network, job.output, folder / f"{job.label.model}.h5")
        for job in jobs
    ]
    settings = SaliencySettings("features.12", n_images=25, n_examples=4, n_randomised=6)
    saliency.map_saliency(mapped, images, PROVENANCE, runtime, settings)
    return images, mapped, folder


def test_saliency_is_mapped_over_test_images_first(stage):
    images, jobs, _ = stage
    found = [saliency.read_saliency(job.output) for job in jobs]
    for one in found:
        np.testing.assert_array_equal(one.rows, found[0].rows)
        assert images.test[one.rows[:20]].all() and not images.test[one.rows[20:]].any()
        assert one.mean_map.shape == (64, 64) and one.examples.shape == (4, 64, 64)
        assert one.n_empty == np.isnan(one.li).sum()
        assert (one.layer, one.probe, one.attribution) == ("features.12", "p", "grad_cam")
        assert laterality_index(one.mean_map) == pytest.approx(np.nanmean(one.li), abs=1e-5)
    assert not np.allclose(found[1].li, found[2].li)


def test_random_weights_change_the_maps(stage):
    for job in stage[1]:
        r = saliency.read_saliency(job.output).r_randomised
        assert r.shape == (6,) and np.nanmax(np.abs(r)) < 0.999


def test_rank_correlations_are_spearmans():
    from cortune.saliency.maps import _rank_correlations

    images = probe_images(10)
    a, b = (mapper(tiny(seed), images, layer="3") for seed in (0, 1))
    rows = np.arange(10)
    found = _rank_correlations(a, b, images, rows, 4)
    maps = [m(images.cache, rows).reshape(10, -1) for m in (a, b)]
    expected = [stats.spearmanr(x, y).statistic for x, y in zip(*maps, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(_rank_correlations(a, a, images, rows, 4), 1)


def test_the_same_inputs_give_the_same_bytes(stage):
    images, jobs, folder = stage
    runtime = choose_runtime("cpu", "float32", threads=1)
    settings = SaliencySettings("features.12", n_images=25, n_examples=4, n_randomised=6)
    again = replace(jobs[1], output=folder / "again.h5")
    saliency.map_saliency([again], images, PROVENANCE, runtime, settings)
    assert (folder / "again.h5").read_bytes() == Path(jobs[1].output).read_bytes()


def test_lateralization_is_tabulated(stage):
    _, jobs, folder = stage
    paths = folder / "lateralization.csv", folder / "lateralization_tests.csv"
    saliency.tabulate_lateralization(
        [job.output for job in jobs], *paths, PROVENANCE, n_bootstrap=50, n_permutations=50
    )
    table, tests = (pd.read_csv(path, keep_default_na=False) for path in paths)
    required = "model subject hemisphere roi method li_mean ci_low ci_high p_value n_images"
    assert {*required.split(), "li_vs_untuned"} <= set(table)
    assert list(table["hemisphere"]) == ["", "lh", "rh"]
    assert set(tests["group"]) == {"early", "all", "V1v"}


def test_a_foreign_file_is_no_saliency(stage):
    _, jobs, _ = stage
    with pytest.raises(InputError, match="no saliency of a network"):
        saliency.read_saliency(jobs[0].probe)
