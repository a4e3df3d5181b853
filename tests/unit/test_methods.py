from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from cortune.config import Contrastive, ContrastivePlus, Regression
from cortune.data.units import ImageSet, UnitData, side_by_side
from cortune.errors import InputError, LeakageError
from cortune.networks.backbones import build_backbone, normalise
from cortune.networks.device import choose_runtime
from cortune.networks.heads import Projection, Tagged, pooled_sizes, published_sizes
from cortune.networks.layers import layer_width
from cortune.networks.store import load_network, save_network
from cortune.report.style import ordered_methods
from cortune.tuning import stages
from cortune.tuning.batches import Batches, SubjectBatches
from cortune.tuning.embeddings import read_embedding
from cortune.tuning.losses import infonce
from cortune.tuning.methods import METHODS, Method, register
from cortune.tuning.methods.contrastive_plus import photometric
from cortune.tuning.methods.joint import Joint
from cortune.versions import Provenance

PROVENANCE = Provenance("tune_pooled", "1-00000000", 0)
SEEDED = "sub-subj01/hemi-lh/roi-V1v"
PUBLISHED = Contrastive(temperature=0.3, batch_size=32, epochs=8, learning_rate=1e-3)
PLUS = ContrastivePlus(
    temperature=0.1,
    learn_temperature=True,
    symmetric=False,
    norm="layer",
    norm_per_modality=True,
    activation="gelu",
    embedding_size=16,
    image_layer=None,
    batch_size=32,
    drop_last=True,
    epochs=8,
    learning_rate=2e-3,
    schedule="one_cycle",
    weight_decay=0.05,
    keep_best=True,
    augmentation=0.0,
)
REGRESSION = Regression(batch_size=32, epochs=8, learning_rate=1e-3)


def replace(recipe, **changes):
    return type(recipe)(**{**dict(recipe), **changes})


@pytest.fixture(scope="module")
def runtime():
    return choose_runtime("cpu", "float32", threads=1)


def make_unit(seed, n_voxels, first=0):
    """Images of 32 pixels whose mean colours drive the voxels."""
    random = np.random.default_rng(seed)
    colours = random.uniform(0, 255, (100, 1, 1, 3))
    images = np.clip(colours + random.normal(0, 20, (100, 32, 32, 3)), 0, 255).astype(np.uint8)
    responses = (colours[:, 0, 0] / 255 - 0.5) @ random.normal(size=(3, n_voxels))
    responses += random.normal(0, 0.1, responses.shape)
    sets = np.array(["tune"] * 70 + ["validation"] * 15 + ["test"] * 15)
    identities = tuple(f"nsd:{first + i:05d}" for i in range(100))
    return UnitData(
        ImageSet(images, np.arange(100), identities, sets),
        responses.astype(np.float32),
        np.arange(n_voxels),
    )


@pytest.fixture(scope="module")
def units():
    found = {"subj01": make_unit(1, 30), "subj02": make_unit(2, 20, first=1000)}
    return {subject: side_by_side({subject: unit}) for subject, unit in found.items()}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    path = tmp_path_factory.mktemp("backbone") / "network.safetensors"
    model = build_backbone("alexnet_small", seed=1, num_classes=10)
    save_network(path, model, PROVENANCE, num_classes=10)
    return path


def outputs(folder):
    return SimpleNamespace(
        network=folder / "network.safetensors",
        history=folder / "history.csv",
        embeddings=folder / "embeddings.h5",
    )


def tuned(folder, method, unit, settings, backbone, runtime):
    out = outputs(folder)
    unit = dataclasses.replace(unit, parts={})
    stages.tune_network(method, unit, settings, backbone, out, PROVENANCE, runtime, seeded=SEEDED)
    return pd.read_csv(out.history), out


# ---- regression


def test_regression_predicts_held_out_responses(tmp_path, units, backbone, runtime):
    history, out = tuned(tmp_path, "regression", units["subj01"], REGRESSION, backbone, runtime)
    assert history["validation_r"].iloc[-1] > 0.5
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert load_network(out.network).head["response_map.weight"].shape == (30, 10)


def test_regression_measures_are_those_of_its_predictions(units, runtime):
    unit = units["subj01"]
    model = build_backbone("alexnet_small", seed=1, num_classes=10).eval()
    task = METHODS["regression"].build(model, 10, 30, REGRESSION)
    task.model.eval()
    rows = np.flatnonzero(unit.images.sets == "validation")
    batches = Batches(unit.images.cache, rows, unit.responses[rows], batch_size=4, seed=0)
    found = task.watch(batches, runtime)
    with torch.no_grad():
        predicted = task.model(normalise(torch.from_numpy(unit.images.cache[rows]), model)).numpy()
    observed = unit.responses[rows]
    r = [np.corrcoef(predicted[:, v], observed[:, v])[0, 1] for v in range(30)]
    assert found["validation_r"] == pytest.approx(np.mean(r), abs=1e-5)
    assert found["validation_mse"] == pytest.approx(np.mean((predicted - observed) ** 2), rel=1e-5)


# ---- regression_plus: all of contrastive_plus but the loss


def test_the_two_plus_methods_differ_by_head_and_loss_alone():
    """One section, so neither can drift; and what is made of each of its keys is the same."""
    assert METHODS["regression_plus"].section == METHODS["contrastive_plus"].section
    settings = replace(PLUS, image_layer="features.9", weight_decay=0.07, drop_last=False)
    model = build_backbone("alexnet_small", seed=0, num_classes=10)
    width = layer_width(model, "features.9", 32)
    tasks = [METHODS[f"{loss}_plus"].build(
        build_backbone("alexnet_small", seed=0, num_classes=10), width, 30, settings
    ) for loss in ("contrastive", "regression")]  # fmt: skip
    a, b = tasks
    assert type(a.optimizer) is type(b.optimizer) and a.drop_last == b.drop_last
    for one, other in zip(a.optimizer.param_groups, b.optimizer.param_groups, strict=True):
        assert {k: v for k, v in one.items() if k != "params"} == {
            k: v for k, v in other.items() if k != "params"
        }
    assert (a.plan.epochs, a.plan.learning_rate) == (b.plan.epochs, b.plan.learning_rate)
    assert a.plan.schedule is b.plan.schedule
    assert (a.plan.keep_best, b.plan.keep_best) == ("validation_bound_nats", "-validation_mse")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    responses = torch.randn(4, 30, generator=torch.Generator().manual_seed(1))
    b.model.eval()
    layer = b.model.backbone.features[:10](images).flatten(1)
    torch.testing.assert_close(b.model(images), b.model.response_map(layer))
    expected = ((b.model.response_map(layer) - responses) ** 2).mean()
    torch.testing.assert_close(b.objective(images, responses), expected)
    for task in tasks:
        task.objective(images, responses).backward()
    touched = [
        {name for name, p in task.model.backbone.named_parameters() if p.grad is not None}
        for task in tasks
    ]
    assert touched[0] == touched[1]


def test_regression_plus_keeps_the_epoch_of_the_least_error(tmp_path, units, backbone, runtime):
    """Of noise, which can only be learned by heart, the last epoch is not the best."""
    noise = np.random.default_rng(5).normal(size=(100, 30)).astype(np.float32)
    unit = dataclasses.replace(units["subj01"], responses=noise)
    settings = replace(PLUS, schedule="constant")
    history, out = tuned(tmp_path, "regression_plus", unit, settings, backbone, runtime)
    least = history["validation_mse"].min()
    assert history["validation_mse"].iloc[-1] > 1.001 * least
    saved = load_network(out.network)
    task = METHODS["regression_plus"].build(saved.backbone, 10, 30, settings)
    task.model.load_state_dict(saved.head, strict=False)
    task.model.eval()
    rows = unit.rows("validation")
    batches = Batches(unit.images.cache, rows, unit.responses[rows], batch_size=32, seed=0)
    assert task.watch(batches, runtime)["validation_mse"] == pytest.approx(least, rel=1e-4)


# ---- contrastive_plus, key by key


def test_plus_learns(tmp_path, units, backbone, runtime):
    history, out = tuned(tmp_path, "contrastive_plus", units["subj01"], PLUS, backbone, runtime)
    assert history["validation_bound_nats"].max() > 0.3
    assert history["temperature"].nunique() > 1
    assert "log_temperature" in load_network(out.network).head


def test_keep_best_keeps_the_epoch_of_the_highest_bound(tmp_path, units, backbone, runtime):
    """With a rate that ruins the network late, the kept one is as good as its best epoch."""
    settings = replace(PLUS, schedule="constant", learning_rate=0.03, epochs=6)
    history, out = tuned(tmp_path, "contrastive_plus", units["subj01"], settings, backbone, runtime)
    best = history["validation_bound_nats"].max()
    unit = units["subj01"]
    rows = unit.rows("validation")
    saved = load_network(out.network)
    task = METHODS["contrastive_plus"].build(saved.backbone, 10, 30, settings)
    task.model.load_state_dict(load_network(out.network).head, strict=False)
    task.model.eval()
    batches = Batches(unit.images.cache, rows, unit.responses[rows], batch_size=32, seed=0)
    assert task.watch(batches, runtime)["validation_bound_nats"] == pytest.approx(best, abs=1e-4)


def test_keep_best_survives_a_resume(tmp_path, units, backbone, runtime, monkeypatch):
    settings = replace(PLUS, epochs=4)
    args = ("contrastive_plus", units["subj01"], settings, backbone, runtime)
    expected = tuned(tmp_path, *args)[1].network.read_bytes()

    class Killed(BaseException):
        pass

    original = stages.train

    def dying(model, objective, batches, optimizer, plan, runtime, *, watch, **options):
        calls = []

        def counted():
            calls.append(1)
            if len(calls) == 3:
                raise Killed
            return watch()

        return original(
            model, objective, batches, optimizer, plan, runtime, watch=counted, **options
        )

    monkeypatch.setattr(stages, "train", dying)
    with pytest.raises(Killed):
        tuned(tmp_path, *args)
    monkeypatch.setattr(stages, "train", original)
    assert tuned(tmp_path, *args)[1].network.read_bytes() == expected


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"learn_temperature": False}, lambda m: not hasattr(m, "log_temperature")),
        (
            {"norm": "batch"},
            lambda m: any(isinstance(x, torch.nn.BatchNorm1d) for x in m.projection.modules()),
        ),
        ({"norm_per_modality": False}, lambda m: list(m.projection.norms) == ["both"]),
        ({"embedding_size": None}, lambda m: m.projection.out.out_features == 6),
        ({"embedding_size": 7}, lambda m: m.projection.out.out_features == 7),
        ({"activation": "relu"}, lambda m: m.projection.activation is torch.nn.functional.relu),
    ],
)
def test_every_key_of_the_head_does_what_it_says(change, check):
    model = build_backbone("alexnet_small", num_classes=10)
    assert check(METHODS["contrastive_plus"].build(model, 10, 30, replace(PLUS, **change)).model)


def test_the_image_layer_is_what_is_mapped_and_what_lies_beyond_rests():
    model = build_backbone("alexnet_small", seed=0, num_classes=10).eval()
    width = layer_width(model, "features.9", 32)
    settings = replace(PLUS, image_layer="features.9")
    task = METHODS["contrastive_plus"].build(model, width, 30, settings)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        task.model.eval()
        features = model.features[:10](images).flatten(1)
        expected = task.model.projection(task.model.image_map(features), "image")
        torch.testing.assert_close(task.model.embed_images(images), expected)
    task.objective(images, torch.randn(4, 30)).backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None}
    assert touched == {n for n, _ in model.named_parameters() if n.startswith(
        tuple(f"features.{i}." for i in range(9))
    )}  # fmt: skip
    assert not any(key.startswith("_") for key in task.model.state_dict())


def test_a_network_is_tuned_from_a_layer_of_its_own(tmp_path, units, backbone, runtime):
    settings = replace(PLUS, image_layer="features.12", epochs=4)
    history, out = tuned(tmp_path, "contrastive_plus", units["subj01"], settings, backbone, runtime)
    assert history["validation_bound_nats"].iloc[-1] > 0.3
    before, after = load_network(backbone).backbone, load_network(out.network).backbone
    changed = {
        name
        for (name, a), (_, b) in zip(
            before.named_parameters(), after.named_parameters(), strict=True
        )
        if not torch.equal(a, b)
    }
    assert any(name.startswith("features.0") for name in changed)
    with pytest.raises(InputError, match="contrastive_plus.image_layer.*features"):
        tuned(
            tmp_path, "contrastive_plus", units["subj01"],
            replace(PLUS, image_layer="features.99"), backbone, runtime,
        )  # fmt: skip


def test_keys_of_the_optimisation():
    model = build_backbone("alexnet_small", num_classes=10)
    task = METHODS["contrastive_plus"].build(
        model, 10, 30, replace(PLUS, schedule="constant", keep_best=False, drop_last=False)
    )
    assert task.plan.keep_best is None and not task.drop_last
    assert {task.plan.schedule(p) for p in (0.0, 0.5, 1.0)} == {1.0}
    decayed, free = task.optimizer.param_groups
    assert decayed["weight_decay"] == 0.05 and free["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim <= 1 for p in free["params"])


def test_symmetric_loss_averages_both_directions():
    a, b = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    expected = (infonce(a, b, 0.2) + infonce(b, a, 0.2)) / 2
    torch.testing.assert_close(infonce(a, b, 0.2, symmetric=True), expected)


def test_without_its_improvements_plus_is_contrastive(tmp_path, units, backbone, runtime):
    """Each difference is a key: switched off, the same network results."""
    off = ContrastivePlus(
        temperature=PUBLISHED.temperature,
        learn_temperature=False,
        symmetric=False,
        norm="batch",
        norm_per_modality=False,
        activation="relu",
        embedding_size=None,
        image_layer=None,
        batch_size=PUBLISHED.batch_size,
        drop_last=False,
        epochs=3,
        learning_rate=PUBLISHED.learning_rate,
        schedule="constant",
        weight_decay=0.0,
        keep_best=False,
        augmentation=0.0,
    )
    unit = units["subj01"]
    plus, _ = tuned(tmp_path, "contrastive_plus", unit, off, backbone, runtime)
    short = replace(PUBLISHED, epochs=3)
    published, _ = tuned(tmp_path, "contrastive", unit, short, backbone, runtime)
    np.testing.assert_allclose(plus["loss"], published["loss"], rtol=1e-4)


def test_drop_last_leaves_the_ragged_batch_out(units):
    cache = units["subj01"].images.cache
    batches = Batches(cache, np.arange(70), np.arange(70), batch_size=32, seed=0, drop_last=True)
    assert [len(t) for _, t in batches.epoch(0)] == [32, 32]
    assert batches.steps_per_epoch == 2
    small = Batches(cache, np.arange(10), np.arange(10), batch_size=32, seed=0, drop_last=True)
    assert [len(t) for _, t in small.epoch(0)] == [10], "a batch larger than the set is the set"


def test_augmentation_keeps_places():
    """Each image is an affine function of itself, pixel by pixel."""
    images = torch.randn(4, 3, 8, 8)
    jittered = photometric(images, 0.3)
    for before, after in zip(images, jittered, strict=True):
        x, y = before.flatten(), after.flatten()
        assert torch.corrcoef(torch.stack([x, y]))[0, 1] == pytest.approx(1, abs=1e-5)
    assert not torch.equal(images, jittered)
    assert photometric(images, 0.0) is images


# ---- pooled


def test_sizes_of_the_paper():
    assert published_sizes(710) == (568, 142)
    assert pooled_sizes([100, 201]) == (150, 37)
    assert pooled_sizes([100, 201], 5741) == (5741, 1435)


@pytest.mark.parametrize(("method", "hidden"), [("pooled_mean", 25), ("pooled_max", 64)])
def test_pooled_networks_have_a_response_map_per_subject(
    tmp_path, units, backbone, runtime, method, hidden
):
    out = outputs(tmp_path)
    history = stages.tune_pooled(
        method,
        units,
        PUBLISHED,
        backbone,
        out,
        PROVENANCE,
        runtime,
        seeded=SEEDED,
        largest_roi=64,
    )
    head = load_network(out.network).head
    assert head["response_maps.subj01.weight"].shape == (hidden, 30)
    assert head["response_maps.subj02.weight"].shape == (hidden, 20)
    assert history[-1]["validation_bound_nats"] > 0.1
    assert history[-1]["validation_bound_nats"] <= math.log(15)
    assert len(load_network(out.network).tuned_on) == 2 * 85


def test_pooled_batches_hold_one_subject_and_interleave(units):
    parts = {
        subject: Batches(
            unit.images.cache, np.arange(70), unit.responses[:70], batch_size=8, seed=0
        )
        for subject, unit in units.items()
    }
    batches = SubjectBatches(parts, {name: unit.parts for name, unit in units.items()}, seed=0)
    turns = [*(name for _, tagged in batches.epoch(0) for name in tagged.parts)]
    assert len(turns) == batches.steps_per_epoch == 18
    assert turns.count("subj01") == turns.count("subj02") == 9
    assert turns != sorted(turns), "subjects take turns"
    assert turns != [*(name for _, tagged in batches.epoch(1) for name in tagged.parts)]
    for _, tagged in batches.epoch(0):
        assert sum(tagged.parts.values()) == tagged.values.shape[1]
    assert len(batches) == 140


def test_a_subjects_test_image_in_anothers_tuning_set_is_caught(tmp_path, units, backbone, runtime):
    """The published code splits by file index, and its pooled models saw such images."""
    planted = units["subj02"]
    identities = list(planted.images.identities)
    identities[3] = units["subj01"].images.identities[90]
    leaky = UnitData(
        ImageSet(planted.images.cache, planted.images.rows, tuple(identities), planted.images.sets),
        planted.responses,
        planted.vertices,
        planted.parts,
    )
    with pytest.raises(LeakageError, match="nsd:00090"):
        stages.tune_pooled(
            "pooled_mean",
            {**units, "subj02": leaky},
            PUBLISHED,
            backbone,
            outputs(tmp_path),
            PROVENANCE,
            runtime,
            seeded=SEEDED,
            largest_roi=64,
        )
    assert not (tmp_path / "network.safetensors").exists()


def test_a_projection_sends_each_modality_through_its_norms():
    projection = Projection(4, 2, norm="batch", per_modality=True)
    x = torch.randn(16, 4)
    projection(x * 10 + 5, "response")
    image, response = (projection.norms[m][0].running_mean for m in ("image", "response"))
    assert torch.equal(image, torch.zeros(4))
    assert not torch.equal(response, torch.zeros(4))


def test_tagged_moves_between_devices():
    tagged = Tagged({"subj01": 3}, torch.ones(2, 3)).to(torch.device("cpu"))
    assert tagged.parts == {"subj01": 3} and tagged.values.shape == (2, 3)


# ---- joint


JOINT = Joint(**dict(PLUS), hidden_size=48)
ROIS = {"subj01": {"subj01 lh V1v": 30, "subj01 rh hV4": 12}, "subj02": {"subj02 lh V1v": 20}}


@pytest.fixture(scope="module")
def cortices():
    """Two subjects, of whom one has two units."""
    first = make_unit(1, 42)
    first = [dataclasses.replace(first, responses=first.responses[:, part], vertices=np.arange(n))
             for part, n in ((slice(30), 30), (slice(30, 42), 12))]  # fmt: skip
    return {
        "subj01": side_by_side(dict(zip(ROIS["subj01"], first, strict=True))),
        "subj02": side_by_side({"subj02 lh V1v": make_unit(2, 20, first=1000)}),
    }


def test_units_side_by_side_have_the_same_images(cortices):
    joined = cortices["subj01"]
    assert joined.parts == ROIS["subj01"] and joined.responses.shape == (100, 42)
    np.testing.assert_array_equal(joined.responses, make_unit(1, 42).responses)
    with pytest.raises(InputError, match="subj02.*other images"):
        side_by_side({"subj01 lh V1v": make_unit(1, 3), "subj02 lh V1v": make_unit(1, 3, first=7)})


def test_the_joint_loss_is_the_mean_over_units():
    model = build_backbone("alexnet_small", seed=0, num_classes=10)
    task = METHODS["joint"].build(model, 10, ROIS["subj01"], replace(JOINT, temperature=0.2))
    assert task.model.projection.out.in_features == 48
    task.model.eval()
    images = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    values = torch.randn(6, 42, generator=torch.Generator().manual_seed(1))
    found = task.objective(images, Tagged(ROIS["subj01"], values))
    image_z = task.model.embed_images(images)
    losses = []
    for name, part in (("subj01 lh V1v", values[:, :30]), ("subj01 rh hV4", values[:, 30:])):
        hidden = task.model.response_maps[name](part)
        losses.append(infonce(image_z, task.model.projection(hidden, "response"), 0.2))
    torch.testing.assert_close(found, sum(losses) / 2)


@pytest.mark.parametrize("method", ["joint", "joint_pooled"])
def test_a_joint_network_learns_all_its_units(tmp_path, cortices, backbone, runtime, method):
    units = cortices if method == "joint_pooled" else {"subj01": cortices["subj01"]}
    out = outputs(tmp_path)
    history = stages.tune_pooled(
        method, units, JOINT, backbone, out, PROVENANCE, runtime, seeded="sub-subj01"
    )
    assert history[-1]["validation_bound_nats"] > 0.3
    saved = load_network(out.network)
    n_voxels = {name: n for subject in units for name, n in ROIS[subject].items()}
    maps = {k: v.shape[1] for k, v in saved.head.items() if k.startswith("response_maps.")}
    assert maps == {f"response_maps.{name}.weight": n for name, n in n_voxels.items()}
    assert len(saved.tuned_on) == 85 * len(units)
    model = METHODS[method].build(saved.backbone, 10, n_voxels, JOINT).model
    model.load_state_dict(saved.head, strict=False)
    model.eval()
    for subject, unit in units.items():
        with torch.no_grad():
            image_z, response_z = model(
                normalise(torch.from_numpy(unit.images.cache[85:]), model),
                Tagged(ROIS[subject], torch.from_numpy(unit.responses[85:])),
            )
        for name, of_unit in zip(ROIS[subject], response_z.split(15), strict=True):
            found = read_embedding(out.embeddings, name)
            assert found.identities == unit.images.identities[85:]
            np.testing.assert_allclose(found.image_z, image_z, atol=1e-4)
            np.testing.assert_allclose(found.response_z, of_unit, atol=1e-4)


# ---- embeddings


@pytest.mark.parametrize("method", ["contrastive", "contrastive_plus", "pooled_mean"])
def test_embeddings_are_those_of_the_test_images_by_the_saved_network(
    tmp_path, units, backbone, runtime, method
):
    settings = PLUS if method == "contrastive_plus" else PUBLISHED
    out = outputs(tmp_path)
    unit = units["subj01"]
    if method.startswith("pooled"):
        stages.tune_pooled(
            method,
            units,
            settings,
            backbone,
            out,
            PROVENANCE,
            runtime,
            seeded=SEEDED,
            largest_roi=40,
        )
        n_voxels = {"subj01": 30, "subj02": 20}
    else:
        _, out = tuned(tmp_path, method, unit, settings, backbone, runtime)
        n_voxels = 30
    found = read_embedding(out.embeddings, "subj01")
    assert found.identities == unit.images.identities[85:]
    assert not set(found.identities) & set(found.tuned_on)
    saved = load_network(out.network)
    model = METHODS[method].build(saved.backbone, 10, n_voxels, settings).model
    missing, unexpected = model.load_state_dict(load_network(out.network).head, strict=False)
    assert not unexpected and all(key.startswith("backbone.") for key in missing)
    model.eval()
    responses = torch.from_numpy(unit.responses[85:])
    if method.startswith("pooled"):
        responses = Tagged(units["subj01"].parts, responses)
    with torch.no_grad():
        images = normalise(torch.from_numpy(unit.images.cache[85:]), model)
        image_z, response_z = model(images, responses)
    np.testing.assert_allclose(found.image_z, image_z, atol=1e-4)
    np.testing.assert_allclose(found.response_z, response_z, atol=1e-4)


def test_regression_has_no_embedding(tmp_path, units, backbone, runtime):
    _, out = tuned(tmp_path, "regression", units["subj01"], REGRESSION, backbone, runtime)
    with pytest.raises(InputError, match="nobody"):
        read_embedding(out.embeddings, "subj01")


# ---- registry


def test_methods_are_in_one_order_with_what_is_needed_of_each():
    assert list(METHODS)[:5] == [
        "untuned", "regression", "regression_plus", "contrastive", "contrastive_plus",
    ]  # fmt: skip
    assert [name for name, each in METHODS.items() if each.pools] == [
        "pooled_mean", "pooled_max", "joint_pooled", "pooled_loso",
    ]  # fmt: skip
    assert {name: each.joins for name, each in METHODS.items() if each.joins} == {
        "untuned": ("hemisphere", "roi"),
        "joint": ("hemisphere", "roi"),
        "joint_hemisphere": ("roi",),
        "joint_pooled": ("hemisphere", "roi"),
    }
    assert [name for name, each in METHODS.items() if not each.embeds] == [
        "untuned", "regression", "regression_plus",
    ]  # fmt: skip
    assert len({each.colour for each in METHODS.values()}) == len(METHODS)
    assert all(each.about.endswith(".") for each in METHODS.values())


@pytest.mark.parametrize(
    ("name", "section", "words"),
    [("contrastive", "other", "two tuning methods"), ("other", "contrastive", "two recipes")],
)
def test_a_method_that_takes_anothers_place_is_refused(name, section, words):
    new = Method(name, "Another.", 1, "#000000", name, Regression, section)
    with pytest.raises(ValueError, match=words):
        register(new)


def test_what_tunes_nothing_is_not_tuned(tmp_path, units, backbone, runtime):
    with pytest.raises(ValueError, match="untuned tunes nothing"):
        tuned(tmp_path, "untuned", units["subj01"], PUBLISHED, backbone, runtime)


def test_figures_leave_no_method_out():
    assert ordered_methods(["pooled_max", "untuned", "pooled_max"]) == ["untuned", "pooled_max"]
    with pytest.raises(InputError, match="'contrastve'.*expected some of untuned, regression"):
        ordered_methods(["untuned", "contrastve"])
