"""Hours and disk of a project, by stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cortune.disk import amount
from cortune.plan.backbone import Shape
from cortune.plan.work import Count, Work
from cortune.project import Project
from cortune.stages import STAGES

_STARTING = {True: 2.5, False: 0.8}
"""Seconds of loading libraries, with torch and without; measured in the demo."""


@dataclass(frozen=True)
class Rates:
    """How fast the parts of the work go.

    Parameters
    ----------
    cpu_gflops : float
        Networks on the cores of one job. Measured on two cores: AlexNet at 224 pixels is tuned
        with 38 images per second in float32, three forward passes of 1.4 GFLOP each.
    gpu_gflops : float
        Networks on a GPU. Assumed.
    products_gflops : float
        Matrix products in float32. Measured: 143 to 170 in ridge and scores.
    decompositions_gflops : float
        Eigendecompositions in float64, at 9 n^3 operations. Measured.
    pictures : float
        Pictures decoded or drawn per second and core. Measured in the demo.
    """

    cpu_gflops: float = 165.0
    gpu_gflops: float = 5000.0
    products_gflops: float = 140.0
    decompositions_gflops: float = 80.0
    pictures: float = 300.0


@dataclass(frozen=True)
class StagePlan:
    """The jobs of one stage together.

    Parameters
    ----------
    stage : str
    jobs, done : int
        How many there are, and how many of them have their files already.
    work : list of Work
        Of each job.
    """

    stage: str
    jobs: int
    done: int
    work: list[Work] = field(default_factory=list)

    def hours(self, rates: Rates, *, gpu: bool = False) -> float:
        """Return the hours of all its jobs, one after the other."""
        networks = STAGES[self.stage].gpu
        rate = rates.gpu_gflops if gpu and networks else rates.cpu_gflops
        seconds = sum(
            _STARTING[networks]
            + work.network / rate
            + work.products / rates.products_gflops
            + work.decompositions / rates.decompositions_gflops
            + work.pictures / rates.pictures
            for work in self.work
        )
        return seconds / 3600

    @property
    def disk(self) -> float:
        """Bytes of all its files."""
        return sum(work.disk for work in self.work)


def estimate(project: Project, shape: Shape) -> list[StagePlan]:
    """Return the plan of every stage that has a job, in the order of the workflow.

    Parameters
    ----------
    project : Project
    shape : Shape
        Of the project's backbone.
    """
    count, found = Count(project, shape), []
    for stage, addresses in project.jobs.items():
        first = next(iter(STAGES[stage].outputs))
        done = sum(Path(project.path(stage, first, each)).exists() for each in addresses)
        work = [count.of(stage, address) or Work() for address in addresses]
        found.append(StagePlan(stage, len(addresses), done, work))
    return found


def describe(stages: list[StagePlan], rates: Rates) -> str:
    """Return a plan as text: a line per stage, then the totals and what they rest on."""
    head = f"{'stage':24}{'jobs':>7}{'done':>7}{'on CPU':>10}{'with GPU':>10}{'disk':>10}"
    # A table or figure each; a line for all of them.
    short = [plan for plan in stages if plan.work == [Work()]]
    lines = [_line(plan.stage, [plan], rates) for plan in stages if plan not in short]
    lines.append(_line("tables and figures", short, rates))
    gpu = sum(plan.hours(rates, gpu=True) for plan in stages if STAGES[plan.stage].gpu)
    notes = [
        "Times are those of all jobs one after the other, on two cores; with 2N cores, and jobs to "
        f"fill them, an N-th. With a GPU: {_span(gpu)} of them on it.",
        f"Computed from {rates.cpu_gflops:g} GFLOP/s of networks, {rates.products_gflops:g} of "
        f"products and {rates.decompositions_gflops:g} of eigendecompositions (measured on two "
        f"cores), and {rates.gpu_gflops:g} on a GPU (assumed; --gpu-gflops).",
    ]
    if scratch := max((work.scratch for plan in stages for work in plan.work), default=0):
        passes = max(work.passes for plan in stages for work in plan.work)
        notes.append(
            f"While it runs, a job keeps up to {amount(scratch)} of features in a scratch file "
            f"(features.scratch_gb), and runs its network up to {passes} time(s) over its images."
        )
    return "\n".join([head, *lines, _line("all", stages, rates), "", *notes])


def _line(name: str, plans: list[StagePlan], rates: Rates) -> str:
    jobs, done = sum(plan.jobs for plan in plans), sum(plan.done for plan in plans)
    cpu, gpu = (sum(plan.hours(rates, gpu=on_gpu) for plan in plans) for on_gpu in (False, True))
    disk = amount(sum(plan.disk for plan in plans))
    return f"{name:24}{jobs:7}{done:7}{_span(cpu):>10}{_span(gpu):>10}{disk:>10}"


def _span(hours: float) -> str:
    """Return a time for people, such as ``3.4 h``."""
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.1f} min" if hours >= 1 / 60 else f"{hours * 3600:.0f} s"
