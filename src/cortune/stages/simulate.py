"""The simulated brain, in the layouts of the real data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.address import Address
from cortune.files import visible_files
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
    from cortune.simulate import SIMULATORS

    settings = config.datasets[dataset]
    return SIMULATORS[settings.layout].spec.from_mapping(settings.simulate)


def simulated_roi_sizes(config: Any, dataset: str, subject: str, hemisphere: str) -> dict[str, int]:
    """Return the number of vertices of every ROI that the simulator will write."""
    from cortune.data import LAYOUTS
    from cortune.simulate import SIMULATORS

    settings = config.datasets[dataset]
    options = {key: getattr(settings, key) for key in LAYOUTS[settings.layout].options}
    return SIMULATORS[settings.layout].roi_sizes(
        specification(config, dataset), subject, hemisphere, **options
    )


def _raw(settings: Settings, address: Address) -> Sources:
    """Return a real subject's masks and a user's photographs, where they are given."""
    given = settings.datasets[address.dataset].simulate
    files: list[tuple[str, Path]] = []
    for key, below in (("masks", "roi_masks"), ("images", "")):
        if folder := getattr(given, key, None):
            root = Path(folder).expanduser()
            found = sorted(visible_files(root / below))
            files += [(f"{key}/{path.relative_to(root).as_posix()}", path) for path in found]
    return Sources(files)


@stage(
    number=4,
    entities=("dataset", "subject"),
    reads=("seed", "datasets.{dataset}.layout", "datasets.{dataset}.simulate"),
    places=("datasets.{dataset}.simulate.masks", "datasets.{dataset}.simulate.images"),
    sources=_raw,
    outputs={
        "record": Output(
            "{layout}.json",
            "provenance of what was written for the subject, beside it in the layout's folder; "
            f"the subject `{SHARED}` is what belongs to none: pictures, design, parcellation.",
        ),
        "truth": Output("../{layout}-truth/{subject}", TRUTH),
    },
)
def simulate_dataset(job: Job) -> None:
    """Write a subject of a simulated brain, its truth, and a record of what made them."""
    from cortune.simulate import SIMULATORS

    dataset, subject = job.address.dataset, job.address.subject
    layout, seed = job.config.datasets[dataset].layout, job.config.seed
    simulator, spec = SIMULATORS[layout], specification(job.config, dataset)
    root = Path(job.output.record).parents[1] / layout
    if subject == SHARED:
        parts = simulator.simulate_shared(spec, root, seed)
    else:
        parts = simulator.simulate_subject(spec, subject, root, job.output.truth, seed)
    job.record(job.output.record, parts)
