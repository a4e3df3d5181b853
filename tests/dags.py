"""The workflow's rules and jobs, planned within this process: a tenth of a dry run's time."""

from __future__ import annotations

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

SNAKEFILE = Path(__file__).resolve().parents[1] / "Snakefile"
TRIGGERS = frozenset({RerunTrigger.MTIME, RerunTrigger.INPUT, RerunTrigger.PARAMS})


def planned(config: Path, folder: Path):
    """Plan what is to be done in a folder; return Snakemake's workflow, jobs included."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=2),
            config_settings=ConfigSettings(configfiles=[config]),
            storage_settings=StorageSettings(),
            snakefile=SNAKEFILE,
            workdir=folder,
        )
        dag = workflow.dag(DAGSettings(rerun_triggers=TRIGGERS))
        dag.execute_workflow(executor="dryrun")
        return workflow._workflow
