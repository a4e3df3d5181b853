from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from cortune.artifacts import read_provenance
from cortune.config import Contrastive, ContrastivePlus, Pretrain
from cortune.data.units import ImageSet, UnitData
from cortune.errors import CortuneError, InputError
from cortune.networks.backbones import Origin, build_backbone, set_origin
from cortune.networks.device import Runtime, choose_runtime
from cortune.networks.families import Preprocessing
from cortune.networks.store import load_network, save_network
from cortune.report.tuning_figures import training_curves
from cortune.tuning import stages
from cortune.tuning.batches import Batches, SubjectBatches
from cortune.tuning.loop import one_cycle, resume, save_checkpoint, train
from cortune.tuning.losses import infonce
from cortune.tuning.methods import METHODS
from cortune.tuning.pretrain import classification
from cortune.versions import Provenance

PROVENANCE = Provenance("tune_network", "1-00000000", 0)
SEEDED = "sub-subj01/hemi-lh/roi-V1v/method-contrastive"
SETTINGS = Contrastive(temperature=0.3, batch_size=16, epochs=3, learning_rate=1e-3)


@pytest.fixture(scope="module", autouse=True)
def runtime():
    return choose_runtime("cpu", "float32", threads=1)


@pytest.fixture(scope="module")
def unit():
    """Images of 32 pixels whose mean colours drive 30 voxels."""
    random = np.random.default_rng(0)
    colours = random.uniform(0, 255, (100, 1, 1, 3))
    images = np.clip(colours + random.normal(0, 20, (100, 32, 32, 3)), 0, 255).astype(np.uint8)
    responses = (colours[:, 0, 0] / 255 - 0.5) @ random.normal(size=(3, 30))
    responses += random.normal(0, 0.1, responses.shape)
    sets = np.array(["tune"] * 70 + ["validation"] * 15 + ["test"] * 15)
    identities = tuple(f"nsd:{i:05d}" for i in range(100))
    return UnitData(
        ImageSet(images, np.arange(100), identities, sets),
        responses.astype(np.float32),
        np.arange(30),
    )


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
        accuracy=folder / "accuracy.json",
        embeddings=folder / "embeddings.h5",
    )


def tune(folder, unit, backbone, runtime, settings=SETTINGS):
    out = outputs(folder)
    stages.tune_network(
        "contrastive",
        unit,
        settings,
        backbone,
        out,
        PROVENANCE,
        runtime,
        seeded=SEEDED,
        checkpoint=folder / "scratch" / "network.checkpoint",
    )
    return out


# ---- losses


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(1, 6), st.floats(0.05, 2), st.integers(0, 99))
def test_infonce_equals_its_formula(n, z, temperature, seed):
    random = np.random.default_rng(seed)
    image_z, response_z = random.normal(size=(2, n, z))
    a = image_z / np.linalg.norm(image_z, axis=1, keepdims=True)
    b = response_z / np.linalg.norm(response_z, axis=1, keepdims=True)
    s = np.exp(a @ b.T / temperature)
    expected = -np.mean(np.log(np.diag(s) / s.sum(1)))
    found = infonce(torch.tensor(image_z), torch.tensor(response_z), temperature)
    assert float(found) == pytest.approx(expected, abs=1e-4)


def test_infonce_tells_responses_apart_not_images():
    """The denominator runs over the responses of the batch, for each image (published code)."""
    image_z = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    response_z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    scores = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    expected = -(torch.log_softmax(scores, 1).diagonal().mean())
    assert float(infonce(image_z, response_z, 1.0)) == pytest.approx(float(expected))


def test_published_dimensions():
    model = METHODS["contrastive"].build(torch.nn.Identity(), 1000, 444, SETTINGS).model
    assert model.image_map.weight.shape == (355, 1000)
    assert model.response_maps["both"].weight.shape == (355, 444)
    assert model.projection.out.weight.shape == (88, 355)
    assert model.image_map.bias is None
    assert model.projection.out.bias is None


# ---- batches


def test_an_epoch_shows_every_sample_once_in_an_order_of_its_own(unit):
    batches = Batches(unit.images.cache, np.arange(50), np.arange(50), batch_size=16, seed=0)
    first, second, again = (
        torch.cat([targets for _, targets in batches.epoch(epoch)]).tolist() for epoch in (0, 1, 0)
    )
    assert sorted(first) == list(range(50))
    assert first == again != second


def test_pooled_subjects_come_by_turns_or_one_after_the_other(unit):
    subjects = {
        name: Batches(unit.images.cache, np.arange(40), np.arange(40), batch_size=8, seed=0)
        for name in ("subj01", "subj02")
    }
    orders = []
    for interleaved in (True, False):
        parts = {name: {name: 1} for name in subjects}
        batches = SubjectBatches(subjects, parts, 0, interleaved=interleaved)
        orders.append([name for _, targets in batches.epoch(0) for name in targets.parts])
    assert orders[1] == ["subj01"] * 5 + ["subj02"] * 5
    assert sorted(orders[0]) == orders[1] != orders[0]


def test_a_last_batch_of_one_is_dropped(unit):
    batches = Batches(unit.images.cache, np.arange(33), np.arange(33), batch_size=16, seed=0)
    sizes = [len(targets) for _, targets in batches.epoch(0)]
    assert sizes == [16, 16]
    assert batches.steps_per_epoch == 2
    assert sum(len(targets) for _, targets in batches.in_order()) == 33


def test_a_batch_larger_than_the_set_is_the_set(unit):
    batches = Batches(unit.images.cache, np.arange(10), np.arange(10), batch_size=1024, seed=0)
    assert [len(targets) for _, targets in batches.epoch(0)] == [10]


def test_workers_change_nothing(unit):
    shown = []
    for workers in (0, 1):
        batches = Batches(
            unit.images.cache, np.arange(40), np.arange(40), batch_size=16, seed=0, workers=workers
        )
        shown.append([(images.sum().item(), t.tolist()) for images, t in batches.epoch(0)])
    assert shown[0] == shown[1]


# ---- the loop


def test_tuning_learns_what_drives_the_voxels(tmp_path, unit, backbone, runtime):
    settings = Contrastive(temperature=0.3, batch_size=32, epochs=12, learning_rate=1e-3)
    out = tune(tmp_path, unit, backbone, runtime, settings)
    history = pd.read_csv(out.history)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] - 0.3
    assert history["validation_bound_nats"].iloc[-1] > 0.3
    assert (history["validation_bound_nats"] <= math.log(15)).all()


def test_all_weights_are_trained(tmp_path, unit, backbone, runtime):
    out = tune(tmp_path, unit, backbone, runtime)
    before, after = (load_network(p).backbone.state_dict() for p in (backbone, out.network))
    unchanged = [k for k, v in before.items() if v.is_floating_point() and torch.equal(v, after[k])]
    assert unchanged == []
    assert set(load_network(out.network).head) >= {"image_map.weight", "response_maps.both.weight"}


def test_a_network_remembers_what_it_was_tuned_on(tmp_path, unit, backbone, runtime):
    out = tune(tmp_path, unit, backbone, runtime)
    assert load_network(out.network).tuned_on == unit.images.identities[:85]
    assert read_provenance(out.network) == PROVENANCE.as_dict()


def test_test_images_do_not_touch_tuning(tmp_path, unit, backbone, runtime):
    """Spoiling the test images and their responses leaves the network as it was."""
    expected = tune(tmp_path, unit, backbone, runtime).network.read_bytes()
    images, responses = unit.images.cache.copy(), unit.responses.copy()
    images[85:], responses[85:] = 0, np.nan
    spoilt = UnitData(
        ImageSet(images, unit.images.rows, unit.images.identities, unit.images.sets),
        responses,
        unit.vertices,
    )
    assert tune(tmp_path / "spoilt", spoilt, backbone, runtime).network.read_bytes() == expected


def test_a_killed_job_resumes_and_ends_with_the_same_bytes(
    tmp_path, unit, backbone, runtime, monkeypatch
):
    expected = tune(tmp_path, unit, backbone, runtime).network.read_bytes()
    (tmp_path / "network.safetensors").unlink()

    class Killed(BaseException):
        pass

    epochs = []
    original = METHODS["contrastive"]

    def dying(*args):
        task = original.build(*args)

        def watch(validation, runtime):
            epochs.append(1)
            if len(epochs) == 3:
                raise Killed
            return task.watch(validation, runtime)

        return type(task)(task.model, task.objective, task.optimizer, task.plan, watch)

    monkeypatch.setitem(METHODS, "contrastive", replace(original, build=dying))
    with pytest.raises(Killed):
        tune(tmp_path, unit, backbone, runtime)
    assert not (tmp_path / "network.safetensors").exists()
    assert list(tmp_path.glob("scratch/*.checkpoint"))
    monkeypatch.setitem(METHODS, "contrastive", original)
    counted = []

    def counting(*args):
        task = original.build(*args)

        def objective(images, responses):
            counted.append(1)
            return task.objective(images, responses)

        return type(task)(task.model, objective, task.optimizer, task.plan, task.watch)

    monkeypatch.setitem(METHODS, "contrastive", replace(original, build=counting))
    resumed = tune(tmp_path, unit, backbone, runtime)
    assert len(counted) == 5, "one epoch of 70 images in batches of 16 was left to do"
    assert resumed.network.read_bytes() == expected
    assert not list(tmp_path.rglob("*.checkpoint"))


KILLED = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from cortune.config import Contrastive
from cortune.data.units import ImageSet, UnitData
from cortune.networks.device import choose_runtime
from cortune.tuning import stages
from cortune.versions import Provenance

out, backbone, data = sys.argv[1:]
arrays = np.load(data)
images = ImageSet(
    arrays["images"], np.arange(100), tuple(arrays["identities"].tolist()), arrays["sets"]
)
settings = Contrastive(temperature=0.3, batch_size=16, epochs=30, learning_rate=1e-3)
outputs = SimpleNamespace(
    **{name: f"{out}/{name}" for name in ("network.safetensors", "history.csv", "embeddings.h5")}
)
for path in list(vars(outputs)):
    setattr(outputs, path.split(".")[0], getattr(outputs, path))
train = stages.train

def shown(*args, **kwargs):
    print("training", flush=True)
    history = train(*args, **kwargs)
    print("trained", flush=True)
    return history

stages.train = shown
stages.tune_network(
    "contrastive",
    UnitData(images, arrays["responses"], np.arange(30)),
    settings,
    backbone,
    outputs,
    Provenance("tune_network", "1-00000000", 0),
    choose_runtime("cpu", "float32", threads=1),
    seeded="sub-subj01/hemi-lh/roi-V1v/method-contrastive",
    checkpoint=Path(out, "network.checkpoint"),
)
"""


@pytest.mark.long
def test_training_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path, unit, backbone):
    """SIGKILL at random moments of training, a real process each time."""
    np.savez(
        tmp_path / "data.npz",
        images=unit.images.cache,
        identities=np.array(unit.images.identities),
        sets=unit.images.sets,
        responses=unit.responses,
    )

    def start(folder):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", KILLED, str(folder), str(backbone)]
        return subprocess.Popen(
            [*command, str(tmp_path / "data.npz")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole = start(tmp_path / "whole")
    assert whole.stdout.readline() == "training\n"
    started = time.perf_counter()
    assert whole.stdout.readline() == "trained\n"
    seconds = time.perf_counter() - started
    assert whole.wait() == 0, whole.stderr.read()

    checkpoint = tmp_path / "killed" / "network.checkpoint"
    random, progress = np.random.default_rng(0), []
    for _ in range(2):
        process = start(tmp_path / "killed")
        assert process.stdout.readline() == "training\n"
        time.sleep(random.uniform(0.2, 0.4) * seconds)
        process.kill()
        process.communicate()
        with safe_open(checkpoint, framework="pt") as file:
            progress.append(len(json.loads(file.metadata()["history"])))
    assert 0 < progress[0] < progress[1] < 30
    assert not (tmp_path / "killed" / "network.safetensors").exists()
    last = start(tmp_path / "killed")
    _, log = last.communicate()
    assert last.returncode == 0, log
    for name in ("network.safetensors", "history.csv", "embeddings.h5"):
        expected = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "killed" / name).read_bytes() == expected, name
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    assert left == {path.name for path in (tmp_path / "whole").iterdir()}, "nothing half-written"


def test_a_checkpoint_with_one_flipped_bit_is_not_resumed_from(tmp_path, caplog):
    model = torch.nn.Linear(5, 3)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 5)).sum().backward()
    optimizer.step()
    path = tmp_path / "network.checkpoint"
    history = [{"epoch": 1, "loss": 0.5}]
    best = {key: value.clone() for key, value in model.state_dict().items()}
    save_checkpoint(path, "this", model, optimizer, history, best)

    def resumed():
        other = torch.nn.Linear(5, 3)
        return resume(path, "this", other, torch.optim.Adam(other.parameters()), {})

    assert resumed() == history
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for position in {0, len(whole) - 1, *random.integers(0, len(whole), 40).tolist()}:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        assert resumed() == [], position
    assert "training starts afresh" in caplog.text


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_broken_checkpoint_is_ignored(tmp_path, unit, backbone, runtime, content):
    expected = tune(tmp_path, unit, backbone, runtime).network.read_bytes()
    (tmp_path / "scratch").mkdir(exist_ok=True)
    (tmp_path / "scratch" / "network.checkpoint").write_bytes(content)
    assert tune(tmp_path, unit, backbone, runtime).network.read_bytes() == expected


def test_a_diverging_loss_stops_with_a_message(unit, runtime):
    model = torch.nn.Linear(3, 1)
    set_origin(model, Origin("alexnet_small", Preprocessing()))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    batches = Batches(unit.images.cache, np.arange(20), np.arange(20), batch_size=10, seed=0)
    plan = METHODS["contrastive"].build(torch.nn.Identity(), 3, 5, SETTINGS).plan

    def objective(images, targets):
        return (model(images.mean((2, 3))) * float("inf")).mean()

    with pytest.raises(CortuneError, match="finite"):
        train(model, objective, batches, optimizer, plan, runtime, seed=0, watch=dict)


def test_bfloat16_tunes_as_well(tmp_path, unit, backbone):
    half = choose_runtime("cpu", "bfloat16", threads=1)
    settings = Contrastive(temperature=0.3, batch_size=32, epochs=12, learning_rate=1e-3)
    history = pd.read_csv(tune(tmp_path, unit, backbone, half, settings).history)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] - 0.3
    saved = load_network(tmp_path / "network.safetensors").backbone
    assert {p.dtype for p in saved.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (torch.nn.Conv2d(3, 8, 5, stride=2, padding=2), (16, 3, 32, 32)),
        (torch.nn.Conv2d(8, 8, 3, groups=2, bias=False), (16, 8, 9, 9)),
        (torch.nn.Linear(300, 40), (16, 300)),
        (torch.nn.Linear(300, 40, bias=False), (16, 7, 300)),
        (lambda x: x @ x.detach().mT, (16, 20, 30)),
    ],
)
def test_bfloat16_is_that_of_a_processor_that_has_it(layer, shape):
    """Against float64, of the same factors and gradients: only the results are rounded."""
    torch.manual_seed(0)
    runtime = Runtime(torch.device("cpu"), bfloat16=True, native=False)
    weights = list(layer.parameters()) if isinstance(layer, torch.nn.Module) else []
    for factor in (x := torch.randn(shape), *weights):
        factor.data = factor.data.bfloat16().float()
        factor.requires_grad_()
    with runtime.autocast():
        y = layer(x)
    upstream = torch.randn_like(y)
    with runtime.products():
        found = [y, *torch.autograd.grad(y, [x, *weights], upstream)]
    assert y.dtype == torch.bfloat16

    exact = copy.deepcopy(layer).double() if weights else layer
    inputs = [x.detach().double().requires_grad_(), *(exact.parameters() if weights else ())]
    y = exact(inputs[0])
    for rounded, one in zip(
        found, [y, *torch.autograd.grad(y, inputs, upstream.double())], strict=True
    ):
        assert torch.allclose(
            rounded.double(), one, rtol=2**-8, atol=1e-5 * float(one.detach().abs().max())
        )
        assert (rounded != one).any()


def test_asking_for_a_missing_gpu_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(CortuneError, match="no CUDA device"):
        choose_runtime("cuda")


def test_one_cycle_rises_and_falls():
    rates = [one_cycle(p) for p in np.linspace(0, 1, 101)]
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[0] < 0.15 and rates[-1] < 0.01
    assert int(np.argmax(rates)) in range(19, 22)


def test_classification_learns(unit, runtime):
    labels = (unit.images.cache.mean((1, 2))[:, 0] > 127).astype(np.int64)
    model = build_backbone("alexnet_small", num_classes=2)
    task = classification(
        model, Pretrain(n_images=100, n_classes=2, epochs=6, batch_size=16, learning_rate=2e-3)
    )
    batches = Batches(unit.images.cache, np.arange(70), labels[:70], batch_size=16, seed=0)
    held_out = Batches(unit.images.cache, np.arange(70, 100), labels[70:], batch_size=16, seed=0)
    history = train(
        task.model,
        task.objective,
        batches,
        task.optimizer,
        task.plan,
        runtime,
        seed=0,
        watch=lambda: task.watch(held_out, runtime),
    )
    assert history[-1]["validation_accuracy"] > 0.8


# ---- without validation images


@pytest.fixture(scope="module")
def published_split(unit):
    """85 images to tune on, and none to watch, as the paper's code has it."""
    sets = np.where(unit.images.sets == "test", "test", "tune")
    return replace(unit, images=replace(unit.images, sets=sets))


def test_the_published_methods_tune_on_all_images(tmp_path, published_split, backbone, runtime):
    out = tune(tmp_path, published_split, backbone, runtime)
    history = pd.read_csv(out.history)
    assert list(history) == ["epoch", "loss"]
    assert len(load_network(out.network).tuned_on) == 85
    figure = training_curves(
        history.assign(network="a", hemisphere="lh", roi="V1v", method="contrastive")
    )
    assert len(figure.axes) == 1


def test_a_method_that_selects_keeps_images_of_its_own(published_split):
    kept = published_split.holding_back(0.2, 0)
    assert 5 <= (kept.images.sets == "validation").sum() <= 30
    assert ((kept.images.sets == "test") == (published_split.images.sets == "test")).all()
    images = published_split.images
    fewer = replace(published_split, images=images.where(np.arange(len(images)) < 50))
    again = fewer.holding_back(0.2, 0).images.sets
    assert again.tolist() == kept.images.sets[:50].tolist(), "which do not depend on the others"


def test_a_split_with_validation_images_is_left_as_it_is(unit):
    assert unit.holding_back(0.2, 0) is unit


def test_the_best_epoch_is_refused_where_nothing_can_tell_it(
    tmp_path, published_split, backbone, runtime
):
    recipe = ContrastivePlus(batch_size=16, epochs=2, keep_best=True, validation=0.0)
    args = (published_split, recipe, backbone, outputs(tmp_path), PROVENANCE, runtime)
    with pytest.raises(InputError, match=r"contrastive_plus\.keep_best: found true without"):
        stages.tune_network("contrastive_plus", *args, seeded=SEEDED)
