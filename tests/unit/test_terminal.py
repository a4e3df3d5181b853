"""One line a job on the terminal, by the logger plugin that the profiles name."""

import logging
from types import SimpleNamespace

import pytest
import yaml
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_cortune import LogHandler, _duration


def said(capsys, *events, dryrun=False):
    """Return the lines of what Snakemake logs."""
    settings = SimpleNamespace(
        dryrun=dryrun, stdout=False, nocolor=True, quiet=set(), show_failed_logs=False
    )
    handler = LogHandler(settings, None)
    for event, message, extra in events:
        record = logging.LogRecord("snakemake", logging.INFO, "", 0, message, (), None)
        record.__dict__ |= {"event": event, **extra}
        handler.handle(record)
    return capsys.readouterr().err.splitlines()


def job(message, rule="tune_network"):
    return (
        LogEvent.JOB_INFO,
        None,
        {"rule_msg": message, "rule_name": rule, "jobid": 1, "reason": "Missing output files: x"},
    )


def progress(done, total):
    return LogEvent.PROGRESS, None, {"done": done, "total": total}


STATS = (LogEvent.RUN_INFO, "Job stats:", {"stats": {"total": 4}})


def test_a_job_is_one_line_with_what_is_done_and_left(capsys):
    lines = said(
        capsys,
        STATS,
        (None, "Select jobs to execute...", {}),
        (LogEvent.JOB_STARTED, "Execute 1 jobs...", {"jobs": [1]}),
        job("Tuning subj01"),
        (LogEvent.JOB_FINISHED, "Finished jobid: 1 (Rule: tune_network)", {"job_id": 1}),
        progress(1, 4),
        job("Encoding subj01"),
        job("", rule="all"),
        progress(4, 4),
    )
    assert lines[0] == "Job stats:"
    assert [line[8:].split() for line in lines[1:]] == [
        ["0%", "Tuning", "subj01"],
        ["25%", "0", "s", "left", "Encoding", "subj01"],
        ["100%", "All", "4", "jobs", "are", "done"],
    ]


def test_warnings_and_errors_are_shown_whole(capsys):
    error = {
        "rule_name": "tune_network", "msg": None, "rule_msg": None, "jobid": 1, "input": [],
        "output": ["network.safetensors"], "log": [], "conda_env": None, "shellcmd": None,
        "aux": {},
    }  # fmt: skip
    lines = said(capsys, (LogEvent.JOB_ERROR, None, error), (None, "No disk space left", {}))
    assert "Error in rule tune_network:" in lines
    assert lines[-1] == "No disk space left"


def test_after_an_interrupt_the_errors_of_stopped_jobs_are_not_shown(capsys):
    failed = "RuleException:\nCalledProcessError in file simulate.smk, line 22"
    lines = said(
        capsys,
        (LogEvent.ERROR, "an error before", {"levelno": logging.ERROR}),
        (None, "Terminating processes on user request, this might take some time.", {}),
        (LogEvent.ERROR, failed, {"levelno": logging.ERROR}),
        (None, "Elapsed time: 0:00:01", {}),
    )
    assert lines == [
        "an error before",
        "Stopping. The same command goes on from here.",
        "Elapsed time: 0:00:01",
    ]


def test_a_dry_run_gives_reasons(capsys):
    lines = said(capsys, job("Tuning subj01"), dryrun=True)
    assert "Reason: Missing output files: x" in lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12, "12 s"), (100, "2 min"), (4000, "1 h 07 min"), (90_000, "25 h 00 min")],
)
def test_durations(seconds, text):
    assert _duration(seconds) == text


@pytest.mark.parametrize("name", ["default", "slurm"])
def test_both_profiles_use_it(repository, name):
    (path,) = (repository / "profiles" / name).glob("*.yaml")
    assert yaml.safe_load(path.read_text())["logger"] == ["cortune"]
