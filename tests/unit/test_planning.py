"""The process that plans, those of jobs, and when a run is put in place as the latest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake import CLUSTER, CONFIG, workflow

from cortune import planning
from cortune.config import Config
from cortune.errors import CortuneError
from cortune.planning import Planning, timeless
from cortune.stages import STAGES

CONFIGURED = Config.from_mapping(CONFIG)


@pytest.fixture(autouse=True)
def held(monkeypatch):
    """Folders that were held, instead of holding them until this process ends."""
    folders = []
    monkeypatch.setattr(planning, "hold", folders.append)
    return folders


def test_a_dry_run_writes_nothing_and_holds_nothing(tmp_path, held):
    for options in ({"dryrun": True}, {"touch": True}, {"executor": None}):
        plan = Planning(CONFIGURED, workflow(**options), str(tmp_path / "results"))
        wanted = plan.everything()
        assert wanted[:2] == [
            plan.project.path("publish_results", name) for name in ("manifest", "page")
        ]
        assert wanted[2:] == plan.project.shown
    assert list(tmp_path.iterdir()) == [] and held == []


def test_jobs_see_what_the_process_that_planned_saw(tmp_path, held):
    results = str(tmp_path / "results")
    main = Planning(CONFIGURED, workflow(), results)
    main.everything()
    main.start()
    assert set(held) == {results}
    plan = json.loads(main.plan.read_text())
    versions = {
        (name, version)
        for name, addresses in main.project.jobs.items()
        for version in (main.project.version(name, address) for address in addresses)
    }
    assert {(key.split()[0], version) for key, version in plan["versions"].items()} == versions
    assert set(plan["seen"]) and {key.split()[0] for key in plan["versions"]} <= set(STAGES)
    job = Planning(CONFIGURED, workflow(main=False), results)
    assert job.plan == main.plan and job.project.seen == main.project.seen
    assert job.everything() == main.everything()


def test_many_jobs_on_this_machine_start_from_one_process(tmp_path, monkeypatch):
    launched = []
    monkeypatch.setattr(planning, "launch", lambda: launched.append(options))
    options = {}
    for options in (
        {"jobs": 40},
        {"jobs": 2},
        {"jobs": 40, "executor": CLUSTER},
        {"jobs": 40, "main": False},
    ):
        Planning(CONFIGURED, workflow(**options), str(tmp_path / "results")).start()
    assert launched == [{"jobs": 40}]


def test_a_job_whose_plan_is_gone_looks_itself(tmp_path):
    job = Planning(CONFIGURED, workflow(main=False), str(tmp_path / "results"))
    assert job.project.seen == {}
    assert job.everything() == Planning(CONFIGURED, workflow(), job.project.results).everything()
    job.start()
    assert not job.plan.exists(), "only the process that plans writes a plan"


def test_two_configurations_have_two_plans(tmp_path):
    other = Config.from_mapping({**CONFIG, "seed": 1})
    one, two = (Planning(each, workflow(), str(tmp_path)) for each in (CONFIGURED, other))
    assert one.plan != two.plan


def test_a_run_that_is_whole_is_put_in_place_without_a_job(tmp_path, monkeypatch):
    placed = []
    monkeypatch.setattr("cortune.report.publish.place_latest", lambda *args: placed.append(args))
    plan = Planning(CONFIGURED, workflow(), str(tmp_path / "results"))
    wanted = plan.everything()
    assert placed == [], "nothing is there"
    for path in map(Path, wanted):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path(wanted[-1]).unlink()
    plan.everything()
    assert placed == [], "a figure is missing"
    Path(wanted[-1]).touch()
    plan.everything()
    assert placed == [(plan.project.results, *wanted[:2], wanted[2:])]
    Planning(CONFIGURED, workflow(dryrun=True), plan.project.results).everything()
    assert len(placed) == 1, "a dry run changes nothing"


def test_it_is_said_where_another_run_took_the_place_of_the_latest(tmp_path, capsys):
    plan = Planning(CONFIGURED, workflow(), str(tmp_path / "results"))
    for path in map(Path, plan.everything()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    capsys.readouterr()
    Planning(CONFIGURED, workflow(dryrun=True), plan.project.results).everything()
    assert capsys.readouterr().err == ""
    plan.everything()
    said = f"{tmp_path / 'results' / 'latest'} now shows this configuration\n"
    assert capsys.readouterr().err == said
    plan.everything()
    assert capsys.readouterr().err == "", "it is there already"


def test_a_run_that_ended_well_says_where_its_report_is(tmp_path, capsys):
    plan = Planning(CONFIGURED, workflow(), str(tmp_path / "results"))
    plan.finish()
    assert capsys.readouterr().err == "", "other files were asked for"
    wanted = plan.everything()
    with pytest.raises(CortuneError, match="found no file after a run"):
        plan.finish()
    for path in map(Path, wanted):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    plan.everything()
    capsys.readouterr()
    plan.finish()
    report = tmp_path / "results" / "latest" / "report.html"
    assert capsys.readouterr().err == (f"Report: {report} (cortune summary prints the headline)\n")
    dry = Planning(CONFIGURED, workflow(dryrun=True), plan.project.results)
    dry.everything()
    dry.finish()
    assert capsys.readouterr().err == ""


def test_scripts_are_never_newer_than_what_they_made(tmp_path):
    folder = tmp_path / "workflow" / "scripts"
    folder.mkdir(parents=True)
    (folder / "encode_roi.py").write_text("run(snakemake)")
    (folder / "README.md").write_text("")
    timeless(tmp_path)
    timeless(tmp_path)
    assert (folder / "encode_roi.py").stat().st_mtime == 1
    assert (folder / "README.md").stat().st_mtime > 1
    timeless(tmp_path / "nowhere")


def test_a_second_configfile_option_is_refused_rather_than_the_first_ignored(tmp_path, monkeypatch):
    argv = ["snakemake", "--configfile", "a.yaml", "--configfile", "b.yaml"]
    monkeypatch.setattr(planning.sys, "argv", argv)
    with pytest.raises(CortuneError, match=r"more than once.*--configfile a\.yaml b\.yaml"):
        Planning(CONFIGURED, workflow(), str(tmp_path))
    monkeypatch.setattr(planning.sys, "argv", argv[:3])
    Planning(CONFIGURED, workflow(), str(tmp_path))


def test_a_whole_run_of_the_demo_is_planned_without_torch(repository):
    """It takes two seconds to import, and planning is done at every command."""
    code = (
        "import sys; from cortune.config import Config; from cortune.project import Project\n"
        "project = Project(Config.from_file('config/config.yaml'))\n"
        "assert len(project.shown) > 30\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout.split()
