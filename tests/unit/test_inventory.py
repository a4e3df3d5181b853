"""What `cortune versions` says of versions that lie under results."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cortune.address import Address
from cortune.artifacts import write_json
from cortune.cli import main
from cortune.config import Config
from cortune.inventory import remove, stored_versions
from cortune.project import Project
from cortune.settings import values_of
from cortune.stages import STAGES
from cortune.versions import Provenance, versions_in


@pytest.fixture
def demo(repository):
    return yaml.safe_load((repository / "config" / "config.yaml").read_text())


def project_of(mapping, folder):
    return Project(Config.from_mapping(mapping), str(folder))


def with_seed(demo, seed):
    changed = copy.deepcopy(demo)
    changed["seed"] = seed
    return changed


def provenance_of(project, stage, address):
    config = project.config
    return Provenance(
        stage,
        project.version(stage, address),
        seed=0,
        config=values_of(config, config.as_dict(), STAGES[stage], address),
        inputs=versions_in(p for paths in project.inputs(stage, address).values() for p in paths),
    )


NSD = Address("nsd", "subj01")


@pytest.mark.parametrize(
    ("stage", "address", "output", "inside"),
    [
        ("simulate_dataset", NSD, "record", None),
        ("pretrain_backbone", Address(), "accuracy", "provenance"),
    ],
)
def test_a_record_that_stands_alone_tells_what_changed(
    tmp_path, demo, stage, address, output, inside
):
    """Neither is beside a file of its name: one is the provenance, the other holds it."""
    old = project_of(demo, tmp_path)
    provenance = provenance_of(old, stage, address).as_dict()
    path = tmp_path.joinpath(old.path(stage, output, address))
    write_json(path, {inside: provenance} if inside else provenance)
    (path.parent / "other.json").write_text("[1]")

    (stored,) = stored_versions([old])
    assert stored.current and stored.stage == stage and stored.n_bytes > 100
    assert stored.about == ("ds-nsd" if address.dataset else "")
    changed = project_of(with_seed(demo, 1), tmp_path)
    (stored,) = stored_versions([changed])
    assert not stored.current and stored.about == "seed: 0, now 1"
    (stored,) = stored_versions([changed, old])
    assert stored.current, "a version that any of the configurations uses"


def test_sections_are_compared_key_by_key(tmp_path, demo):
    old = project_of(demo, tmp_path)
    path = tmp_path.joinpath(old.path("simulate_dataset", "record", NSD))
    write_json(path, provenance_of(old, "simulate_dataset", NSD).as_dict())
    changed = copy.deepcopy(demo)
    n_images = changed["datasets"]["nsd"]["simulate"]["n_images"]
    changed["datasets"]["nsd"]["simulate"]["n_images"] = n_images + 5
    (stored,) = stored_versions([project_of(changed, tmp_path)])
    assert stored.about == (f"datasets.nsd.simulate.n_images: {n_images}, now {n_images + 5}")


def test_an_input_of_another_version_is_named(tmp_path, demo):
    old = project_of(demo, tmp_path)
    path = tmp_path.joinpath(old.path("prepare_images", "images", NSD))
    path.parent.mkdir(parents=True)
    path.touch()
    write_json(f"{path}.json", provenance_of(old, "prepare_images", NSD).as_dict())
    (stored,) = stored_versions([project_of(with_seed(demo, 1), tmp_path)])
    version = old.version("simulate_dataset", NSD)
    assert stored.about == f"simulate_dataset {version} is not current"


def test_a_list_of_what_is_unused_begins_with_a_caution(tmp_path, demo, capsys):
    """Results of other configurations are in it, which a newcomer would not expect."""
    mine, others = tmp_path / "mine.yaml", tmp_path / "others.yaml"
    mine.write_text(yaml.safe_dump(with_seed(demo, 1)))
    others.write_text(yaml.safe_dump(demo))
    results = tmp_path / "results"
    old = project_of(demo, results)
    path = Path(old.path("simulate_dataset", "record", NSD))
    command = ["clean", "--configfile", str(mine), "--results", str(results)]
    assert main(command) == 0
    assert capsys.readouterr().out == "Nothing to delete.\n"
    write_json(path, provenance_of(old, "simulate_dataset", NSD).as_dict())
    assert main(command) == 0
    first, listed, last = capsys.readouterr().out.splitlines()
    assert first == (
        "These are used by no run of the configurations given; results of others are among them "
        "(spare them with --keep FILE)."
    )
    assert "simulate_dataset" in listed and last.endswith("Run again with --yes to delete them.")
    assert main([*command, "--keep", str(others)]) == 0
    assert capsys.readouterr().out == "Nothing to delete.\n"
    assert main([*command, "--yes"]) == 0
    assert "These are used" not in capsys.readouterr().out and not path.exists()


def test_another_algorithm_is_said(tmp_path, demo):
    known = project_of(demo, tmp_path)
    provenance = provenance_of(known, "simulate_dataset", NSD).as_dict()
    write_json(tmp_path / "simulate_dataset" / "1-0a1b2c3d" / "nsd.json", provenance)
    (stored,) = stored_versions([known])
    assert stored.about == f"made by algorithm 1, now {STAGES['simulate_dataset'].number}"


def test_a_version_without_a_record_is_said_to_be_one(tmp_path, demo):
    (tmp_path / "simulate_dataset" / "2-0a1b2c3d").mkdir(parents=True)
    (stored,) = stored_versions([project_of(demo, tmp_path)])
    assert stored.about == "no provenance found"


def test_what_is_no_version_is_passed_over_and_versions_can_be_removed(tmp_path, demo):
    for folder in ("latest/tables", "logs/encode_roi", "encode_roi/draft", "encode_roi/1-0a1b2c3d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "encode_roi" / "1-0a1b2c3d" / "encoding.h5").write_bytes(b"x" * 10)
    found = stored_versions([project_of(demo, tmp_path)])
    assert [each.version for each in found] == ["1-0a1b2c3d"]
    assert remove(found) == 10
    assert (tmp_path / "encode_roi" / "draft").is_dir() and not found[0].path.exists()


def test_a_list_can_be_cut_short():
    """As by `cortune versions | head -1`: no traceback, and the reader's end is no error."""
    script = (
        "import sys; from unittest.mock import patch; import cortune.cli as cli\n"
        "def summary(arguments):\n    print('line\\n' * 100_000)\n    return 0\n"
        "with patch.object(cli, 'summary', summary):\n    sys.exit(cli.main(['summary']))\n"
    )
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "$SCRIPT" | head -1; echo ${{PIPESTATUS[0]}}'],
        env={**os.environ, "SCRIPT": script},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["line", "0"] and done.stderr == ""
