"""Bounds on the information between images and responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cortune.address import Address
from cortune.stages.declare import NETWORK, From, figure, stage, table

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project


def embedding(project: Project, address: Address) -> Iterable[Address]:
    """Return the networks that embed images and responses of the subjects tuned to."""
    return project.networks(project.embedding_methods)


def _any(project: Project) -> bool:
    return bool(project.embedding_methods)


@stage(
    number=3,
    reads=("seed", "split.by", "contrastive.temperature"),
    inputs={"embeddings": From(NETWORK, "embeddings", embedding)},
    outputs={"table": table("information.csv", "Tuning")},
    when=_any,
)
def bound_information(job: Job) -> None:
    """Bound the information between test images and responses, by network and subject."""
    from cortune.report.information import embedded_units, tabulate_information

    tabulate_information(
        embedded_units(job.inputs("embeddings")),
        job.output.table,
        job.provenance(),
        temperature=job.config.contrastive.temperature,
    )


@stage(
    number=2,
    inputs={"table": From("bound_information", "table")},
    outputs={
        "figure": figure(
            "information_by_roi.png",
            "Tuning",
            "Bound on the information between images and responses.",
            "Cross-fitted InfoNCE lower bound on the mutual information between test images "
            "and responses, in nats (bars: mean over subjects; points: subjects, with the standard "
            "deviation over replicates, where there are several); it cannot "
            "exceed log K.",
        )
    },
    when=_any,
)
def plot_information(job: Job) -> None:
    """Draw the information bounds."""
    from cortune.report.information import plot_information as plot

    plot(job.input.table, job.output.figure, job.provenance())
