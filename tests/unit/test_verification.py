"""`cortune verify`: every byte of results, and of the raw files that they were made of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from algonauts_tree import write_tree
from fake import snakemake_of

from cortune import fingerprints
from cortune.address import Address
from cortune.config import Config
from cortune.jobs import Job
from cortune.project import Project
from cortune.verification import damaged

RESPONSES = Address("nsd", "subj01", "lh")


def flipped_in_the_middle(path):
    """Change a byte, and keep the times."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data set whose files count as large files, of which blocks are read."""
    monkeypatch.setattr(fingerprints, "WHOLE", 100)
    monkeypatch.setattr(fingerprints, "BLOCKS", 2)
    monkeypatch.setattr(fingerprints, "BLOCK", 10)
    return write_tree(tmp_path / "data").root


def project_of(root):
    dataset = {
        "layout": "algonauts2023",
        "root": str(root),
        "subjects": ["subj01"],
        "rois": ["V1v"],
    }
    mapping = {
        "datasets": {"nsd": dataset},
        "backbone": {"weights": "random"},
        "tuning": {"methods": ["untuned", "contrastive"], "min_voxels": 1},
    }
    return Project(Config.from_mapping(mapping), str(root.parent / "results"))


@pytest.fixture
def made(root):
    """The responses of a hemisphere, made and sealed by their job."""
    job = Job(snakemake_of(project_of(root), "prepare_responses", RESPONSES))
    job.stage.run(job)
    job.check()
    job.seal()
    return job.output


def test_what_is_as_it_was_written_is_no_problem(root, made):
    assert list(damaged(project_of(root))) == list(damaged(project_of(root), raw=True)) == []


def test_a_flipped_byte_of_an_artifact_is_found(root, made):
    flipped_in_the_middle(Path(made.responses))
    (problem,) = damaged(project_of(root))
    assert problem.startswith(f"{made.responses}: found SHA-256") and "Remove" in problem


def test_a_flipped_byte_inside_a_large_raw_file_is_found_where_raw_files_are_hashed(root, made):
    (raw,) = root.rglob("lh_training_fmri.npy")
    flipped_in_the_middle(raw)
    known = project_of(root)
    assert known.path("prepare_responses", "responses", RESPONSES) == made.responses, (
        "fingerprints miss it"
    )
    assert list(damaged(known)) == []
    (problem,) = damaged(known, raw=True)
    assert problem.startswith(f"{raw}: found SHA-256") and made.responses in problem


def test_what_was_not_made_is_passed_over(root):
    assert list(damaged(project_of(root), raw=True)) == []
