"""What `cortune plan` says beforehand, against what Snakemake plans and a run leaves."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from tiny import TINY

from cortune.config import Config
from cortune.plan import estimate, shape_of
from cortune.project import Project

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def stages(tiny):
    config = Config.from_mapping(TINY)
    return estimate(Project(config, str(tiny.folder / "results")), shape_of(config))


def test_the_jobs_are_those_of_a_dry_run(stages, workspace):
    planned = Counter()
    for rule, number in workspace.planned(workspace.write_config(TINY)).items():
        planned["simulate_dataset" if rule.startswith("simulate") else rule] += number
    assert {each.stage: each.jobs for each in stages} == planned


def test_after_a_run_all_jobs_are_done(stages, tiny):
    assert all(each.done == each.jobs for each in stages)
    said = tiny.cortune("plan", "--configfile", "config.yaml").stdout
    assert f"{sum(each.jobs for each in stages)}" in said


def test_large_files_take_about_the_space_that_was_said(stages, tiny):
    config = Config.from_mapping(TINY)
    project, shape = Project(config, str(tiny.folder / "results")), shape_of(config)
    for each in stages:
        folder = tiny.folder / "results" / each.stage
        found = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        # Every file has a header and provenance, which alone count where arrays are small;
        # pictures and pages are not counted.
        if found > 100_000 * each.jobs and not each.stage.startswith(("plot", "publish")):
            if each.stage == "export_encoder":  # the plan is of the widest layer; which is chosen?
                narrowest = min(shape.layers, key=shape.widths.__getitem__)
                (least,) = (
                    one.disk
                    for one in estimate(project, replace(shape, layers=[narrowest]))
                    if one.stage == each.stage
                )
                assert 0.6 * least < found < 1.1 * each.disk
                continue
            assert each.disk == pytest.approx(found, rel=0.4), each.stage
