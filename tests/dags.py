"""The workflow's rules and jobs, planned within this process: a tenth of a dry run's time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness, RerunTrigger
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    ResourceSettings,
    StorageSettings,
)

from cortune.project import Project
from cortune.stages import STAGES

SNAKEFILE = Path(__file__).resolve().parents[1] / "Snakefile"
TRIGGERS = frozenset({RerunTrigger.MTIME, RerunTrigger.INPUT, RerunTrigger.PARAMS})


def planned(config: Path, folder: Path, triggers: Iterable[RerunTrigger] = TRIGGERS):
    """Plan what is to be done in a folder; return Snakemake's workflow, jobs included."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=2),
            config_settings=ConfigSettings(configfiles=[config]),
            storage_settings=StorageSettings(),
            snakefile=SNAKEFILE,
            workdir=folder,
        )
        dag = workflow.dag(DAGSettings(rerun_triggers=frozenset(triggers), force_incomplete=True))
        dag.execute_workflow(executor="dryrun")
        return workflow._workflow


def needed(config: Path, folder: Path, triggers: Iterable[RerunTrigger] = TRIGGERS) -> set[str]:
    """Return the first output of every job that is planned in a folder."""
    dag = planned(config, folder, triggers).dag
    jobs = [job for job in dag.jobs if dag.needrun(job) and job.rule.name != "all"]
    return {str(job.output[0]) for job in jobs}


def outputs_of(project: Project) -> set[str]:
    """Return the first output of every job of a complete run."""
    return {
        project.path(stage, next(iter(STAGES[stage].outputs)), address)
        for stage, addresses in project.jobs.items()
        for address in addresses
    }
