"""The simulated brain, in the layouts of the real data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.address import Address
from cortune.fingerprints import Sources
from cortune.stages.declare import Output, stage

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.settings import Settings

SHARED = "shared"
"""Stands for the subject of what belongs to no subject: pictures, design, parcellation."""
TRUTH = "`lh.h5`, `rh.h5` (what the simulator knows; no analysis stage reads it)."


def specification(config: Any, dataset: str) -> Any:
    """Return the simulator's specification of a data set."""
    from cortune.simulate.nod_spec import NodSpec
    from cortune.simulate.spec import SimulationSpec

    settings = config.datasets[dataset]
    kind = NodSpec if settings.layout == "nod" else SimulationSpec
    return kind.from_mapping(settings.simulate)


def simulated_roi_sizes(
    config: Any, dataset: str, subject: str, hemisphere: str
) -> dict[str, int]:
    """Return the number of vertices of every ROI that the simulator will write."""
    from cortune.simulate.grayordinates import nod_roi_sizes
    from cortune.simulate.layout import roi_sizes

    settings = config.datasets[dataset]
    if settings.layout == "nod":
        return nod_roi_sizes(hemisphere, settings.top_vertices)
    return roi_sizes(specification(config, dataset), subject, hemisphere)


def _raw(settings: Settings, address: Address) -> Sources:
    """Return a real subject's masks and a user's photographs, where they are given."""
    given = settings.datasets[address.dataset].simulate
    files = {}
    for key, below in (("masks", "roi_masks"), ("images", "")):
        if folder := getattr(given, key, None):
            root = Path(folder).expanduser()
            found = sorted((root / below).rglob("*")) if root.is_dir() else []
            files |= {
                f"{key}/{path.relative_to(root).as_posix()}": path
                for path in found
                if path.is_file() and not path.name.startswith(".")
            }
    return Sources(files)


@stage(
    number=2,
    entities=("dataset", "subject"),
    reads=("seed", "datasets.{dataset}.layout", "datasets.{dataset}.simulate"),
    places=("datasets.{dataset}.simulate.masks", "datasets.{dataset}.simulate.images"),
    sources=_raw,
    rules=("simulate_dataset", "simulate_nsd", "simulate_nod", "simulate_shared"),
    outputs={
        "record": Output(
            "{layout}.json",
            "provenance of what was written for the subject, beside it in the folder of the layout; "
            f"the subject `{SHARED}` is what belongs to none: pictures, design, parcellation.",
        ),
        "data": Output("algonauts2023/{subject}", "a subject in the layout `algonauts2023`."),
        "truth": Output("algonauts2023-truth/{subject}", TRUTH),
    },
)
def simulate_dataset(job: Job) -> None:
    """Write a subject of a simulated brain, its truth, and a record of what made them."""
    from cortune.simulate import (
        simulate_nod_subject,
        simulate_nod_support,
        simulate_nsd_stimuli,
        simulate_nsd_subject,
        simulate_subject,
    )

    dataset, subject = job.address.dataset, job.address.subject
    layout, seed = job.config.datasets[dataset].layout, job.config.seed
    spec = specification(job.config, dataset)
    root = Path(job.output.record).parents[1] / layout
    if subject == SHARED:
        nsd = layout == "nsd"
        parts = simulate_nsd_stimuli(spec, root, seed) if nsd else simulate_nod_support(root, seed)
    elif layout == "nsd":
        simulate_nsd_subject(spec, subject, root, job.output.truth, seed)
        parts = [job.output.betas, job.output.labels]
    elif layout == "nod":
        pictures = simulate_nod_subject(spec, subject, root, job.output.truth, seed)
        parts = [job.output.events, job.output.derivatives, *pictures]
    else:
        simulate_subject(spec, subject, root / subject, Path(job.output.truth), seed=seed)
        parts = [job.output.data]
    job.record(job.output.record, parts)
