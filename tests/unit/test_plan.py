from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from example import EXAMPLE
from torchvision.models import alexnet

from cortune.cli import main
from cortune.config import Config
from cortune.plan import Rates, Shape, describe, estimate, shape_of
from cortune.project import Project
from cortune.stages import STAGES

SHAPE = Shape(gflop=0.5, widths={"classifier.5": 64}, n_bytes=1000, tuned_bytes=1000)


def plan(change=None):
    content = copy.deepcopy(EXAMPLE)
    if change:
        change(content)
    config = Config.from_mapping(content)
    widths = dict.fromkeys((*config.backbone.layers, "features.12"), 100)
    shape = replace(SHAPE, widths=widths, layers=config.backbone.layers)
    return {each.stage: each for each in estimate(Project(config), shape)}


def test_the_shape_of_alexnet_is_that_of_a_real_forward_pass():
    config = Config.from_mapping(
        {**EXAMPLE, "backbone": {"name": "alexnet", "weights": "random", "input_size": 224}}
    )
    shape = shape_of(config)
    model = alexnet()
    assert shape.n_bytes == sum(p.numel() * 4 for p in model.parameters())
    assert shape.widths["features.2"] == model.features[:3](torch.zeros(1, 3, 224, 224)).numel()
    # Krizhevsky's network has 714 million multiply-adds in torchvision's version.
    assert shape.gflop == pytest.approx(2 * 0.714, rel=0.01)


def test_every_stage_with_jobs_has_a_time_and_networks_are_faster_on_a_gpu():
    stages = plan()
    rates = Rates()
    assert all(each.hours(rates) > 0 and each.jobs > 0 for each in stages.values())
    networks = [stage for stage in stages if STAGES[stage].gpu]
    assert len(networks) == 9
    for stage in networks:
        assert stages[stage].hours(rates, gpu=True) < stages[stage].hours(rates)
    assert stages["encode_roi"].hours(rates, gpu=True) == stages["encode_roi"].hours(rates)


def test_work_is_counted_job_by_job():
    for stage, each in plan().items():
        assert len(each.work) == each.jobs, stage


def test_work_grows_as_the_configuration_says():
    def more_epochs(content):
        content["contrastive"] = {"epochs": 2 * Config.from_mapping(EXAMPLE).contrastive.epochs}

    def more_images(content):
        content["datasets"]["nsd"]["simulate"] |= {"n_images": 400, "n_shared": 100}

    def network(stages, stage="tune_pooled"):
        return sum(work.network for work in stages[stage].work)

    before = plan()
    assert network(plan(more_epochs)) == pytest.approx(2 * network(before))
    doubled = plan(more_images)
    assert network(doubled, "tune_network") == pytest.approx(2 * network(before, "tune_network"))
    assert doubled["prepare_images"].disk > before["prepare_images"].disk
    assert network(doubled, "probe_network") == network(before, "probe_network")


def test_scratch_space_is_planned_for_and_bounded_by_its_key():
    def wide(**space):
        config = Config.from_mapping({**copy.deepcopy(EXAMPLE), "features": space})
        widths = dict.fromkeys((*config.backbone.layers, "features.12"), 100_000)
        shape = replace(SHAPE, widths=widths, layers=config.backbone.layers)
        return estimate(Project(config), shape)

    def work(stages):
        return next(each.work[0] for each in stages if each.stage == "extract_features")

    once = wide(memory_gb=1e-6, scratch_gb=100)
    n_bytes = 4 * 100_000 * len(Config.from_mapping(EXAMPLE).backbone.layers)
    assert work(once).passes == 1 and work(once).scratch % n_bytes == 0
    most = max(work.scratch for each in once for work in each.work)
    assert f"{most / 1e6:.3g} MB of features in a scratch file" in describe(once, Rates())
    bounded = wide(memory_gb=1e-6, scratch_gb=work(once).scratch / 2.5 / 1e9)
    assert work(bounded).passes == 3 and work(bounded).scratch <= work(once).scratch / 2.5
    assert work(bounded).network == pytest.approx(3 * work(once).network)
    in_memory = wide(memory_gb=100)
    assert work(in_memory).scratch == 0 and "scratch" not in describe(in_memory, Rates())


def test_the_text_says_all_and_what_it_rests_on():
    stages = list(plan().values())
    text = describe(stages, Rates(gpu_gflops=1234.0))
    total = next(line for line in text.splitlines() if line.startswith("all"))
    assert int(total.split()[1]) == sum(each.jobs for each in stages)
    assert "1234 on a GPU (assumed" in text


@pytest.mark.parametrize("rate", ["0", "nan", "inf", "-3", "fast"])
def test_a_rate_that_is_none_is_refused(capsys, rate):
    with pytest.raises(SystemExit):
        main(["plan", f"--gpu-gflops={rate}"])
    assert f"found '{rate}', expected a positive number" in capsys.readouterr().err
