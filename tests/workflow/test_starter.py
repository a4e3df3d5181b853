"""Jobs that start from one process, and jobs that load what they need themselves."""

from __future__ import annotations

import csv

import pytest
from tiny import TINY

from cortune.address import Address
from cortune.config import Config
from cortune.project import Project
from cortune.starter import ADDRESS

pytestmark = pytest.mark.workflow


@pytest.mark.long
def test_jobs_compute_the_same_by_themselves(workspace, tiny, monkeypatch):
    monkeypatch.setenv(ADDRESS, "")
    address = Address("nsd", "subj01", "lh", "V1v", "contrastive", "0")
    file = Project(Config.from_mapping(TINY)).path("encode_roi", "encoding", address)
    workspace.run(workspace.write_config(TINY), file)
    assert (workspace.folder / file).read_bytes() == (tiny.folder / file).read_bytes()


def test_benchmarks_are_of_what_does_the_work(tiny):
    """Not of the process that waits for it, which holds some 30 MB."""
    found = list(tiny.folder.glob("results/benchmarks/tune_network/**/*.tsv"))
    assert found
    for path in found:
        with path.open() as rows:
            (row,) = csv.DictReader(rows, delimiter="\t")
        assert float(row["max_rss"]) > 300
