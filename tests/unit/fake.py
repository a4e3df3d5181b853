"""What Snakemake puts into a script, and its workflow, where no run of Snakemake is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from cortune.address import Address
from cortune.config import Config
from cortune.project import Project
from cortune.stages import STAGES

CONFIG: dict[str, Any] = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "subjects": ["subj01", "subj02"],
            "rois": ["V1v"],
            "simulate": {},
        }
    },
    "backbone": {"weights": "random"},
}
UNIT = Address("nsd", "subj01", "lh", "V1v", "untuned", "0")


class Names(list[str]):
    """Files in order, some of them several under one name, as Snakemake has them."""

    def __init__(self, **named: str | list[str]) -> None:
        super().__init__()
        for paths in named.values():
            self.extend([paths] if isinstance(paths, str) else paths)
        self._named = named
        vars(self).update(named)

    def items(self) -> Any:
        """Yield names and files."""
        return self._named.items()


def snakemake_of(project: Project, name: str, address: Address, log: str = "") -> SimpleNamespace:
    """Return the job of a stage and address, planned by a project."""
    stage = STAGES[name]
    inputs: dict[str, Any] = project.inputs(name, address)
    for key, given in stage.inputs.items():
        if isinstance(given.addresses(project, address), Address):
            (inputs[key],) = inputs[key]
    facts = {} if stage.facts is None else {"facts": project.facts(name, address)}
    return SimpleNamespace(
        input=Names(**inputs),
        output=Names(**{key: project.path(name, key, address) for key in stage.outputs}),
        params=facts,
        threads=1,
        rule=name,
        log=[log],
        config=project.config.as_dict(),
    )


def run_encoding(results: str, log: str, main: Callable[[Any], None]) -> None:
    """Run the job of an encoding, which does something else instead."""
    from cortune import jobs

    project = Project(Config.from_mapping(CONFIG), results)
    STAGES["encode_roi"] = replace(STAGES["encode_roi"], run=main)
    jobs.run(snakemake_of(project, "encode_roi", UNIT, log))


LOCAL = SimpleNamespace(common_settings=SimpleNamespace(local_exec=True))
CLUSTER = SimpleNamespace(common_settings=SimpleNamespace(local_exec=False))


def workflow(*, main=True, executor: object = LOCAL, dryrun=False, touch=False, jobs=1):
    """What Snakemake knows of the workflow, of which so many jobs are to run."""
    return SimpleNamespace(
        is_main_process=main,
        dag=SimpleNamespace(needrun_jobs=lambda: iter(range(jobs))),
        executor_plugin=executor,
        dryrun=dryrun,
        touch=touch,
        dag_settings=SimpleNamespace(until=None, omit_from=None, batch=None),
        storage_settings=SimpleNamespace(default_storage_provider=None),
    )
