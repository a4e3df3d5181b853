"""Networks on subjects and data sets that they were not tuned to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cortune.address import ALL, OF_NETWORK, Address
from cortune.stages.declare import BACKBONE, NETWORK, From, Output, figure, stage, table
from cortune.stages.encoding import MODELS, encoded, inside, space_of

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project

_READS = (*MODELS, "backbone.layers", "backbone.tokens", "encoding.protocols")


def others(project: Project, address: Address) -> list[Address]:
    """Return the units of other subjects that a network is tried on: its ROI, or all of them."""
    wanted = project.config.transfer.rois
    return [
        each
        for each in project.having(address)
        if each.subject != address.subject and (wanted is None or each.roi in wanted)
    ]


def targets(project: Project, address: Address) -> list[Address]:
    """Return each subject of the data set that a network is transferred to."""
    units = project.target_units(address.target, address.hemisphere, address.roi)
    place = Address(dataset=address.target, hemisphere=address.hemisphere)
    return list(dict.fromkeys(place.but(subject=unit.subject) for unit in units))


def _own_rois(project: Project, address: Address) -> dict[str, list[str]]:
    """Return the ROIs that each other subject is encoded in: those of the network."""
    found: dict[str, list[str]] = {}
    for unit in others(project, address):
        found.setdefault(unit.subject, []).append(unit.roi)
    return found


def _target_rois(project: Project, address: Address) -> dict[str, list[str]]:
    """Return the ROIs of each target subject that the network is tried on."""
    found: dict[str, list[str]] = {}
    for unit in project.target_units(address.target, address.hemisphere, address.roi):
        found.setdefault(unit.subject, []).append(unit.roi)
    return found


def _transfer(job: Job, *, within: bool) -> None:
    from cortune.networks.device import choose_runtime
    from cortune.transfer import targets as paired
    from cortune.transfer import transfer_network

    config = job.config
    runtime = choose_runtime(config.device, "float32", threads=job.threads)
    transfer_network(
        job.input.network,
        config.backbone.layers,
        paired(job.facts, job.input),
        job.output.encodings,
        job.provenance(notes=runtime.notes()),
        runtime,
        job.encoding_settings(),
        protocol=config.encoding.protocols[0],
        n_folds=config.encoding.folds,
        base=job.input.backbone,
        batch_size=config.features.batch_size,
        tokens=config.backbone.tokens,
        space=space_of(job),
        within=within,
    )


@stage(
    number=5,
    entities=OF_NETWORK,
    reads=_READS,
    facts=_own_rois,
    inputs={
        "network": From(NETWORK, "network"),
        "backbone": From(BACKBONE, "network"),
        "images": From("prepare_images", "images", others),
        "index": From("prepare_images", "index", others),
        "split": From("split_images", "split", others),
        "responses": From("prepare_responses", "responses", others),
    },
    outputs={
        "encodings": Output(
            "transfer.h5",
            "encoding models of other subjects on this network's features.",
            inside("<subject>/<roi>"),
        )
    },
    gpu=True,
)
def transfer_subject(job: Job) -> None:
    """Encode other subjects of the data set from the features of a network."""
    _transfer(job, within=True)


@stage(
    number=5,
    entities=("target", *OF_NETWORK),
    reads=_READS,
    facts=_target_rois,
    inputs={
        "network": From(NETWORK, "network"),
        "backbone": From(BACKBONE, "network"),
        "images": From("prepare_images", "images", targets),
        "index": From("prepare_images", "index", targets),
        "split": From("split_images", "split", targets),
        "responses": From("prepare_responses", "responses", targets),
    },
    outputs={
        "encodings": Output(
            "transfer.h5",
            "encoding models of another data set's subjects on this network's features.",
            inside("<subject>/<roi>"),
        )
    },
    gpu=True,
)
def transfer_dataset(job: Job) -> None:
    """Encode another data set from the features of a network."""
    _transfer(job, within=False)


def between_subjects(project: Project, address: Address) -> Iterable[Address]:
    """Return the networks that are tried on other subjects of their data set."""
    return project.subject_transfers()


def between_datasets(project: Project, address: Address) -> Iterable[Address]:
    """Return the networks that are tried on other data sets."""
    return project.dataset_transfers()


def _any(project: Project) -> bool:
    return bool(project.subject_transfers() or project.dataset_transfers())


@stage(
    number=3,
    reads=("encoding.protocols", "tuning.dataset", "split.by"),
    inputs={
        "subjects": From("transfer_subject", "encodings", between_subjects),
        "datasets": From("transfer_dataset", "encodings", between_datasets),
        "encodings": From("encode_roi", "encoding", encoded),
    },
    outputs={
        "subjects": table("transfer_subjects.csv", "Transfer"),
        "datasets": table("transfer_datasets.csv", "Transfer"),
    },
    when=_any,
)
def tabulate_transfer(job: Job) -> None:
    """Gather the scores of transfer between subjects and to other data sets."""
    from cortune.report.tables import encoded_units
    from cortune.report.transfer import TransferredNetwork
    from cortune.report.transfer import tabulate_transfer as tabulate

    networks: dict[Address, TransferredNetwork] = {}
    for path in [*job.inputs("subjects"), *job.inputs("datasets")]:
        place = Address.parse(path).but(replicate="")
        network = TransferredNetwork(
            place.target or None,
            place.own.get("subject"),
            place.hemisphere,
            None if place.roi == ALL else place.roi,
            place.method,
            [],
        )
        networks.setdefault(place, network).paths.append(path)
    tabulate(
        networks.values(),
        encoded_units(job.inputs("encodings")),
        job.config.tuning.dataset,
        job.output,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
    )


@stage(
    number=1,
    reads=("encoding.protocols",),
    inputs={
        "subjects": From("tabulate_transfer", "subjects"),
        "datasets": From("tabulate_transfer", "datasets"),
        "voxels": From("tabulate_encoding", "voxels"),
    },
    outputs={
        "subjects": figure(
            "transfer_subjects.png",
            "Transfer",
            "Transfer between subjects.",
            "Transfer between subjects: encoding models of the target subject on features of "
            "the network that was tuned to the source subject, less those on the untuned "
            "network's features. Colour is the mean difference in r over the ROIs and "
            "hemispheres of a group, the figure in each cell the share of the target's voxels "
            "that are predicted better than by the untuned network. On the diagonal is the "
            "subject's own network; ``others`` is a network tuned to all subjects but the "
            "target.",
        ),
        "datasets": figure(
            "transfer_datasets.png",
            "Transfer",
            "Transfer to other data sets.",
            "Transfer to another data set: mean r of encoding models of the target's ROI on "
            "features of networks that were tuned to the ROIs of the source, less that of the "
            "untuned network (its r in brackets below each ROI). Points are the source "
            "subjects' networks with the 95 % interval over images of the target's score; broad "
            "bars: the standard deviation over replicates, where there are several.",
        ),
    },
    when=_any,
)
def plot_transfer(job: Job) -> None:
    """Draw the matrix of subjects and the scores on other data sets."""
    from cortune.report.transfer_figures import plot_transfer as plot

    plot(
        job.input.subjects,
        job.input.datasets,
        job.input.voxels,
        job.output,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
    )
