"""The generated reference: as generated now, complete, and as the rules say."""

from __future__ import annotations

import re

import pytest

from cortune.reference import ARTIFACTS, TABLES, pages
from cortune.reference.artifacts import FIGURES
from cortune.reference.tables import MEANINGS
from cortune.versions import STAGES


@pytest.mark.parametrize("name", sorted(pages()))
def test_pages_are_those_of_the_code(repository, name):
    stored = (repository / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert stored == pages()[name], "run `python -m cortune.reference docs/reference`"


def test_every_output_of_a_rule_is_described_and_nothing_else(repository):
    outputs = set()
    for path in (repository / "workflow" / "rules").glob("*.smk"):
        found = re.findall(r'"results/(\w+)/\{version\}/([^"]+)"', path.read_text())
        outputs |= {(stage, file) for stage, file in found if stage in STAGES}
    described = {(s, artifact.path) for s, artifacts in ARTIFACTS.items() for artifact in artifacts}
    assert described == outputs
    assert set(ARTIFACTS) == set(STAGES)


def test_every_table_is_an_artifact_of_a_stage():
    files = {artifact.path for artifacts in ARTIFACTS.values() for artifact in artifacts}
    assert set(TABLES) <= files
    assert set(FIGURES) <= files


def test_no_meaning_is_idle():
    columns = {column for table in TABLES.values() for column in table.columns}
    assert set(MEANINGS) <= columns
    for name, table in TABLES.items():
        assert set(table.own) <= set(table.columns), name


def test_the_readme_lists_every_table(repository):
    text = (repository / "README.md").read_text(encoding="utf-8")
    missing = [name for name in TABLES if name not in text]
    assert not missing
