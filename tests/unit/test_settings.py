"""A job can read what its stage declares, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from example import EXAMPLE, changed, project

from cortune.address import Address
from cortune.config import Config
from cortune.settings import (
    Settings,
    UndeclaredKey,
    keys_of,
    look_up,
    settings_of,
    values_of,
)
from cortune.stages import RUNTIME, STAGES

CONFIG = Config.from_mapping(EXAMPLE)
PLAIN = CONFIG.as_dict()
BY_NAME = ("datasets", "probes")


def leaves(value, prefix=""):
    """Yield the dotted keys of a configuration; a list, or an empty section, is a value."""
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def read(settings, key):
    """Read a dotted key as a job would: by name in data sets and probes, else as attributes."""
    before = ""
    for part in key.split("."):
        by_name = before in BY_NAME or isinstance(settings, Mapping)
        settings = settings[part] if by_name else getattr(settings, part)
        before = part
    return settings


JOBS = project().jobs
ADDRESSES = {name: JOBS.get(name, JOBS["prepare_responses"])[-1] for name in STAGES}
KEYS = list(leaves(PLAIN))


def test_the_example_has_every_section_and_nearly_every_stage():
    assert len(KEYS) > 100
    assert set(JOBS) == set(STAGES) - {"prepare_backbone", "prepare_whole", "relate_repeats"}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_key_is_declared_or_raises(stage):
    address = ADDRESSES[stage.name]
    settings = settings_of(CONFIG, stage, address)
    given = keys_of(CONFIG, (*stage.reads, *stage.places, *stage.checks, *RUNTIME), address)
    for key in KEYS:
        declared = "*" in given or any(key == k or key.startswith(f"{k}.") for k in given)
        if declared:
            assert read(settings, key) == read(CONFIG, key), key
        else:
            with pytest.raises(UndeclaredKey) as error:
                read(settings, key)
            assert stage.name in str(error.value) and "Add it to `reads`" in str(error.value)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_declared_key_exists(stage):
    """A misspelt one would leave a value uncovered by the version."""
    for key in keys_of(CONFIG, (*stage.reads, *stage.places), ADDRESSES[stage.name]):
        if key != "*":
            parent, _, last = key.rpartition(".")
            where = look_up(PLAIN, parent) if parent else PLAIN
            optional = parent == "datasets.nsd.simulate" or parent == "datasets.nod.simulate"
            assert optional or last in where, key


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_versions_cover_all_that_a_job_may_read_but_places_and_how_it_runs(stage):
    address = ADDRESSES[stage.name]
    values = values_of(CONFIG, PLAIN, stage, address)
    if "*" in stage.reads:
        assert set(values) == set(PLAIN)
        return
    assert set(values) == {*keys_of(CONFIG, stage.reads, address)}
    assert not set(RUNTIME) & set(values)


def test_a_section_can_be_read_as_far_as_it_is_declared():
    settings = Settings(CONFIG, ["encoding.alphas", "tuning.workers"], "encode_roi")
    assert settings.encoding.alphas == CONFIG.encoding.alphas
    assert settings.encoding.alphas.num == CONFIG.encoding.alphas.num
    assert settings.tuning.workers == 0
    for undeclared in ("folds", "protocols"):
        with pytest.raises(UndeclaredKey, match=rf"encode_roi.*encoding\.{undeclared}.*alphas"):
            getattr(settings.encoding, undeclared)
    with pytest.raises(UndeclaredKey, match="reads seed"):
        _ = settings.seed


def test_a_key_is_not_declared_by_one_that_starts_alike():
    settings = Settings(CONFIG, ["contrastive"], "x")
    assert settings.contrastive.epochs == CONFIG.contrastive.epochs
    with pytest.raises(UndeclaredKey):
        _ = settings.contrastive_plus


def test_of_other_data_sets_nothing_can_be_read():
    stage = STAGES["prepare_images"]
    settings = settings_of(CONFIG, stage, Address("nsd", "subj01"))
    assert settings.datasets["nsd"].layout == "algonauts2023"
    with pytest.raises(UndeclaredKey, match=r"datasets\.nod"):
        _ = settings.datasets["nod"].layout
    with pytest.raises(UndeclaredKey, match=r"datasets\.nsd\.rois"):
        _ = settings.datasets["nsd"].rois


@pytest.mark.parametrize(
    ("method", "section"),
    [
        ("regression", "regression"),
        ("contrastive", "contrastive"),
        ("contrastive_plus", "contrastive_plus"),
        ("pooled_mean", "contrastive"),
        ("pooled_loso", "contrastive"),
    ],
)
def test_a_network_has_its_own_recipe(method, section):
    stage = STAGES["tune_pooled" if method.startswith("pooled") else "tune_network"]
    address = Address("nsd", "subj01", "lh", "V1v", method, "0")
    assert values_of(CONFIG, PLAIN, stage, address)[section] == PLAIN[section]
    settings = settings_of(CONFIG, stage, address)
    for other in {"regression", "contrastive", "contrastive_plus"} - {section}:
        with pytest.raises(UndeclaredKey):
            getattr(settings, other)


def test_private_names_are_no_keys():
    settings = Settings(CONFIG, ["seed"], "x")
    with pytest.raises(AttributeError):
        _ = settings._nothing
    with pytest.raises(AttributeError):
        _ = settings.__wrapped__


def test_an_absent_section_is_none():
    config = Config.from_mapping(changed(EXAMPLE, saliency=None))
    settings = Settings(config, ["saliency.layer"], "x")
    assert settings.saliency is None


def test_of_places_only_whether_they_are_given_counts():
    def values(**changes):
        config = Config.from_mapping(changed(EXAMPLE, **changes))
        stage = STAGES["simulate_dataset"]
        return values_of(config, config.as_dict(), stage, Address("nsd", "subj01"))

    def simulate(**more):
        return values(
            datasets__nsd__simulate={**EXAMPLE["datasets"]["nsd"]["simulate"], "vertices": {}}
            | more
        )["datasets.nsd.simulate"]

    one, other = simulate(images="/data/photographs"), simulate(images="/elsewhere")
    assert one == other and one["images"] is True
    assert simulate()["images"] is False
    assert simulate()["n_images"] == 200
    assert values_of(CONFIG, PLAIN, STAGES["prepare_images"], Address("nsd", "subj01")).keys() >= {
        "datasets.nsd.layout",
        "backbone.input_size",
    }


def test_everything_is_everything_but_places_and_how_jobs_run():
    stage = STAGES["publish_results"]

    def everything(**changes):
        config = Config.from_mapping(changed(EXAMPLE, **changes))
        return values_of(config, config.as_dict(), stage, Address())

    base = everything()
    assert set(base) == set(PLAIN)
    real = {"layout": "nsd", "root": "/data/nsd", "subjects": ["subj01"]}
    one = everything(datasets__more=real, device="cpu", tuning__workers=3, encoding__memory_gb=0.1)
    other = everything(datasets__more={**real, "root": "/elsewhere"})
    assert one == other and one["datasets"]["more"]["root"] is True
    assert base["datasets"]["nsd"]["root"] is False
    assert everything(encoding__folds=3) != base
    # Read as declared: nothing raises.
    settings = settings_of(CONFIG, stage, Address())
    assert settings.datasets["nod"].simulate.n_images == 200
