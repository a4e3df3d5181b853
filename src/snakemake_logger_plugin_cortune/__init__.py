"""Snakemake's terminal output with one line a job: what it does, what share is done, what is left.

`--logger cortune`, or `logger: cortune` in a profile. Reasons, job numbers and all else that
Snakemake says stay in its log under ``.snakemake/log``, errors of jobs that Ctrl-C ended among it;
a dry run is shown as ever.
"""

from __future__ import annotations

import sys
import time
from copy import copy
from logging import ERROR, LogRecord
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFormatter, get_event
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# Said of every step of the scheduler, and of no use to who waits.
_SMALL_TALK = ("Select jobs to execute", "Using shell:", "Assuming unrestricted")
_INTERRUPTED = "Terminating processes on user request"
_GOES_ON = "Stopping. The same command goes on from here."
_UNSEEN = (
    LogEvent.WORKFLOW_STARTED,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.RESOURCES_INFO,
)


class Lines(DefaultFormatter):  # type: ignore[misc]
    """Format a job as one line when it starts."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._began = time.monotonic()
        self._done, self._total = 0, 0

    def format_run_info(self, msg: dict[str, Any]) -> str:
        """Show the table of jobs; what is left is counted from here."""
        self._began, self._total = time.monotonic(), msg["stats"]["total"]
        return str(msg["msg"])

    def format_progress(self, msg: dict[str, Any]) -> str:
        """Take notice; the next job's line says it, and the end is said as such."""
        self._done, self._total = msg["done"], msg["total"]
        if self._done < self._total:
            return ""
        return f"{self.head()}  All {self._total} jobs are done"

    def format_job_info(self, msg: dict[str, Any]) -> str:
        """Say when, what share is done, about how long it will still take, and what begins."""
        name = msg["rule_msg"] or (None if msg["rule_name"] == "all" else msg["rule_name"])
        return "" if name is None else f"{self.head()}  {name}"

    def head(self) -> str:
        """Return the time, the share of jobs that are done, and about how long is left."""
        share = f"{self._done / self._total:4.0%}" if self._total else "    "
        left = ""
        if 0 < self._done < self._total:
            seconds = (time.monotonic() - self._began) / self._done * (self._total - self._done)
            left = f"{_duration(seconds)} left"
        return f"{time.strftime('%H:%M:%S')} {share} {left:>12}"


class LogHandler(LogHandlerBase, ColorizingTextHandler):  # type: ignore[misc]
    """The handler that Snakemake looks for."""

    writes_to_stream, writes_to_file = True, False
    has_filter, has_formatter, needs_rulegraph = False, True, False

    def __post_init__(self) -> None:
        """Write to where Snakemake would."""
        common = self.common_settings
        formatter = DefaultFormatter if common.dryrun else Lines
        stream = sys.stdout if common.stdout else sys.stderr
        lines = formatter(common.quiet, common.show_failed_logs)
        self._stopping = False
        ColorizingTextHandler.__init__(self, common.nocolor, stream, lines)

    def emit(self, record: LogRecord) -> None:
        """Pass on what is for the reader."""
        if not self.common_settings.dryrun:
            if get_event(record) in _UNSEEN or str(record.msg).startswith(_SMALL_TALK):
                return
            if str(record.msg).startswith(_INTERRUPTED):
                self._stopping, record = True, copy(record)
                record.msg = _GOES_ON
            elif self._stopping and record.levelno >= ERROR:
                return  # that jobs which were told to stop did not end well
            # Snakemake's handler would put an empty line before each job.
            self.last_msg_was_job_info = True
        ColorizingTextHandler.emit(self, record)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes else f"{round(seconds)} s"
