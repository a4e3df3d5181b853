"""Features of networks, and encoding models fitted on them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.address import OF_NETWORK, UNIT, Address
from cortune.data.rois import WHOLE
from cortune.fingerprints import Sources
from cortune.stages.declare import BACKBONE, NETWORK, RESPONSES, From, Output, figure, stage, table
from cortune.stages.prepare import IDENTITIES
from cortune.tuning.methods import METHODS, joined

if TYPE_CHECKING:
    from cortune.features import Space
    from cortune.jobs import Job
    from cortune.project import Project
    from cortune.settings import Settings

FOLDS = ("seed", "encoding.n_components", "encoding.folds")
MODELS = (*FOLDS, "encoding.alphas")
"""What decides an encoding model, beside features and responses."""
ENCODING = {
    "@layers": "Names of the L layers.",
    "@layer": "The layer that most folds chose.",
    "@fold_layers": "The layer that each fold chose.",
    "@n_images_fit": "Images that a fold's model is fitted on.",
    "@n_images_scored": "Images scored, over all folds.",
    "vertices": "(V) Positions of the voxels in the hemisphere's responses, as distributed.",
    "noise_ceiling": "(V) Share of variance that can be explained; NaN where unknown.",
    "r": "(V) Mean over folds of Pearson's r, each fold with its layer and penalty.",
    "alpha": "(V) Median over folds of the penalty.",
    "fold_alpha": "(F, V) Penalty of each fold.",
    "r_layers": "(L, V) r with the layer held fixed.",
    "alpha_layers": "(L, V) Its penalty.",
    "interval": "(2) 95 % interval of the mean of r over folds and voxels.",
    "interval_layers": "(L, 2) The same by layer.",
}


def inside(group: str) -> dict[str, str]:
    """Return what lies in the HDF5 group of an encoding; attributes are ``group@name``."""
    return {
        f"{group}{name}" if name.startswith("@") else f"{group}/{name}": meaning
        for name, meaning in ENCODING.items()
    }


def space_of(job: Job) -> Space:
    """Return where a job keeps features: beside its result."""
    from cortune.features import Space

    features = job.config.features
    return Space(features.memory_gb * 1e9, features.scratch_gb * 1e9)


@stage(
    number=4,
    entities=OF_NETWORK,
    normal=joined,
    reads=(
        "seed",
        "backbone.layers",
        "backbone.tokens",
        "features.images",
        "encoding.size_curve.sizes",
    ),
    inputs={
        "network": From(NETWORK, "network"),
        "backbone": From(BACKBONE, "network"),
        "images": From("prepare_images", "images"),
        "index": From("prepare_images", "index"),
        "split": From("split_images", "split"),
    },
    outputs={
        "grams": Output(
            "grams.h5",
            "inner products of the images' features, which are all that encoding models need.",
            {
                "@layers": "Names of the layers.",
                "identities": IDENTITIES,
                "sets": "Set of each image.",
                "names": "(m, 2) Names of pictures that differ from their identity, and that.",
                "tuned_on": "Identities that the network was tuned on or selected by.",
                "layers/<layer>": "(n, n) float32, of centred features.",
                "layers/<layer>@n_features": "Features of the layer.",
                "means/<layer>": "(n) float64, mean of each image's features.",
                "to_mean/<layer>": "(n) float64, inner product of each image's features and those "
                "of the mean image. With it the products of uncentred features are known.",
            },
        )
    },
    gpu=True,
)
def extract_features(job: Job) -> None:
    """Run a network once over a subject's images."""
    from cortune.data.units import load_images
    from cortune.features import extract_features as extract
    from cortune.networks.device import choose_runtime

    config = job.config
    runtime = choose_runtime(config.device, "float32", threads=job.threads)
    n_tune = max(config.encoding.size_curve.sizes, default=0)
    kept = ("fit", "test") if config.features.images == "test" else ()
    extract(
        job.input.network,
        config.backbone.layers,
        load_images(job.input, *kept, n_tune=n_tune, seed=config.seed),
        job.output.grams,
        job.provenance(notes=runtime.notes()),
        runtime,
        batch_size=config.features.batch_size,
        tokens=config.backbone.tokens,
        base=job.input.backbone,
        space=space_of(job),
    )


@stage(
    number=1,
    entities=OF_NETWORK,
    normal=joined,
    reads=(*FOLDS, "encoding.protocols"),
    inputs={"grams": From("extract_features", "grams")},
    outputs={
        "components": Output(
            "components.h5",
            "principal components of a network that serves several ROIs, on the images of every "
            "fold; a group per layer and set of images that models are fitted on.",
            {
                "layers/<layer>/<n>/fit": "(n) Positions of those images in the Gram matrices.",
                "layers/<layer>/<n>/axes": "(n, k) float32, their directions.",
                "layers/<layer>/<n>/eigenvalues": "(k) float64, descending.",
                "layers/<layer>/<n>/score/<m>": "Positions of images that are predicted.",
                "layers/<layer>/<n>/scores/<m>": "Their scores on the components, float32.",
            },
        )
    },
)
def decompose_features(job: Job) -> None:
    """Decompose the Gram matrices of a network once for all ROIs of a subject."""
    from cortune.encoding.banded import ALL_LAYERS
    from cortune.encoding.components import decompose_features as decompose

    encoding = job.config.encoding
    decompose(
        job.input.grams,
        job.output.components,
        job.provenance(),
        protocols=[name for name in encoding.protocols if name != ALL_LAYERS],
        n_folds=encoding.folds,
        n_components=encoding.n_components,
        seed=job.config.seed,
        device=job.array_device,
    )


def decomposed(project: Project, address: Address) -> list[Address]:
    """Return what a network that serves several ROIs is decomposed as; nothing of others."""
    return [address] if "roi" in METHODS[address.method].joins else []


_FITTED = {
    "grams": From("extract_features", "grams"),
    "responses": From(RESPONSES, "responses"),
}


@stage(
    number=2,
    entities=OF_NETWORK,
    reads=(*MODELS, "encoding.protocols", "encoding.all_layers"),
    inputs={**_FITTED, "components": From("decompose_features", "components", decomposed)},
    outputs={
        "encoding": Output(
            "encoding.h5",
            "encoding models of a unit, a group per protocol.",
            {
                **inside("<protocol>"),
                "variance_partition@layers": "Names of the layers, under `all_layers`.",
                "variance_partition/r2": "(L, V) Each layer's part of the R² of all together.",
            },
        )
    },
)
def encode_roi(job: Job) -> None:
    """Fit and score the encoding models of one network and ROI."""
    from cortune.encoding.stages import encode_roi as encode

    encoding = job.config.encoding
    encode(
        job.input.grams,
        job.input.responses,
        job.address.roi,
        job.output.encoding,
        job.provenance(),
        job.encoding_settings(),
        protocols=encoding.protocols,
        n_folds=encoding.folds,
        n_iter=encoding.all_layers.n_iter,
        components=next(iter(job.inputs("components")), None),
    )


@stage(
    number=2,
    entities=OF_NETWORK,
    reads=(*MODELS, "encoding.size_curve.sizes"),
    inputs=_FITTED,
    outputs={
        "curve": Output(
            "size_curve.h5",
            "encoding models fitted on more and more images, a group per number of images.",
            inside("<n>"),
        )
    },
)
def fit_size_curve(job: Job) -> None:
    """Fit encoding models on growing numbers of images."""
    from cortune.encoding.curves import fit_size_curve as fit

    encoding = job.config.encoding
    fit(
        job.input.grams,
        job.input.responses,
        job.address.roi,
        job.output.curve,
        job.provenance(),
        job.encoding_settings(),
        sizes=encoding.size_curve.sizes,
        n_folds=encoding.folds,
    )


def encoded(project: Project, address: Address) -> Iterable[Address]:
    """Return every unit and method."""
    return project.addresses(project.config.tuning.methods)


_NO_MAP = "no bound on information: the network, tuned to others, has no response map for this one"


def _skipped(project: Project, address: Address) -> Any:
    """Return units that are not analysed, and those whose network has no map of their responses."""
    unbound = project.addresses(project.unbound_methods)
    return (
        [vars(unit) for unit in project.skipped]
        + project.refused
        + [
            {name: getattr(unit, name) for name in (*UNIT, "method")} | {"reason": _NO_MAP}
            for unit in unbound
        ]
    )


@stage(
    number=4,
    reads=("encoding.min_noise_ceiling", "split.by"),
    facts=_skipped,
    inputs={"encodings": From("encode_roi", "encoding", encoded)},
    outputs={
        "encoding": table("encoding.csv", "Encoding"),
        "replicates": table("encoding_replicates.csv", "Encoding"),
        "layers": table("encoding_layers.csv", "Encoding"),
        "voxels": table("encoding_voxels.parquet", "Encoding"),
        "partition": table("variance_partition.csv", "Encoding"),
        "skipped": table("skipped.csv", "Left out"),
    },
)
def tabulate_encoding(job: Job) -> None:
    """Gather the encoding scores of all units, and what was left out."""
    from cortune.report.tables import encoded_units
    from cortune.report.tables import tabulate_encoding as tabulate

    tabulate(
        encoded_units(job.inputs("encodings")),
        job.facts,
        job.output,
        job.provenance(),
        min_noise_ceiling=job.config.encoding.min_noise_ceiling,
    )


ENCODING_TABLE = From("tabulate_encoding", "encoding")
VOXELS_TABLE = From("tabulate_encoding", "voxels")


@stage(
    number=3,
    reads=("seed", "statistics", "encoding.protocols", "tuning.methods"),
    inputs={"encoding": ENCODING_TABLE, "voxels": VOXELS_TABLE},
    outputs={"comparison": table("comparison.csv", "Encoding")},
)
def tabulate_comparison(job: Job) -> None:
    """Compare every pair of tuning methods."""
    from cortune.report.tables import tabulate_comparison as tabulate

    tabulate(
        job.input.encoding,
        job.input.voxels,
        job.output.comparison,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
        methods=job.config.tuning.methods,
        n_bootstrap=job.config.statistics.n_bootstrap,
        n_permutations=job.config.statistics.n_permutations,
    )


@stage(
    number=2,
    inputs={"encoding": ENCODING_TABLE},
    outputs={"table": table("published.csv", "Published")},
)
def tabulate_published(job: Job) -> None:
    """Set the published accuracies beside this run's."""
    from cortune.report.published import tabulate_published as tabulate

    tabulate(job.input.encoding, job.output.table, job.provenance())


def curves(project: Project, address: Address) -> Iterable[Address]:
    """Return the units and methods that accuracy is shown for by number of images."""
    curve, methods = project.config.encoding.size_curve, project.config.tuning.methods
    wanted = [m for m in methods if curve.sizes and m in (curve.methods or methods)]
    return project.addresses(wanted, curve.rois)


def _has_curves(project: Project) -> bool:
    return bool(curves(project, Address()))


@stage(
    number=3,
    reads=("split.by",),
    inputs={"curves": From("fit_size_curve", "curve", curves)},
    outputs={"table": table("size_curve.csv", "Size curve")},
    when=_has_curves,
)
def tabulate_size_curve(job: Job) -> None:
    """Gather the size curves of all units."""
    from cortune.report.curves import tabulate_size_curve as tabulate
    from cortune.report.tables import encoded_units

    tabulate(encoded_units(job.inputs("curves")), job.output.table, job.provenance())


@stage(
    number=3,
    reads=("encoding.protocols",),
    inputs={
        "encoding": ENCODING_TABLE,
        "layers": From("tabulate_encoding", "layers"),
        "voxels": VOXELS_TABLE,
    },
    outputs={
        "by_roi": figure(
            "encoding_by_roi.png",
            "Encoding",
            "Accuracy by ROI and method, with noise ceilings.",
            "Mean Pearson r over the voxels of each ROI (bars: mean over subjects; points: "
            "subjects, with 95 % intervals over images, broad ones: the standard deviation over "
            "replicates, where there are several; red lines: mean noise "
            'ceiling), protocol {{ config["encoding"]["protocols"][0] }}.',
        ),
        "layers": figure(
            "encoding_by_layer.png",
            "Encoding",
            "Accuracy by layer.",
            "Mean Pearson r of encoding models fitted on each layer (lines: mean over "
            "subjects and hemispheres; bands: their range; red lines: mean noise ceiling), "
            'protocol {{ config["encoding"]["protocols"][0] }}.',
        ),
        "voxels": figure(
            "encoding_by_voxel.png",
            "Encoding",
            "Tuned against untuned, voxel by voxel.",
            "Pearson r of each voxel with features of the tuned network against features of "
            "the untuned one; the title gives the share of voxels that tuning improves.",
        ),
        "protocols": figure(
            "encoding_by_protocol.png",
            "Encoding",
            "The other protocols against `heldout_cv`.",
            'Mean r of each unit under the other protocols against heldout_cv; "published" '
            "chooses penalty and layer on the very scores it reports, and what it gains by "
            "that is optimism, not accuracy.",
        ),
    },
)
def plot_encoding(job: Job) -> None:
    """Draw the encoding scores."""
    from cortune.report.encoding_figures import plot_encoding as plot

    plot(
        job.input.encoding,
        job.input.layers,
        job.input.voxels,
        job.output,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
    )


def responses(project: Project, address: Address) -> Iterable[Address]:
    """Return every subject and hemisphere that has a unit, as ``whole`` where there is that."""
    return of_sides(encoded(project, address))


def of_sides(units: Iterable[Address]) -> list[Address]:
    """Return the hemispheres of units; responses to ``whole`` hold those of the ROIs."""
    found: dict[Address, Address] = {}
    for unit in units:
        side = unit.only("dataset", "subject", "hemisphere")
        if side not in found or unit.roi == WHOLE:
            found[side] = side.but(roi=WHOLE) if unit.roi == WHOLE else side
    return list(found.values())


def _shown(project: Project, address: Address) -> dict[str, str]:
    """Return the method that is drawn, and the surface where it is one of nilearn's."""
    from cortune.report.surfaces import named_surface

    surface = named_surface(project.config.cortex.surface)
    return {"method": project.shown_method, "surface": surface}


def _surface(settings: Settings, address: Address) -> Sources:
    """Return the files of a surface of the user's own."""
    from cortune.report.surfaces import local_files, named_surface

    surface = settings.cortex.surface
    if named_surface(surface):
        return Sources()
    return Sources(list(local_files(Path(surface).expanduser()).items()))


@stage(
    number=2,
    reads=("encoding.protocols",),
    places=("cortex.surface",),
    sources=_surface,
    facts=_shown,
    inputs={"responses": From(RESPONSES, "responses", responses), "voxels": VOXELS_TABLE},
    outputs={
        "figure": figure(
            "cortex.png",
            "Cortex",
            "Accuracy on the inflated cortical surface.",
            "Encoding accuracy on the inflated cortical surface: mean r, noise-normalised r² "
            "and the gain over the untuned network, averaged over subjects at each vertex. "
            "Outlines are the ROIs that at least half of the subjects have there. Vertices "
            "outside the analysed ROIs show the sulcal depth.",
        ),
        "interactive": figure(
            "cortex.html",
            "Cortex",
            "The same on a surface to turn, inflated or flat, with values under the pointer.",
            "The same maps and the noise ceiling on a surface to turn, inflated or flat, with ROI "
            "and values of the vertex under the pointer. One file, which needs no connection.",
        ),
    },
)
def plot_cortex(job: Job) -> None:
    """Draw one method's scores on the cortical surface, mean over subjects."""
    from cortune.report.cortex import plot_cortex as plot

    places = {path: Address.parse(path) for path in job.inputs("responses")}
    plot(
        job.input.voxels,
        {(place.subject, place.hemisphere): path for path, place in places.items()},
        job.output.figure,
        job.output.interactive,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
        method=job.facts["method"],
        surface=job.facts["surface"] or job.config.cortex.surface,
    )


def _is_simulated(project: Project, address: Address) -> bool:
    return project.is_simulated(project.dataset)


@stage(
    number=2,
    facts=_is_simulated,
    inputs={"table": From("tabulate_published", "table"), "encoding": ENCODING_TABLE},
    outputs={
        "figure": figure(
            "published.png",
            "Published",
            "Published accuracies beside this run's.",
            'Mean r under protocol "published" (bars: mean over the ROIs of a subject, then '
            "over subjects; points: subjects; open: Mulrooney & Brockmeier 2024; filled: this "
            "run) and its paired gain over the untuned network.",
        )
    },
)
def plot_published(job: Job) -> None:
    """Draw the published accuracies beside this run's."""
    from cortune.report.published import plot_published as plot

    plot(
        job.input.table,
        job.input.encoding,
        job.output.figure,
        job.provenance(),
        simulated=job.facts,
    )


@stage(
    number=1,
    inputs={"table": From("tabulate_size_curve", "table")},
    outputs={
        "figure": figure(
            "size_curve.png",
            "Size curve",
            "Accuracy by number of images fitted on.",
            "Mean r on the test images against the number of images that encoding models are "
            "fitted on (lines: mean over subjects; bands: their range; last point: all images "
            'of each subject). {{ "No network saw these images" if config["split"]["fit"] else '
            '"Tuned networks saw these images in tuning, as in the paper" }}.',
        )
    },
    when=_has_curves,
)
def plot_size_curve(job: Job) -> None:
    """Draw accuracy by number of images."""
    from cortune.report.curves import plot_size_curve as plot

    plot(job.input.table, job.output.figure, job.provenance())
