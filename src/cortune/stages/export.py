"""Encoders that leave the project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cortune.address import OF_NETWORK, Address
from cortune.errors import InputError
from cortune.stages.declare import BACKBONE, NETWORK, RESPONSES, From, Output, stage, table
from cortune.stages.encoding import MODELS, of_sides, space_of
from cortune.stages.prepare import framing
from cortune.tuning.methods import joined

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project


def units(project: Project, address: Address) -> list[Address]:
    """Return the units that the encoder of an address predicts.

    Raises
    ------
    InputError
        If an ROI of the configuration is not analysed.
    """
    wanted = project.config.export
    if wanted is None:
        return []
    rois = None if wanted.rois == "all" else list(wanted.rois)
    known = {unit.roi for unit in project.units}
    for roi in rois or ():
        if roi not in known:
            expected = f"one of {', '.join(sorted(known))}"
            raise InputError(
                "export.rois", repr(roi), expected, "Correct the name, or add it to the data set."
            )
    methods = [method for method in wanted.methods if address.method in ("", method)]
    return [
        unit
        for unit in project.addresses(methods, rois)
        if unit.replicate == "0" and (not address.method or joined(unit) == address)
    ]


def exported(project: Project, address: Address) -> Iterable[Address]:
    """Return every encoder of a run."""
    return dict.fromkeys(map(joined, units(project, Address())))


def hemispheres(project: Project, address: Address) -> Iterable[Address]:
    """Return the hemispheres whose responses an encoder predicts."""
    return of_sides(units(project, address))


def _facts(project: Project, address: Address) -> dict[str, Any]:
    """Return the ROIs of each hemisphere, and how pictures become squares."""
    rois: dict[str, list[str]] = {}
    for unit in units(project, address):
        rois.setdefault(unit.hemisphere, []).append(unit.roi)
    return {"rois": rois, "framing": framing(project, address)}


def _any(project: Project) -> bool:
    return project.config.export is not None


@stage(
    number=1,
    entities=OF_NETWORK,
    normal=joined,
    reads=(*MODELS, "backbone.layers", "backbone.tokens", "export.fit", "export.dtype"),
    facts=_facts,
    inputs={
        "network": From(NETWORK, "network"),
        "backbone": From(BACKBONE, "network"),
        "images": From("prepare_images", "images"),
        "index": From("prepare_images", "index"),
        "split": From("split_images", "split"),
        "responses": From(RESPONSES, "responses", hemispheres),
    },
    outputs={
        "encoder": Output(
            "encoder.safetensors",
            "the linear map from features to responses, in factors; d features, k components.",
            {
                "<layer>/mean": "(d) Of the features, over the images fitted.",
                "<layer>/components": "(d, k) Directions of the principal components.",
                "<hemisphere>/<roi>/scale": "(k) Of each component's score.",
                "<hemisphere>/<roi>/weights": "(k, V) From scaled scores to voxels.",
                "<hemisphere>/<roi>/intercept": "(V) Mean responses.",
                "<hemisphere>/<roi>/vertices": "(V) As in encodings.",
                "<hemisphere>/<roi>/mesh_vertices": "(V) On the surface; -1 where unknown.",
                "<hemisphere>/<roi>/noise_ceiling": "(V) As in encodings.",
                "<hemisphere>/<roi>/r": "(V) Cross-validated; NaN with `export.fit` = `all`.",
                "<hemisphere>/<roi>/alpha": "(V) Penalty.",
            },
        ),
        "config": Output(
            "config.json",
            "what it is, under `cortune`: format, network, preprocessing, units with their scores.",
            {
                "format": "Number of the form that it has.",
                "version": "Cortune's.",
                "network": "Its file, beside this one or as a relative path, and its name.",
                "preprocessing": "How its makers show it pictures.",
                "framing": "How pictures become squares.",
                "tokens": "`backbone.tokens`.",
                "fit": "`export.fit`.",
                "dtype": "`export.dtype`.",
                "dtype_loss": "What it costs: RMS change of predictions over their RMS.",
                "units": "The ROIs that it predicts, with layer, images and cross-validated r.",
                "provenance": "As in other artifacts.",
            },
        ),
    },
    gpu=True,
)
def export_encoder(job: Job) -> None:
    """Fit the map from a network's features to the responses of a subject."""
    from cortune.data.splits import SETS, UNUSED
    from cortune.data.units import load_images
    from cortune.export.fit import Target, fit_encoder
    from cortune.networks.device import choose_runtime

    config, place = job.config, job.address
    runtime = choose_runtime(config.device, "float32", threads=job.threads)
    paths = {Address.parse(path).hemisphere: path for path in job.inputs("responses")}
    fit_encoder(
        job.input.network,
        config.backbone.layers,
        load_images(job.input, *SETS, UNUSED),
        [
            Target(place.dataset, place.subject, side, roi, paths[side])
            for side, rois in job.facts["rois"].items()
            for roi in rois
        ],
        job.output.encoder,
        job.output.config,
        job.provenance(notes=runtime.notes()),
        runtime,
        job.encoding_settings(),
        fit=config.export.fit,
        dtype=config.export.dtype,
        n_folds=config.encoding.folds,
        batch_size=config.features.batch_size,
        tokens=config.backbone.tokens,
        base=job.input.backbone,
        framing=job.facts["framing"],
        space=space_of(job),
    )


@stage(
    number=1,
    inputs={
        "encoders": From("export_encoder", "encoder", exported),
        "configs": From("export_encoder", "config", exported),
    },
    outputs={"table": table("encoders.csv", "Encoders")},
    when=_any,
)
def tabulate_encoders(job: Job) -> None:
    """Gather what the encoders are and how well they predict."""
    from cortune.report.encoders import tabulate_encoders as tabulate

    tabulate(job.inputs("configs"), job.output.table, job.provenance())
