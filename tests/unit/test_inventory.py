"""What `cortune versions` says of versions that no configuration uses."""

from __future__ import annotations

import copy

import pytest
import yaml

from cortune.artifacts import write_json
from cortune.config import Config
from cortune.inventory import stored_versions
from cortune.versions import Provenance, Versions


@pytest.fixture
def demo(repository):
    return yaml.safe_load((repository / "config" / "config.yaml").read_text())


def provenance_of(versions, stage, dataset):
    return Provenance(
        stage,
        versions.of(stage, dataset),
        seed=0,
        config=versions.reads(stage, dataset),
        inputs=versions.inputs(stage, dataset),
    )


@pytest.mark.parametrize(
    ("stage", "file", "inside"),
    [
        ("simulate_dataset", "algonauts2023-subj01.json", None),
        ("pretrain_backbone", "accuracy.json", "provenance"),
    ],
)
def test_a_record_that_stands_alone_tells_what_changed(tmp_path, demo, stage, file, inside):
    """Neither is beside a file of its name: one is the provenance, the other holds it."""
    old = Versions(Config.from_mapping(demo).as_dict())
    provenance = provenance_of(old, stage, "nsd").as_dict()
    folder = tmp_path / stage / old.of(stage, "nsd")
    write_json(folder / file, {inside: provenance} if inside else provenance)
    (folder / "other.json").write_text("[1]")

    (stored,) = stored_versions(tmp_path, [old])
    assert stored.current and stored.difference == ""
    changed = copy.deepcopy(demo)
    changed["seed"] = 1
    (stored,) = stored_versions(tmp_path, [Versions(Config.from_mapping(changed).as_dict())])
    assert not stored.current and stored.difference == "seed: 0, now 1"


def test_a_version_without_a_record_is_said_to_be_one(tmp_path, demo):
    (tmp_path / "simulate_dataset" / "2-0a1b2c3d").mkdir(parents=True)
    (stored,) = stored_versions(tmp_path, [Versions(Config.from_mapping(demo).as_dict())])
    assert stored.difference == "no provenance found"
