"""What the process that plans a run does beside planning: it is the one that looks.

It takes the fingerprints of raw files, writes down what it saw for the processes of jobs,
holds the results for itself, and puts a run that is whole already in place as the latest.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from cortune.address import Address
from cortune.artifacts import read_json, write_json
from cortune.config import Config
from cortune.errors import CortuneError
from cortune.lock import hold
from cortune.project import Project
from cortune.stages import STAGES
from cortune.starter import launch
from cortune.versions import canonical_json

FEW = 5
"""For fewer jobs it does not pay to launch a process that starts them."""


class Planning:
    """The project of a workflow, in the process that plans it or in that of a job.

    Parameters
    ----------
    config : Config
    workflow : object
        Snakemake's.
    results : str
    """

    def __init__(self, config: Config, workflow: Any, results: str = "results") -> None:
        self._workflow = workflow
        # Of the millions of objects of a large plan nearly all stay: to look through them less
        # often saves a seventh of its time.
        gc.set_threshold(50_000, 20, 100)
        if self._plans and sum(a.startswith("--configfile") for a in sys.argv) > 1:
            raise CortuneError(
                "--configfile: found it more than once, expected it once: Snakemake reads the last "
                "alone. Name all files after one: --configfile a.yaml b.yaml"
            )
        digest = hashlib.sha256(canonical_json(config.as_dict()).encode()).hexdigest()
        self.plan = Path(results, ".plans", f"{digest[:16]}.json")
        self._wanted: list[str] = []
        self.project = Project(config, results, None if self._plans else self._seen())

    @property
    def _plans(self) -> bool:
        """Whether this process plans; Snakemake starts others for jobs, on a cluster above all."""
        return bool(self._workflow.is_main_process)

    @property
    def _executes(self) -> bool:
        """Whether it goes on to run jobs: no dry run, no other use of the workflow."""
        workflow = self._workflow
        return (
            self._plans
            and workflow.executor_plugin is not None
            and not workflow.dryrun
            and not workflow.touch
        )

    @property
    def _runs_jobs_here(self) -> bool:
        """Whether jobs run on this machine, not on a cluster's."""
        return self._executes and bool(self._workflow.executor_plugin.common_settings.local_exec)

    def _seen(self) -> dict[str, Any] | None:
        """Return what the process that plans saw of the raw data."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            return dict(read_json(self.plan)["seen"])
        return None

    def left_by_a_kill(self, path: str) -> bool:
        """Return whether a job that made a file was not seen to end.

        Snakemake makes it again, and would take those that read it, if it is there and its
        time does not count (``ancient``), for finished without looking for what they make:
        the run would end well with nothing made of it.
        """
        incomplete = getattr(self._workflow.persistence, "_filter_incomplete_keys", None)
        return incomplete is not None and bool(incomplete([path]))

    def everything(self) -> list[str]:
        """Return what a complete run leaves; one that is whole already becomes the latest."""
        project = self.project
        manifest, page = (
            project.path("publish_results", name, Address()) for name in ("manifest", "page")
        )
        wanted = self._wanted = [manifest, page, *project.shown]
        if self._plans:
            project.fingerprints.save()
        if self._executes:
            hold(project.results)
            if all(Path(path).is_file() for path in wanted):
                from cortune.report.publish import place_latest

                if place_latest(project.results, manifest, page, project.shown):
                    latest = Path(project.results, "latest")
                    print(f"{latest} now shows this configuration", file=sys.stderr)
        return wanted

    def start(self) -> None:
        """Hold the results, and write the plan that processes of jobs read.

        Raises
        ------
        ResourceError
            If another run holds them.
        """
        project = self.project
        if not self._plans:
            return
        hold(project.results)
        versions = {
            f"{name} {address.path(STAGES[name].entities)}".strip(): project.version(name, address)
            for name, addresses in project.jobs.items()
            for address in addresses
        }
        # Where there is no room for it, processes of jobs look for themselves.
        with contextlib.suppress(CortuneError):
            write_json(self.plan, {"seen": project.seen, "versions": versions})
        if self._runs_jobs_here and len(list(self._workflow.dag.needrun_jobs())) >= FEW:
            launch()

    def finish(self) -> None:
        """Say where the report is, or refuse to end well if what was asked for is not whole.

        Forced jobs and those that a kill left are planned by rules of Snakemake's own, which
        may pass over what should be made of them.

        Raises
        ------
        CortuneError
            Naming the first file that is missing.
        """
        settings = self._workflow.dag_settings
        parts = settings.until or settings.omit_from or settings.batch
        if not self._executes or not self._wanted or parts:
            return
        stored = self._workflow.storage_settings.default_storage_provider
        # Files are in the storage where there is one: Snakemake has looked for them.
        missing = [] if stored else [path for path in self._wanted if not Path(path).is_file()]
        if missing:
            raise CortuneError(
                f"{missing[0]}: found no file after a run that Snakemake took for complete "
                f"({len(missing)} such files), expected all of them. Run the same command again."
            )
        report = Path(self.project.results, "latest", "report.html")
        if report.is_file():
            print(f"Report: {report} (cortune summary prints the headline)", file=sys.stderr)


def timeless(folder: str | Path) -> None:
    """Give the workflow's scripts the earliest of times.

    Under its trigger `code` Snakemake runs every job again whose script is newer than what
    it made, as scripts are after a ``git pull`` or a copy; what they do is in the versions.
    """
    for script in Path(folder).glob("workflow/scripts/*.py"):
        with contextlib.suppress(OSError):
            if script.lstat().st_mtime > 1:
                os.utime(script, (1, 1), follow_symlinks=False)
