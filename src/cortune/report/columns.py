"""Columns of the tables in ``results/latest/tables`` and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """A table.

    Parameters
    ----------
    row : str
        What a row is of.
    columns : tuple of str
        In their order.
    about : str
        What a reader has to know beside the columns.
    own : mapping of str to str
        Meanings of columns that differ from :data:`MEANINGS`.
    """

    row: str
    columns: tuple[str, ...]
    about: str = ""
    own: Mapping[str, str] = field(default_factory=dict)

    def meaning(self, column: str) -> str:
        """Return what a column holds."""
        return self.own.get(column) or MEANINGS[column]


_UNIT = ("dataset", "subject", "hemisphere", "roi", "method")
_SCORES = (
    "layer",
    "n_voxels",
    "n_images_fit",
    "n_images_scored",
    "r_mean",
    "r_median",
    "r2_mean",
    "ceiling_r_mean",
    "nnr2_mean",
    "r_ci_low",
    "r_ci_high",
)
_TRANSFER = (
    "layer",
    "n_voxels",
    "n_images_fit",
    "n_images_scored",
    "r_mean",
    "r_ci_low",
    "r_ci_high",
    "ceiling_r_mean",
    "r_untuned_mean",
    "r_diff_mean",
    "frac_voxels_better",
)
_REPLICATES = ("n_replicates", "r_sd_replicates")
_SOURCE = ("source_dataset", "source_subject", "target_dataset", "target_subject")

MEANINGS: dict[str, str] = {
    "dataset": "Name of the data set, as in the configuration.",
    "subject": "Subject, as in the configuration.",
    "hemisphere": "`lh` or `rh`.",
    "roi": "Region of interest, or stream.",
    "method": "How the network was tuned (`tuning.methods`).",
    "protocol": "How encoding models are fitted, selected and scored (`encoding.protocols`).",
    "model": "Name of the network; `untuned` for the backbone.",
    "layer": "Layer of the network whose features predict the responses.",
    "n_voxels": "Voxels of the ROI (vertices, on the surface).",
    "n_images_fit": "Images that a fold's model is fitted on.",
    "n_images_scored": "Images that score the models, over all folds.",
    "split": "What decides the test images (`split.by`).",
    "n_images": "Images that count.",
    "r_mean": "Mean over voxels of Pearson's r, itself a mean over folds.",
    "r_median": "Median over voxels of r.",
    "r2_mean": "Mean over voxels of r squared.",
    "ceiling_r_mean": "Mean over voxels of the highest r that a perfect model would reach, √NC; "
    "empty where no ceiling is known.",
    "nnr2_mean": "Mean over voxels of the noise-normalised score, sign(r) r²/NC, without voxels "
    "below `encoding.min_noise_ceiling`.",
    "r_ci_low": "Lower end of the 95 % interval of `r_mean`. It is for the population accuracy of "
    "the models that were fitted and held it in 93 to 97 of 100 simulated cases, in as few as 89 "
    "where a few components of the features carry all ([measured](../statistics.md)); under "
    "`published`, which chooses by its own scores, it says only how "
    "far other scored images would move `r_mean`.",
    "r_ci_high": "Its upper end.",
    "replicate": "Which of the networks of its unit and method, from 0 (`tuning.replicates`).",
    "n_replicates": "Networks that the row's numbers are means over (`tuning.replicates`). Ends of "
    "intervals are means of the networks' own, too: such an interval is about images, for the mean "
    "of these networks, at least as wide as it need be (sd of a mean ≤ mean of sds), and does not "
    "tell how other networks would do.",
    "r_sd_replicates": "Standard deviation of `r_mean` over them; empty for one.",
    "ci_low": "Lower end of the 95 % interval.",
    "ci_high": "Its upper end.",
    "p_value": "Two-sided p, by flipping signs of subjects: exact for effects that are symmetric "
    "around their mean ([measured](../statistics.md)). Empty where no p of so many subjects is "
    "below .05.",
    "p_least": "The smallest p that so many subjects can give, 2^(1 − n_subjects).",
    "n_subjects": "Subjects.",
    "source_dataset": "Data set that the network was tuned on.",
    "source_subject": "Subject that it was tuned to; `others` for `pooled_loso`, `pooled` for "
    "networks of all subjects.",
    "target_dataset": "Data set that it is tried on.",
    "target_subject": "Subject whose voxels are predicted.",
    "target_roi": "ROI of the target whose voxels are predicted.",
    "r_untuned_mean": "`r_mean` of the same voxels from the untuned network.",
    "r_diff_mean": "`r_mean` less `r_untuned_mean`.",
    "frac_voxels_better": "Share of voxels with a higher r, in the mean over replicates, than from "
    "the untuned network.",
    "probe": "Name of the probe, as in the configuration.",
    "explained_stress": "1 − √(1 − Σ λ²/‖W‖²) over the axes shown, for inPCA; one minus the "
    "relative "
    "stress for MDS; empty for UMAP.",
    "level": "`group` of ROIs, or `roi`.",
    "group": "`early` (V1v to hV4), `higher` or `all`; or the ROI, where `level` is `roi`.",
}

_ENCODING = (*_UNIT, "protocol", "split", *_SCORES)
TABLES: dict[str, Table] = {
    "encoding.csv": Table(
        "subject, hemisphere, ROI, method and protocol",
        (*_ENCODING, *_REPLICATES),
        own={
            "layer": "The layer that most folds chose, of the first network; `all` under "
            "`all_layers`.",
        },
    ),
    "encoding_replicates.csv": Table(
        "network, subject, hemisphere, ROI and protocol",
        (*_UNIT, "protocol", "replicate", "split", *_SCORES),
        "What `encoding.csv` has means of.",
        own={
            "layer": "The layer that most folds chose; `all` under `all_layers`.",
        },
    ),
    "encoding_layers.csv": Table(
        "subject, hemisphere, ROI, method, protocol and layer",
        (*_UNIT, "protocol", "layer", "split", *_SCORES[1:], *_REPLICATES),
        "As `encoding.csv`, with the layer held fixed.",
        own={"layer": "The layer."},
    ),
    "encoding_voxels.parquet": Table(
        "subject, hemisphere, ROI, method, protocol and voxel",
        (*_UNIT, "protocol", "vertex", "layer", "alpha", "r", "ceiling_r", "nnr2", *_REPLICATES),
        "A voxel of several ROIs has a row for each. Numbers are means over replicates.",
        own={
            "vertex": "Position of the voxel in the hemisphere's responses, as distributed.",
            "layer": "The layer that most folds chose for the ROI, of the first network.",
            "alpha": "Median over folds of the ridge penalty chosen for the voxel.",
            "r": "Mean over folds of Pearson's r; empty where the response is constant.",
            "ceiling_r": "The highest r that a perfect model would reach, √NC; empty if unknown.",
            "nnr2": "sign(r) r²/NC; empty where NC is unknown or below "
            "`encoding.min_noise_ceiling`.",
            "r_sd_replicates": "Standard deviation of `r` over the networks; empty for one.",
        },
    ),
    "comparison.csv": Table(
        "pair of methods and group of ROIs, or ROI",
        (
            *("level", "group", "method_a", "method_b", "recipes", "n_units", "n_subjects"),
            *("r_diff_mean", "ci_low", "ci_high", "p_value", "p_least", "q_value"),
            "frac_voxels_a_better",
        ),
        "Paired over units of one protocol, the first of `encoding.protocols`; a unit is one ROI "
        "of one hemisphere of one subject, and its score the mean over replicates. Subjects are "
        "what is resampled and flipped.",
        own={
            "method_a": "The later of two methods in the configuration.",
            "method_b": "The earlier.",
            "recipes": "`matched` where both follow one recipe, as `contrastive_plus` and "
            "`regression_plus` do: they differ by the loss, or by the subjects pooled. "
            "`unmatched` where optimizer, rate and passes differ as well, as those of the "
            "published `contrastive` and `regression` do: such a pair compares recipes, not "
            "losses. Empty beside a method that tunes nothing.",
            "n_units": "Units that have both.",
            "n_subjects": "Their subjects.",
            "r_diff_mean": "Mean r of `method_a` less that of `method_b`, over units within a "
            "subject, then over subjects.",
            "ci_low": "Lower end of the 95 % interval over subjects, by a small-sample bootstrap; "
            "empty for one subject.",
            "q_value": "False discovery rate over the ROIs of the pair; empty for groups.",
            "frac_voxels_a_better": "Share of voxels with a higher r under `method_a`; ties do not "
            "count.",
        },
    ),
    "published.csv": Table(
        "group of ROIs and method",
        (
            *("group", "method", "r_published", "r_published_matched", "r_here"),
            *("n_units_published", "n_units_matched", "n_units_here"),
            *("n_subjects_published", "n_subjects_matched", "n_subjects_here"),
        ),
        "The published side is eight subjects of NSD; this run's side is protocol `published`, so "
        "`r_here` is empty where that was not asked for. Both are means over ROIs and hemispheres "
        "of a subject, then over subjects.",
        own={
            "r_published": "Mean r in the published results; empty where they have no such method.",
            "r_published_matched": "The same over just the subjects (by number), hemispheres and "
            "ROIs that this run has: what `r_here` is to be compared with.",
            "r_here": "Mean r of this run.",
            "n_units_published": "Units behind `r_published`.",
            "n_units_matched": "Units behind `r_published_matched`.",
            "n_subjects_matched": "Subjects behind `r_published_matched`.",
            "n_units_here": "Units behind `r_here`.",
            "n_subjects_published": "Subjects behind `r_published`.",
            "n_subjects_here": "Subjects behind `r_here`.",
        },
    ),
    "size_curve.csv": Table(
        "subject, hemisphere, ROI, method and number of images fitted on",
        (
            *(*_UNIT, "n_images_fit", "split", "n_images_scored"),
            *("r_mean", "r_ci_low", "r_ci_high", *_REPLICATES),
        ),
        "Has rows where `encoding.size_curve.sizes` was given. Fitted on images of `split.fit`, "
        "or on tuning images where there are none; scored on the test images.",
        own={"n_images_fit": "Images that the model is fitted on."},
    ),
    "variance_partition.csv": Table(
        "subject, hemisphere, ROI, method and layer",
        (*_UNIT, "layer", "r2_mean", "n_replicates", "r2_sd_replicates"),
        "Has rows under the protocol `all_layers`. The parts of a unit add up to the R² of all its "
        "layers together.",
        own={
            "layer": "The layer.",
            "r2_mean": "Mean over voxels of the layer's part of the held-out R²; it may be "
            "negative.",
            "r2_sd_replicates": "Standard deviation of `r2_mean` over them; empty for one.",
        },
    ),
    "information.csv": Table(
        "subject, hemisphere, ROI and method with a contrastive head",
        (
            *(*_UNIT, "split", "mi_lower_bound_nats", "temperature", "log_k", "n_images"),
            *("mi_fixed_temperature_nats", "fixed_temperature"),
            *("n_replicates", "mi_sd_replicates"),
        ),
        own={
            "mi_fixed_temperature_nats": "The bound as published: of all test images together, at "
            "the temperature of the section `contrastive`, not one that suits the network.",
            "fixed_temperature": "That temperature.",
            "mi_sd_replicates": "Standard deviation of the bound over them; empty for one.",
            "mi_lower_bound_nats": "Lower bound on the mutual information of image and response, "
            "on "
            "test images, in nats; below zero it says nothing.",
            "temperature": "Geometric mean of the temperatures fitted on the two halves.",
            "log_k": "The most that the bound can say: log of the images in a half.",
            "n_images": "Test images of both halves.",
        },
    ),
    "transfer_subjects.csv": Table(
        "source, other subject of its data set and method",
        (*_SOURCE, "hemisphere", "roi", "method", *_TRANSFER, *_REPLICATES, "split"),
        "Has rows where `transfer.subjects` is true.",
        own={"roi": "ROI that the network was tuned to and is tried on."},
    ),
    "transfer_datasets.csv": Table(
        "source, method, and subject and ROI of another data set",
        (*_SOURCE, "hemisphere", "roi", "target_roi", "method", *_TRANSFER, *_REPLICATES),
        "Has rows where `transfer.datasets` was given. Models are fitted and scored on all images "
        "of the target that no network was tuned on.",
        own={"roi": "ROI that the network was tuned to."},
    ),
    "probes.csv": Table(
        "probe and network",
        (
            *("probe", "model", *_UNIT, "replicate", "layer", "n_classes", "n_train", "n_test"),
            *("accuracy", "ci_low", "ci_high", "penalty", "n_iter", "converged"),
        ),
        "What a network was tuned to is empty where it does not apply.",
        own={
            "layer": "The layer that is classified.",
            "n_classes": "Classes of the probe's images; chance is one over this.",
            "n_train": "Images that the classifier is fitted on.",
            "n_test": "Images that it is scored on.",
            "accuracy": "Share of test images classified correctly.",
            "ci_low": "Lower end of Wilson's 95 % interval.",
            "penalty": "L2 penalty: of `probes.<name>.penalties` the one with the lowest log loss "
            "in cross-validation over the images fitted on.",
            "n_iter": "Iterations of the fit.",
            "converged": "Whether the fit ended before `probes.<name>.max_iter`.",
        },
    ),
    "dissimilarity.csv": Table(
        "two networks",
        ("model_a", "model_b", "distance"),
        "Each pair once. `truth` (one-hot) and `ignorance` (uniform) are among the models.",
        own={
            "model_a": "Name of a network.",
            "model_b": "Name of another.",
            "distance": "Bhattacharyya dissimilarity of their class probabilities on the probes' "
            "test images, mean over images and probes, in nats.",
        },
    ),
    "landscape.csv": Table(
        "network and space",
        (
            *("model", "subject", "hemisphere", "roi", "method", "replicate", "space"),
            *("axis_1", "axis_2", "axis_3", "explained_stress", "imaginary_axes"),
        ),
        own={
            "space": "`inpca`, `mds` or `umap`.",
            "axis_1": "Coordinate on the first axis.",
            "axis_2": "On the second.",
            "axis_3": "On the third.",
            "imaginary_axes": "Axes with a negative eigenvalue: being apart along them means being "
            "closer.",
        },
    ),
    "landscape_axes.csv": Table(
        "axis of inPCA",
        ("axis", "eigenvalue", "kind", "explained_stress"),
        own={
            "axis": "Its number, in order of the size of the eigenvalue.",
            "eigenvalue": "λ, with its sign.",
            "kind": "`real` or `imaginary`.",
            "explained_stress": "That of this axis and those before it.",
        },
    ),
    "landscape_tests.csv": Table(
        "factor: `roi`, `hemisphere`, `subject`, `method`",
        (
            *("factor", "statistic", "null_mean", "p_value", "p_least", "n_permutations"),
            *("n_models", "n_subjects", "held_fixed", "n_arrangements", "reason"),
        ),
        "Whether networks with the same label lie closer than networks with different ones. Tests "
        "of ROI, hemisphere and method exchange the labels of whole subjects.",
        own={
            "factor": "The label.",
            "statistic": "Mean dissimilarity within labels less that between them.",
            "null_mean": "Its mean over the permutations.",
            "p_value": "One-sided p, by permuting labels; empty where none is below .05.",
            "p_least": "The smallest p that so many arrangements can give.",
            "n_permutations": "Permutations drawn.",
            "n_models": "Networks that enter.",
            "held_fixed": "What stays the same.",
            "n_subjects": "Their subjects.",
            "n_arrangements": "Arrangements of the labels that differ by more than names.",
            "reason": "Why there is no test, where there is none.",
        },
    ),
    "lateralization.csv": Table(
        "network",
        (
            *("model", *_UNIT, "replicate"),
            *("li_mean", "ci_low", "ci_high", "p_value"),
            *("n_images", "n_empty", "li_vs_untuned", "vs_untuned_ci_low", "vs_untuned_ci_high"),
            "r_randomised",
        ),
        "LI = (right − left)/(right + left) of a saliency map, averaged over each image and its "
        "mirror image; positive is right. Interval and p are over images: they speak of this "
        "network and these images. Networks of other seeds of the same unit differ by more than "
        "images do, so nothing here is a test of a method, a hemisphere or a subject; that is "
        "`lateralization_tests.csv`.",
        own={
            "li_mean": "Mean LI over images.",
            "ci_low": "Lower end of its 95 % interval, by a bootstrap over images.",
            "p_value": "Two-sided p of a mean of zero over images, by flipping their signs: of "
            "this network and these images alone.",
            "n_images": "Images with a map.",
            "n_empty": "Images whose map, or whose mirror image's, is all zero.",
            "li_vs_untuned": "Mean over images of LI less the untuned network's.",
            "vs_untuned_ci_low": "Lower end of its 95 % interval.",
            "vs_untuned_ci_high": "Its upper end.",
            "r_randomised": "Mean rank correlation of the maps with those of the same network "
            "under "
            "random weights: near 1, the maps would say nothing of what was learnt.",
        },
    ),
    "lateralization_tests.csv": Table(
        "method, and ROI or group of ROIs",
        (
            *("level", "group", "method", "n_subjects", "n_pairs", "n_replicates"),
            *("li_diff_mean", "ci_low", "ci_high", "p_value", "p_least", "q_value"),
        ),
        "LI of networks of the left hemisphere less LI of those of the right one, paired by "
        "subject, ROI and method, each the mean over replicates. Subjects are what is resampled "
        "and whose hemispheres are exchanged.",
        own={
            "n_pairs": "Pairs of networks, or of means over replicates.",
            "n_replicates": "Networks of a side of the pair that has the fewest.",
            "li_diff_mean": "Mean difference, left less right, within subjects and then over them; "
            "above zero as expected of contralateral visual fields.",
            "q_value": "False discovery rate over the ROIs of the method; empty for groups.",
        },
    ),
    "encoders.csv": Table(
        "encoder and ROI",
        (
            *(*_UNIT, "replicate", "layer", "n_voxels", "fit", "n_images_fit"),
            *("r_mean", "r_ci_low", "r_ci_high", "ceiling_r_mean"),
            *("dtype", "dtype_loss", "megabytes"),
        ),
        own={
            "replicate": "Of the network; encoders are made of the first, 0.",
            "layer": "The layer that all of the ROI's voxels are predicted from.",
            "fit": "`export.fit`.",
            "n_images_fit": "Images that the map is fitted on.",
            "r_mean": "Mean over voxels of Pearson's r by nested cross-validation in the images "
            "that the map is fitted on; empty with `all`.",
            "dtype": "`export.dtype`.",
            "dtype_loss": "RMS change of predictions by it over their RMS; the most of the "
            "encoder's ROIs.",
            "megabytes": "Of the encoder's map, all of its ROIs together.",
        },
    ),
    "similarity.csv": Table(
        "unit, method, layer and measure",
        (
            *(*_UNIT, "layer", "measure", "value", "ceiling", "ceiling_repeats"),
            *("ci_low", "ci_high", "n_images", "n_replicates", "value_sd_replicates"),
        ),
        "How alike a layer's features and an ROI's responses relate test images to each other; "
        "nothing is fitted.",
        own={
            "layer": "Layer of the network.",
            "measure": "`cka`: debiased linear CKA; `rsa`: Spearman correlation of "
            "correlation distances.",
            "value": "Similarity, at most 1; mean over replicates.",
            "ceiling": "A lower bound on what a perfect model could reach: the similarity of the "
            "subject's responses with the mean of the other subjects', over the test images that "
            "all saw; empty with one subject or fewer than 20 such images.",
            "ceiling_repeats": "How alike noiseless responses and the measured ones are, from "
            "split halves of repeats; of CKA without bias, of RSA a lower bound. Raw NSD alone "
            "keeps repeats: empty for other layouts, for `whole`, and below 20 repeated test "
            "images.",
            "ci_low": "Lower end of the 95 % interval over images, of this network and ROI; mean "
            "over replicates.",
            "n_images": "Test images compared.",
            "value_sd_replicates": "Standard deviation of the value over replicates; empty at one.",
        },
    ),
    "similarity_networks.csv": Table(
        "pair of networks of a subject, layer and measure",
        ("dataset", "subject", "a", "b", "layer", "measure", "value"),
        "How alike two networks relate the subject's test images, by the same layer.",
        own={
            "a": "One network: method, subject, hemisphere and ROI.",
            "b": "Another.",
            "layer": "Layer of both.",
            "measure": "As in similarity.csv.",
            "value": "Similarity, at most 1.",
        },
    ),
    "skipped.csv": Table(
        "unit, or part of one, that was left out",
        ("dataset", "subject", "hemisphere", "roi", "reason", "method", "protocol"),
        own={
            "reason": "Why.",
            "method": "The method, where only its score is incomplete.",
            "protocol": "The protocol, likewise.",
        },
    ),
}
