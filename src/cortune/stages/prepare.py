"""Images, responses and splits, whatever the layout of the data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.address import Address
from cortune.data import LAYOUTS, open_dataset
from cortune.data.identity import COMMUNITY
from cortune.errors import InputError
from cortune.fingerprints import Sources
from cortune.stages.declare import From, Output, stage
from cortune.stages.simulate import SHARED

if TYPE_CHECKING:
    from cortune.data.readers import Reader
    from cortune.jobs import Job
    from cortune.project import Project
    from cortune.settings import Settings

IDENTITIES = (
    "Identity of each image: `coco:…` where known, else `nsd:…`, else `image:…`, a digest of its "
    "pixels."
)
_TABLES = ("stim_info", "coco_of")
"""Options of readers that are files; what counts of them is the content."""
_OPTIONS = dict.fromkeys(key for reader in LAYOUTS.values() for key in reader.options)
_READ = tuple(f"datasets.{{dataset}}.{key}" for key in ("layout", *_OPTIONS) if key not in _TABLES)
_PLACES = tuple(f"datasets.{{dataset}}.{key}" for key in ("root", *_TABLES))


def open_reader(config: Any, dataset: str, record: str = "", *, whole: bool = False) -> Reader:
    """Return the reader of a data set.

    Parameters
    ----------
    config : Config or Settings
    dataset : str
    record : str
        Path of the record of a subject that the simulator wrote; empty for real data.
    whole : bool
        Whether responses are those of every vertex.
    """
    settings = config.datasets[dataset]
    layout = settings.layout
    root = Path(record).parents[1] / layout if record else Path(settings.root).expanduser()
    options = {key: getattr(settings, key) for key in LAYOUTS[layout].options}
    return open_dataset(layout, root, whole=whole, **options)


def simulated(project: Project, address: Address) -> Iterator[Address]:
    """Yield the addresses of what the simulator writes for a subject; none for real data."""
    if project.is_simulated(address.dataset):
        yield address
        from cortune.simulate import SIMULATORS

        if SIMULATORS[project.config.datasets[address.dataset].layout].shared:
            yield address.but(subject=SHARED)


def _raw(settings: Settings, address: Address) -> Sources:
    """Return the raw files of a subject, or of one hemisphere's responses.

    Of simulated data sets, only those that the simulator does not write.
    """
    given = settings.datasets[address.dataset]
    if given.root is None:
        options = [key for key in LAYOUTS[given.layout].options if key in _TABLES]
        tables = [(key, getattr(given, key)) for key in options]
        return Sources([(key, Path(path).expanduser()) for key, path in tables if path])
    reader = open_reader(settings, address.dataset)
    files = reader.sources(address.subject, address.hemisphere or None)
    # Names of pictures say which image a row of responses belongs to.
    names = tuple(reader.listing(address.subject)) if address.hemisphere else ()
    return Sources([(reader.name_of(path), path) for path in files], names)


def framing(project: Project, address: Address) -> dict[str, Any]:
    """Return how pictures become squares, by the backbone's makers and the configuration."""
    return project.framing(crop=project.config.backbone.crop)


def reader_of(job: Job, *, whole: bool = False) -> Reader:
    """Return the reader of the job's data set."""
    records = job.inputs("simulated")
    record = records[0] if records else ""
    return open_reader(job.config, job.address.dataset, record, whole=whole)


@stage(
    number=2,
    entities=("dataset", "subject"),
    reads=(*_READ, "backbone.input_size", "backbone.crop"),
    places=_PLACES,
    sources=_raw,
    facts=framing,
    inputs={"simulated": From("simulate_dataset", "record", simulated)},
    outputs={
        "images": Output(
            "images.npy",
            "(n, s, s, 3) uint8, the pictures decoded and resized.",
        ),
        "index": Output(
            "index.csv",
            "a row per row of `images.npy`.",
            {
                "identity": f"{IDENTITIES} Pictures that decode alike have one.",
                "file": "The picture, in the data set's folder.",
                "name": "What the picture is called where responses are: an id, or its name.",
                "digest": "Of the decoded pixels.",
                "nsd_id": "NSD's number of the picture, from 0; empty where it has none.",
            },
        ),
    },
)
def prepare_images(job: Job) -> None:
    """Decode a subject's images once, and index them by identity."""
    from cortune.data.images import Framing
    from cortune.data.prepare import prepare_images as prepare

    prepare(
        reader_of(job),
        job.address.subject,
        Framing(**job.facts),
        job.output.images,
        job.output.index,
        job.provenance(),
        workers=job.threads,
    )


_OF_VERTICES = {
    "responses": "(n, V) float32.",
    "identities": "Name of each row's picture, as in the index of images.",
    "vertices": "(V) Positions in the hemisphere's responses, as distributed.",
    "mesh_vertices": "(V) Vertices of the surface mesh; −1 where there is none.",
    "noise_ceiling": "(V) Share of variance that can be explained; NaN where unknown.",
    "constant": "(V) Whether all responses are equal.",
    "rois/<roi>": "Columns of the ROI.",
}
PREPARES: dict[str, Any] = {
    "entities": ("dataset", "subject", "hemisphere"),
    "reads": _READ,
    "places": _PLACES,
    "sources": _raw,
    "inputs": {"simulated": From("simulate_dataset", "record", simulated)},
}


@stage(
    number=1,
    outputs={
        "responses": Output(
            "responses.h5", "responses of all voxels that belong to an ROI.", _OF_VERTICES
        )
    },
    **PREPARES,
)
def prepare_responses(job: Job) -> None:
    """Gather the responses of every vertex that belongs to an ROI of a hemisphere."""
    _prepare(job, whole=False)


@stage(
    number=1,
    outputs={
        "responses": Output(
            "responses.h5",
            "responses of all voxels, where the ROI `whole` is asked for.",
            _OF_VERTICES,
        )
    },
    **PREPARES,
)
def prepare_whole(job: Job) -> None:
    """Gather the responses of every vertex of a hemisphere."""
    _prepare(job, whole=True)


def _prepare(job: Job, *, whole: bool) -> None:
    from cortune.data.prepare import prepare_responses as prepare

    reader, place = reader_of(job, whole=whole), job.address
    prepare(reader, place.subject, place.hemisphere, job.output.responses, job.provenance())


def _split_table(settings: Settings, address: Address) -> Sources:
    """Return the table of sets, where the split is given by one."""
    path = settings.split.file
    return Sources([("split", Path(path).expanduser())] if path else [])


def _images_shared(project: Project, address: Address) -> dict[str, Any]:
    """Return whether networks are tuned on the data set, and what all simulated subjects see."""
    spec = None
    if project.config.split.by in COMMUNITY:
        spec = project.simulation(address.dataset)
    shared = None
    if spec is not None and hasattr(spec, "n_shared"):
        from cortune.simulate.spec import shared_image_ids

        shared = shared_image_ids(spec, project.config.seed)
    return {"tuned": address.dataset == project.dataset, "shared": shared}


def _given(job: Job, lines: list[dict[str, str]]) -> dict[str, str] | None:
    """Return the sets of images that do not follow from their hash."""
    from cortune.data.identity import community_ids
    from cortune.data.splits import read_split

    split = job.config.split
    if split.by == "hash":
        return None
    if split.by == "file":
        table = read_split(Path(split.file).expanduser())
        called = [
            (name, line["identity"])
            for line in lines
            for name in (f"nsd:{line['nsd_id']:0>5}", line["name"], line["identity"])
            if line["nsd_id"] or not name.startswith("nsd:")
        ]
        return {identity: table[name] for name, identity in called if name in table}
    shared = set(job.facts["shared"] or ()) or community_ids(split.by)
    return {
        line["identity"]: "test"
        for line in lines
        if line["nsd_id"] and int(line["nsd_id"]) in shared
    }


@stage(
    number=1,
    entities=("dataset", "subject"),
    reads=("seed", "split"),
    places=("split.file",),
    sources=_split_table,
    facts=_images_shared,
    inputs={"index": From("prepare_images", "index")},
    outputs={
        "split": Output(
            "split.csv",
            "a row per row of `images.npy`.",
            {"identity": IDENTITIES, "set": "`tune`, `validation`, `fit`, `test` or `unused`."},
        )
    },
)
def split_images(job: Job) -> None:
    """Assign a subject's images to tuning, validation and test by identity."""
    from cortune.data.images import read_index_lines
    from cortune.data.prepare import split_images as split
    from cortune.data.splits import SETS

    settings, lines = job.config.split, read_index_lines(job.input.index)
    given, tuned = _given(job, lines), job.facts["tuned"]
    if tuned and given is not None and "test" not in given.values():
        raise InputError(
            "split.by",
            f"{settings.by} with {job.address.dataset}, {job.address.subject} of which saw no "
            "image of its test set",
            "a data set that has such images, with the ids by which they are named",
            "Set `split.by: hash`, or another table.",
        )
    split(
        [line["identity"] for line in lines],
        job.config.seed,
        {name: getattr(settings, name) for name in SETS},
        job.output.split,
        job.provenance(),
        given=given,
        whole=tuned,
    )
