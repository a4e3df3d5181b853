"""Files that each stage makes, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Artifact:
    """A file, or folder of files, that a stage makes.

    Parameters
    ----------
    path : str
        In the folder of the version, with the wildcards of the rule.
    about : str
    holds : mapping of str to str
        Datasets of an HDF5 file (attributes with ``@``), columns of a CSV or keys of a JSON
        file, with their meanings. Names in angle brackets stand for several.
    inside : str, optional
        The file inside, where `path` is a folder of a job's networks.
    """

    path: str
    about: str
    holds: Mapping[str, str] = field(default_factory=dict)
    inside: str = ""


_UNIT = "sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}"
_IDENTITIES = "Identity of each image: `coco:…` where known, else `nsd:…`, or the stimulus's name."
_ENCODING = {
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
    "interval": "(2) 95 % interval of the mean of r over voxels.",
    "interval_layers": "(L, 2) The same by layer.",
}
_LABEL = {
    "@model": "Name of the network.",
    "@dataset": "What it was tuned on; empty where that does not apply.",
    "@subject": "",
    "@hemisphere": "",
    "@roi": "",
    "@method": "How it was tuned.",
    "@probe": "Name of the probe.",
}
_HISTORY = {
    "epoch": "From 1.",
    "loss": "Mean over batches.",
    "validation_<measure>": "Of the network on validation images: of contrastive methods the "
    "InfoNCE "
    "bound in nats (`bound_nats`) and the most it can say (`log_k`), of regression the squared "
    "error "
    "(`mse`) and mean r (`r`).",
    "temperature": "Of contrastive methods, fixed or learned.",
}
_EMBEDDINGS = {
    "<subject>/identities": _IDENTITIES,
    "<subject>/image_z": "(n, z) Embedding of each test image.",
    "<subject>/response_z": "(n, z) Embedding of the response to it.",
    "<subject>/tuned_on": "Identities that the network was tuned on or selected by.",
}
_NETWORK = (
    "Weights, `backbone.…` and `head.…`; in the metadata the model's name, number of classes, and "
    "the "
    "identities of the images it was tuned on or selected by."
)
_SIMULATED = "(what the simulator knows; no analysis stage reads it)"


def _inside(group: str, holds: Mapping[str, str]) -> dict[str, str]:
    """Return what lies in an HDF5 group: attributes are written ``group@name``."""
    return {
        f"{group}{name}" if name.startswith("@") else f"{group}/{name}": meaning
        for name, meaning in holds.items()
    }


def _table(name: str) -> Artifact:
    return Artifact(name, f"see [tables](tables.md#{name.replace('.', '')}).")


def _figures(*names: str) -> tuple[Artifact, ...]:
    return tuple(Artifact(name, FIGURES[name]) for name in names)


FIGURES: dict[str, str] = {
    "encoding_by_roi.png": "Accuracy by ROI and method, with noise ceilings.",
    "encoding_by_layer.png": "Accuracy by layer.",
    "encoding_by_voxel.png": "Tuned against untuned, voxel by voxel.",
    "encoding_by_protocol.png": "The other protocols against `heldout_cv`.",
    "cortex.png": "Accuracy on the inflated cortical surface.",
    "published.png": "Published accuracies beside this run's.",
    "size_curve.png": "Accuracy by number of images fitted on.",
    "information_by_roi.png": "Bound on the information between images and responses.",
    "transfer_subjects.png": "Transfer between subjects.",
    "transfer_datasets.png": "Transfer to other data sets.",
    "training_curves.png": "Loss and validation measure by epoch.",
    "probe_accuracy.png": "Classification accuracy by ROI and method.",
    "encoding_gain_against_forgetting.png": "What tuning gains against what it forgets.",
    "landscape_inpca.png": "Networks on the first axes of inPCA, with truth and ignorance.",
    "landscape_spaces.png": "The same in the other spaces.",
    "landscape_clusters.png": "Dissimilarities, clustered.",
    "saliency_maps.png": "Mean saliency maps by hemisphere.",
    "laterality.png": "Laterality index by ROI and hemisphere.",
    "laterality_distributions.png": "Laterality index over images.",
    "saliency_examples.png": "Maps of single images.",
}

ARTIFACTS: dict[str, tuple[Artifact, ...]] = {
    "simulate_dataset": (
        Artifact("algonauts2023/{subject}", "a subject in the layout `algonauts2023`."),
        Artifact("algonauts2023-truth/{subject}", f"`lh.h5`, `rh.h5` {_SIMULATED}."),
        Artifact("algonauts2023-{subject}.json", "provenance."),
        Artifact("nsd/nsddata_betas/ppdata/{subject}", "a subject's sessions, layout `nsd`."),
        Artifact("nsd/nsddata/freesurfer/{subject}", "its labels."),
        Artifact("nsd-truth/{subject}", f"`lh.h5`, `rh.h5` {_SIMULATED}."),
        Artifact("nsd-{subject}.json", "provenance."),
        Artifact("nod/sub-{number}", "a subject's events, layout `nod`."),
        Artifact("nod/derivatives/ciftify/sub-{number}", "its responses (CIFTI-2)."),
        Artifact("nod-truth/sub{number}", f"`lh.h5`, `rh.h5` {_SIMULATED}."),
        Artifact("nod-sub{number}.json", "provenance."),
        Artifact(
            "{layout}-shared.json",
            "provenance of what subjects share: pictures, design, atlas, beside it in the layout.",
        ),
    ),
    "prepare_images": (
        Artifact(
            "sub-{subject}/images.npy",
            "(n, s, s, 3) uint8, the pictures decoded and resized, each identity once.",
        ),
        Artifact(
            "sub-{subject}/index.csv",
            "a row per row of `images.npy`.",
            {"identity": _IDENTITIES, "file": "The picture, in the data set's folder."},
        ),
    ),
    "prepare_responses": (
        Artifact(
            "sub-{subject}/hemi-{hemisphere}/responses.h5",
            "responses of all voxels that belong to an ROI.",
            {
                "responses": "(n, V) float32.",
                "identities": _IDENTITIES,
                "vertices": "(V) Positions in the hemisphere's responses, as distributed.",
                "mesh_vertices": "(V) Vertices of the surface mesh; −1 where there is none.",
                "noise_ceiling": "(V) Share of variance that can be explained; NaN where unknown.",
                "constant": "(V) Whether all responses are equal.",
                "rois/<roi>": "Columns of the ROI.",
            },
        ),
    ),
    "split_images": (
        Artifact(
            "sub-{subject}/split.csv",
            "a row per row of `images.npy`.",
            {"identity": _IDENTITIES, "set": "`tune`, `validation` or `test`."},
        ),
    ),
    "prepare_backbone": (Artifact("network.safetensors", _NETWORK),),
    "pretrain_backbone": (
        Artifact("network.safetensors", _NETWORK),
        Artifact("history.csv", "a row per epoch.", _HISTORY),
        Artifact(
            "accuracy.json",
            "how well it classifies scenes that it was not trained on.",
            {
                "accuracy": "Share of them classified correctly.",
                "chance": "One over the number of classes.",
                "n_test": "How many there are.",
                "provenance": "As in other artifacts.",
            },
        ),
    ),
    "tune_network": (
        Artifact(f"{_UNIT}/network.safetensors", _NETWORK),
        Artifact(f"{_UNIT}/history.csv", "a row per epoch.", _HISTORY),
        Artifact(
            f"{_UNIT}/embeddings.h5",
            "what a contrastive head makes of test images; empty for regression. The subject is "
            "called `one`.",
            _EMBEDDINGS,
        ),
    ),
    "tune_pooled": (
        Artifact("{pool}/method-{method}/network.safetensors", _NETWORK),
        Artifact("{pool}/method-{method}/history.csv", "a row per epoch.", _HISTORY),
        Artifact(
            "{pool}/method-{method}/embeddings.h5",
            "what the head makes of each subject's test images.",
            _EMBEDDINGS,
        ),
    ),
    "extract_features": (
        Artifact(
            "{owner}/method-{method}/grams.h5",
            "inner products of the images' features, which are all that encoding models need.",
            {
                "@layers": "Names of the layers.",
                "identities": _IDENTITIES,
                "sets": "Set of each image.",
                "tuned_on": "Identities that the network was tuned on or selected by.",
                "layers/<layer>": "(n, n) float32, of centred features.",
                "layers/<layer>@n_features": "Features of the layer.",
            },
        ),
    ),
    "encode_roi": (
        Artifact(
            f"{_UNIT}/encoding.h5",
            "encoding models of a unit, a group per protocol.",
            {
                **_inside("<protocol>", _ENCODING),
                "variance_partition@layers": "Names of the layers, under `all_layers`.",
                "variance_partition/r2": "(L, V) Each layer's part of the R² of all together.",
            },
        ),
    ),
    "fit_size_curve": (
        Artifact(
            f"{_UNIT}/size_curve.h5",
            "encoding models fitted on more and more tuning images, a group per number of images.",
            _inside("<n>", _ENCODING),
        ),
    ),
    "transfer_subject": (
        Artifact(
            "{owner}/method-{method}/transfer.h5",
            "encoding models of other subjects on this network's features.",
            _inside("<subject>/<roi>", _ENCODING),
        ),
    ),
    "transfer_dataset": (
        Artifact(
            "to-{target}/{source}/method-{method}/transfer.h5",
            "encoding models of another data set's subjects on this network's features.",
            _inside("<subject>/<roi>", _ENCODING),
        ),
    ),
    "bound_information": (_table("information.csv"),),
    "prepare_probe": (
        Artifact("probe-{probe}/images.npy", "(n, s, s, 3) uint8, the labelled pictures."),
        Artifact(
            "probe-{probe}/index.csv",
            "a row per row of `images.npy`.",
            {
                "image": "The picture.",
                "label": "Number of its class.",
                "class": "Name of its class.",
                "set": "`train` or `test`.",
            },
        ),
    ),
    "probe_network": (
        Artifact(
            "probe-{probe}/{networks}/method-{method}",
            "a `probe.h5` for each network.",
            {
                **_LABEL,
                "@layer": "The layer that is classified.",
                "@n_train": "Images that the classifier is fitted on.",
                "@n_iter": "Iterations of the fit.",
                "@converged": "Whether it ended before `max_iter`.",
                "classes": "Names of the C classes.",
                "weights": "(C, features) Of the features as they are: standardisation is folded "
                "in.",
                "bias": "(C)",
                "probabilities": "(n, C) Of the classes, on test images.",
                "labels": "(n) Their classes.",
                "test_rows": "(n) Their rows in the probe's `images.npy`.",
            },
            inside="probe.h5",
        ),
    ),
    "map_saliency": (
        Artifact(
            "{networks}/method-{method}",
            "a `saliency.h5` for each network.",
            {
                **_LABEL,
                "@layer": "The layer that is looked at.",
                "@attribution": "How (`saliency.attribution`).",
                "@n_empty": "Images whose map, or whose mirror image's, is all zero.",
                "rows": "(n) Rows of the images in the probe's `images.npy`.",
                "li_image": "(n) Laterality index of each image; NaN where its map is zero.",
                "li_mirror": "(n) Of its mirror image, in its own coordinates.",
                "mean_map": "(s, s) Mean over images and mirror images of maps that sum to 1.",
                "examples": "(8, s, s) Maps of the first images.",
                "r_randomised": "Rank correlation of each of some maps with that under random "
                "weights.",
            },
            inside="saliency.h5",
        ),
    ),
    "tabulate_encoding": (
        _table("encoding.csv"),
        _table("encoding_layers.csv"),
        _table("encoding_voxels.parquet"),
        _table("variance_partition.csv"),
        _table("skipped.csv"),
    ),
    "tabulate_comparison": (_table("comparison.csv"),),
    "tabulate_published": (_table("published.csv"),),
    "tabulate_size_curve": (_table("size_curve.csv"),),
    "tabulate_transfer": (_table("transfer_subjects.csv"), _table("transfer_datasets.csv")),
    "tabulate_probes": (_table("probes.csv"),),
    "tabulate_lateralization": (_table("lateralization.csv"), _table("lateralization_tests.csv")),
    "embed_networks": (
        _table("dissimilarity.csv"),
        _table("landscape.csv"),
        _table("landscape_axes.csv"),
        _table("landscape_tests.csv"),
    ),
    "plot_encoding": _figures(
        "encoding_by_roi.png",
        "encoding_by_layer.png",
        "encoding_by_voxel.png",
        "encoding_by_protocol.png",
    ),
    "plot_cortex": _figures("cortex.png"),
    "plot_published": _figures("published.png"),
    "plot_size_curve": _figures("size_curve.png"),
    "plot_information": _figures("information_by_roi.png"),
    "plot_transfer": _figures("transfer_subjects.png", "transfer_datasets.png"),
    "plot_tuning": _figures("training_curves.png"),
    "plot_probes": _figures("probe_accuracy.png"),
    "plot_forgetting": _figures("encoding_gain_against_forgetting.png"),
    "plot_landscape": _figures(
        "landscape_inpca.png", "landscape_spaces.png", "landscape_clusters.png"
    ),
    "plot_saliency": _figures(
        "saliency_maps.png",
        "laterality.png",
        "laterality_distributions.png",
        "saliency_examples.png",
    ),
}
"""By stage, in the order in which they run."""
