"""The generated reference: as generated now, and complete."""

from __future__ import annotations

import pytest

from cortune.reference import pages, placed
from cortune.report.columns import MEANINGS, TABLES
from cortune.stages import STAGES


@pytest.mark.parametrize("name", sorted(pages()))
def test_pages_are_those_of_the_code(repository, name):
    stored = (repository / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert stored == pages()[name], "run `python -m cortune.reference docs/reference`"


def test_every_artifact_is_described():
    page = pages()["artifacts.md"]
    for stage in STAGES.values():
        for output in stage.outputs.values():
            name = output.path if output.is_figure else placed(stage, output)
            assert f"`{name}`" in page, (stage.name, name)
            assert output.about in page and all(inside in page for inside in output.holds)
        if not all(output.is_figure for output in stage.outputs.values()):
            assert f"## {stage.name}\n" in page


def test_tables_are_those_that_stages_show():
    shown = {out.path for stage in STAGES.values() for out in stage.shown if out.is_table}
    assert set(TABLES) == shown


def test_no_meaning_is_idle():
    columns = {column for table in TABLES.values() for column in table.columns}
    assert set(MEANINGS) <= columns
    for name, table in TABLES.items():
        assert set(table.own) <= set(table.columns), name


def test_the_list_of_what_comes_out_has_every_table(repository):
    text = (repository / "docs" / "outputs.md").read_text(encoding="utf-8")
    missing = [name for name in TABLES if name not in text]
    assert not missing
