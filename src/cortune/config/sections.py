"""The sections of the configuration that belong to no stage's module, with what their keys mean.

Recipes of tuning methods are in :mod:`cortune.tuning.methods`, the backbone's section is in
:mod:`cortune.tuning.pretrain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_serializer

from cortune.networks.adapters import How
from cortune.section import (
    SIMULATED,
    Classes,
    Count,
    Distinct,
    OneOf,
    Positive,
    Section,
    Share,
    simulated,
)
from cortune.tuning.methods import METHODS

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[tuple(METHODS)]


def _layouts() -> Iterable[str]:
    from cortune.data import LAYOUTS

    return LAYOUTS


def _sources() -> Iterable[str]:
    from cortune.probes.sources import sources

    return sources()


Name = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]*$")]
Word = Annotated[str, Field(pattern="^[A-Za-z0-9]+$")]
Roi = Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")]
Vertices = Annotated[int, Field(ge=0)]
FULL = ("algonauts2023", "nsd")
"""Layouts that are simulated alike."""


def only(*layouts: str) -> Any:
    """Say that a key belongs to these layouts."""
    return Field(json_schema_extra={"x-layouts": list(layouts)})


def under(**defaults: Any) -> Any:
    """Give a key other defaults under some layouts."""
    return Field(json_schema_extra={"x-defaults": defaults})


class Simulate(Section):
    """Write this data set with the simulator first: a brain with known ground truth.

    It is in the layout of the real data. Absent for real data. Defaults in brackets are those of
    `nod`.
    """

    n_images: Annotated[int, Field(ge=20, le=SIMULATED["n_images"][1]), under(nod=4000)] = 9841
    """Images with responses per subject (shared ones included)."""
    n_shared: Annotated[int, simulated("n_shared"), only(*FULL)] = 1000
    """Images that every subject sees."""
    n_test_images: Annotated[int, simulated("n_test_images"), only(*FULL)] = 159
    """Pictures of the challenge's test split (they have no responses)."""
    image_size: Annotated[int, simulated("image_size"), under(nod=400)] = 425
    """Width and height of the pictures in pixels."""
    n_classes: Classes = 20
    """Object classes in the scenes."""
    n_repeats: Annotated[int, simulated("n_repeats"), only(*FULL)] = 3
    """Trials per image; they are averaged."""
    ncsnr: Annotated[float, simulated("ncsnr"), under(nod=0.25)] = 0.43
    """Median signal-to-noise ratio of a voxel in one trial (NSD at 7T is about 0.43)."""
    noise_correlation: Annotated[float, simulated("noise_correlation")] = 0.2
    """Correlation of the noise between voxels of an ROI."""
    tuning_correlation: Annotated[float, simulated("tuning_correlation")] = 0.8
    """How much subjects share their voxels' tuning (0 is not at all)."""
    null_fraction: Annotated[float, simulated("null_fraction")] = 0.03
    """Share of voxels without any signal."""
    mirrored: Annotated[bool, only(*FULL)] = False
    """Write every picture mirrored left to right, with the responses to the picture as it was. A
    control: whatever follows from the sides of the visual field must change sides."""
    volume: Annotated[bool, only("nsd")] = False
    """Write the functional volume, too, which `space: func1pt8mm` reads."""
    n_coco: Annotated[int, simulated("n_coco"), only("nod")] = 0
    """How many of the images are scenes that a simulated NSD may show too (COCO images)."""
    run_trials: Annotated[int, simulated("run_trials"), only("nod")] = 100
    """Trials per run."""
    session_runs: Annotated[int, simulated("session_runs"), only("nod")] = 10
    """Runs per session."""
    smoothing_mm: Annotated[float, simulated("smoothing_mm"), only("nod")] = 4.0
    """Smoothness of the noise along the cortex (full width at half maximum)."""
    vertices: Annotated[dict[Roi, Vertices | dict[str, Vertices]], only(*FULL)] = Field(
        default_factory=dict
    )
    """Vertices per ROI: a number for both hemispheres, or `{lh: 0, rh: 120}`; 0 makes an empty
    ROI. Default is NSD-like sizes."""
    masks: Annotated[str | None, only(*FULL)] = None
    """A real subject's folder (the one that holds `roi_masks`); its ROIs replace `vertices`."""
    images: Annotated[str | None, only(*FULL)] = None
    """Folder of your own photographs to use as stimuli instead of simulated scenes. Every subject
    sees all of them, and `n_images` and `n_shared` do not apply."""

    @classmethod
    def defaults(cls, layout: str) -> dict[str, Any]:
        """Return the defaults of a layout's keys."""
        return {
            key: _extra(cls, key).get("x-defaults", {}).get(layout, field.default)
            for key, field in cls.model_fields.items()
            if layout in layouts_of(cls, key, layout) and field.default_factory is None
        }

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        """Yield the keys of the data set's layout, which are those set, with their values."""
        return ((key, value) for key, value in super().__iter__() if key in self.model_fields_set)

    @model_serializer
    def _plain(self) -> dict[str, Any]:
        return dict(self)


class Dataset(Section):
    """One data set: where it is and what of it is analysed."""

    layout: Annotated[str, OneOf(_layouts)]
    """On-disk layout; `nsd` is raw NSD, `nod` is OpenNeuro ds004496. See `cortune check` for the
    exact tree expected."""
    root: str | None = None
    """Folder as distributed (the paper's own tree is read too). Leave it out when `simulate` is
    given: the simulator then writes to a versioned folder under `results/`."""
    stim_info: str | None = None
    """`nsd_stim_info_merged.csv` of NSD, if at hand. Images are then identified by their COCO id,
    so that they are recognised in other data sets that use COCO."""
    subjects: Literal["all"] | Annotated[list[Word], Field(min_length=1), *Distinct] = "all"
    """Subjects to analyse, as a list, or `all`. Adding one recomputes no other's files."""
    rois: (
        Literal["all", "early", "higher"] | Annotated[list[Roi], Field(min_length=1), *Distinct]
    ) = "all"
    """ROIs to analyse: `all`, `early` (V1v to hV4), `higher` (bodies, faces, places, words), or a
    list of names. Inside a list, `early`, `ventral` and so on are the streams of that name, and
    `whole` is every vertex that has responses, for methods that need no network of its own."""
    space: Annotated[Literal["fsaverage", "func1pt8mm"], only("nsd")] = "fsaverage"
    """Space of raw NSD's betas, surface or 1.8-mm volume (layout `nsd` only)."""
    repeats: Annotated[Count, only("nsd")] = 1
    """Times an image must have been shown to be used (layout `nsd` only)."""
    top_vertices: Annotated[Count | None, only("nod")] = 50
    """Vertices of an ROI to keep in a hemisphere, those of the highest pRF R²; null keeps all
    (layout `nod` only)."""
    sessions: Annotated[list[str] | None, Field(min_length=1), only("nod")] = None
    """Sessions to read; null is every ImageNet session but `imagenet05`, which the data set's
    authors leave out (layout `nod` only)."""
    coco_of: Annotated[str | None, only("nod")] = None
    """CSV with columns `stim_file` and `cocoId` of stimuli that are COCO images but are not named
    so. They are then recognised in NSD (layout `nod` only)."""
    simulate: Simulate | None = None

    @field_validator("simulate", mode="before")
    @classmethod
    def _fill(cls, value: Any, info: ValidationInfo) -> Any:
        """Fill in the defaults of the layout, so that the keys set are the layout's."""
        layout = info.data.get("layout")
        if layout is None or not isinstance(value, dict):
            return value
        return {**Simulate.defaults(layout), **value}

    def foreign(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the keys given that belong to other layouts, with those layouts."""
        fields = Dataset.model_fields.items()
        given: list[tuple[type[Section], str, str]]
        given = [(Dataset, "", key) for key, item in fields if getattr(self, key) != item.default]
        given += [(Simulate, "simulate.", key) for key, _ in self.simulate or ()]
        for kind, prefix, key in given:
            if self.layout not in (layouts := layouts_of(kind, key, self.layout)):
                yield f"{prefix}{key}", layouts

    def reader_options(self) -> dict[str, Any]:
        """Return the options of the layout's reader."""
        own = [key for key in Dataset.model_fields if self.layout in layouts_of(Dataset, key, "")]
        return {key: getattr(self, key) for key in ("stim_info", *own)}


def layouts_of(kind: type[Section], key: str, layout: str) -> list[str]:
    """Return the layouts that a key belongs to; `layout` for a key of all."""
    found: list[str] = _extra(kind, key).get("x-layouts", [layout])
    return found


def _extra(kind: type[Section], key: str) -> dict[str, Any]:
    extra = kind.model_fields[key].json_schema_extra
    return extra if isinstance(extra, dict) else {}


class Split(Section):
    """Shares of the images for tuning, validation, encoding models and test.

    One split for every subject and data set. Shares must sum to 1.
    """

    by: Literal["hash", "shared1000", "shared515", "file"] = "hash"
    """What decides the sets. `hash`: the seed and each image's identity. `shared1000`: the test
    set is the 1000 images meant for every NSD subject, as far as there are responses to them;
    `shared515`: those that all eight saw three times; `file`: the sets are in a table. Under
    these three, images whose set is not given share the others in proportion."""
    tune: Share = 0.75
    """Images that networks are tuned on; may be 0 where nothing is tuned."""
    validation: Share = 0.10
    """Images that watch over tuning and select models; may be 0, as in the paper's code. Methods
    that select then keep a part of the tuning images for it."""
    fit: Share = 0.0
    """Images that no network sees and that encoding models alone are fitted on: by the protocol
    `fit_test` and by the size curve. They are taken from the others; test images stay."""
    file: str | None = None
    """CSV with the columns `identity` and `set` (tune, validation, fit, test), for `by: file`."""
    test: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Images that encoding models are scored on; never tuned on."""


class Tuning(Section):
    """Which networks are tuned, on what."""

    dataset: str = Field(default_factory=str)
    """The data set that networks are tuned on. Default is the first of `datasets`."""
    methods: Annotated[list[MethodName], *Distinct] = Field(
        default=["untuned", "contrastive"],
        min_length=1,
        description="Tuning methods to compare. "
        + " ".join(f"`{name}`: {method.about}" for name, method in METHODS.items()),
    )
    replicates: Count = 1
    """Networks per unit and tuned method, each from a seed of its own: a network is a draw.
    Tables have means over them and their spread. The first has `seed`, so that those there are
    kept when there are to be more; the untuned network is one."""
    adapt: How = "all"
    """What of a network is tuned: `all`; `{last_blocks: N}`, the last N blocks and what comes after
    them; or `{lora: {rank: 8, alpha: 16}}`, low-rank adapters in all blocks (they need `pip install
    'cortune[lora]'`). The rest is frozen, and of a part only what changed is saved."""
    min_voxels: Count = 20
    """Smaller ROIs are skipped, and said so in `skipped.csv`."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of forward and backward passes. `auto` is bfloat16 where the device multiplies it
    natively and float32 elsewhere, where `bfloat16` rounds the factors and multiplies in float32,
    to compare with a device that has it. Weights, losses and features are float32 always."""
    pooled_order: Literal["interleaved", "sequential"] = "interleaved"
    """Order of the subjects in an epoch of pooled methods: by turns at random, or one after the
    other, as in the paper's code."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that load images beside the one that trains."""


class Features(Section):
    """Feature extraction, one forward pass per network and image."""

    images: Literal["test", "all"] = "test"
    """Images whose Gram matrices are kept: the test images (enough for `heldout_cv` and
    `published`; those of `split.fit`, or else as many tuning images as `encoding.size_curve`
    fits on, are added) or all (`tune_test` needs them; disk grows with the square of the
    number)."""
    batch_size: Count = 128
    """Images per forward pass. Lower it if memory is short; results do not depend on it beyond
    rounding."""
    memory_gb: Positive = 1.0
    """Features of all layers held in memory at most; more of them go to a scratch file beside the
    result. Not part of any version."""
    scratch_gb: Positive = 100.0
    """Size of a job's scratch file at most. Where all layers' features of all images are more, the
    network sees the images again for the rest; `cortune plan` says how often, and how much disk
    such files take. Results are the same, bit for bit. Not part of any version."""


class Alphas(Section):
    """Ridge penalties, `num` of them evenly spaced from 10^start to 10^stop."""

    start: float = -1.0
    """Exponent of the first."""
    stop: float = 7.0
    """Exponent of the last."""
    num: Count = 9
    """How many."""

    def values(self) -> list[float]:
        """Return the penalties."""
        step = (self.stop - self.start) / max(self.num - 1, 1)
        return [10.0 ** (self.start + step * i) for i in range(self.num)]


class SizeCurve(Section):
    """Accuracy against the number of images that encoding models are fitted on.

    These are images of `split.fit`, or tuning images where there are none. It is scored on the
    test images, and says how much of a method's advantage is left when data are plenty.
    """

    sizes: Annotated[list[Annotated[int, Field(ge=9)]], *Distinct] = Field(default=[])
    """Numbers of images; none is made if empty. The time of one grows with its cube; more than
    there are means all."""
    rois: list[str] | None = None
    """ROIs to make it for; null is all."""
    methods: list[str] | None = None
    """Methods to make it for; null is all of `tuning.methods`."""


class AllLayers(Section):
    """Settings of the protocol `all_layers`."""

    n_iter: Count = 30
    """Weightings of the layers that are tried, each layer alone and all alike among them. Each
    costs one eigendecomposition per inner fold."""


class Encoding(Section):
    """Voxelwise ridge encoding models."""

    n_components: Count = 1000
    """Principal components of each layer (fewer where there are fewer images)."""
    alphas: Alphas = Field(default_factory=Alphas)
    folds: Annotated[int, Field(ge=3)] = 5
    """Folds of cross-validation within the test images."""
    protocols: Annotated[
        list[Literal["heldout_cv", "published", "tune_test", "fit_test", "all_layers"]], *Distinct
    ] = Field(default=["heldout_cv", "published"], min_length=1)
    """How models are fitted, selected and scored. `heldout_cv` never selects on the images it
    scores; `published` does, as the paper did, to compare with its table; `tune_test` fits on the
    tuning images (needs `features.images` = `all`); `fit_test` fits and selects on those of
    `split.fit` and scores on the test images; `all_layers` is banded ridge over all layers
    at once, in the folds of `heldout_cv`, with each layer's share of the variance (slow)."""
    size_curve: SizeCurve = Field(default_factory=SizeCurve)
    min_noise_ceiling: Share = 0.05
    """Voxels with a lower noise ceiling (share of variance) get no noise-normalised score."""
    memory_gb: Positive = 1.0
    """Memory for blocks of voxels, beside one layer's Gram matrix and its decompositions; an ROI
    that needs more is taken in smaller blocks. Not part of any version."""
    all_layers: AllLayers = Field(default_factory=AllLayers)


class Statistics(Section):
    """Intervals and tests."""

    n_bootstrap: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap samples of intervals over subjects, and of laterality over images."""
    n_permutations: Annotated[int, Field(ge=100)] = 10000
    """Sign flips when they cannot all be enumerated."""


class Export(Section):
    """Encoders that leave the project: a network, and the map from its features to responses.

    One for each network and subject, with all of the ROIs that it serves; null is none. See
    `cortune export` and `cortune predict`.
    """

    methods: Annotated[list[MethodName], Field(min_length=1), *Distinct]
    """Methods of `tuning.methods` whose encoders are written."""
    rois: Literal["all"] | Annotated[list[Roi], Field(min_length=1), *Distinct] = "all"
    """ROIs whose responses they predict: a list, or `all` that are analysed."""
    fit: Literal["untouched", "all"] = "untouched"
    """Images that the maps are fitted on. `untouched` is those that no network saw; layer, penalty
    and the score that is told follow from cross-validation in them. `all` is for submissions:
    tuning images are among them, and no score is told."""
    dtype: Literal["float32", "float16"] = "float32"
    """Type of the maps' numbers; networks stay float32. What float16 loses is in
    `encoders.csv`."""


class TransferDataset(Section):
    """Transfer to another data set: the source's ROIs that are tried on each of its ROIs."""

    source: str
    """The data set that networks are tuned on (`tuning.dataset`)."""
    target: str
    """Another data set of `datasets`; its `subjects` are the targets."""
    rois: Annotated[dict[str, Annotated[list[str], Field(min_length=1)]], Field(min_length=1)]
    """Each ROI of the target with the ROIs of the source whose networks are tried on it, such as
    `V1: [V1v, V1d]`."""


class Transfer(Section):
    """Encoding models of one subject on features of a network that was tuned to another."""

    subjects: bool = False
    """Transfer between all ordered pairs of subjects of the data set that networks are tuned
    on."""
    methods: list[str] | None = None
    """Methods whose networks are transferred; null is all that tune one. Between subjects,
    `pooled_loso` is read off its own encoding models, and networks that pool all subjects do not
    count."""
    rois: list[str] | None = None
    """ROIs whose networks are transferred between subjects; null is all."""
    datasets: list[TransferDataset] = Field(default=[])
    """Transfer to other data sets."""


class Probe(Section):
    """Labelled images that linear probes of the networks classify."""

    kind: Annotated[str, OneOf(_sources)]
    """Where the images come from: `image_folder` has a folder of pictures for each class;
    `imagenet`, `places365` and `sun397` are laid out as torchvision does; `scenes` are
    simulated."""
    root: str | None = None
    """Folder of the pictures (not with `scenes`)."""
    split: Literal["val", "train", "train-standard", "train-challenge"] = "val"
    """Split that is probed, of `imagenet` (val, train) or `places365` (val, train-standard,
    train-challenge)."""
    layer: str = "classifier.5"
    """Name of the module whose output is classified."""
    images_per_class: Annotated[int, Field(ge=2)] | None = None
    """At most so many pictures of each class, drawn by the seed; null is all."""
    n_images: Annotated[int, Field(ge=4)] | None = None
    """How many scenes (`scenes` only)."""
    n_classes: Classes | None = None
    """Object classes of the scenes (`scenes` only)."""
    penalties: Annotated[list[Positive], *Distinct] = Field(
        default=[1.0, 10.0, 100.0, 1000.0, 10000.0], min_length=1
    )
    """L2 penalties of the regression, as multiples of scikit-learn's default. Of several, each
    network has the one with the lowest log loss in cross-validation over the images it is fitted
    on: too weak a penalty makes a classifier surer than it can be, which moves its network away
    from the truth in the landscape."""
    max_iter: Count = 1000
    """Iterations of the regression at most; the table says whether it converged."""

    def source(self) -> dict[str, Any]:
        """Return what :class:`cortune.probes.ProbeSpec` is made of."""
        numbers = ("images_per_class", "n_images", "n_classes")
        found = {key: getattr(self, key) or 0 for key in numbers}
        return {"kind": self.kind, "root": self.root or "", "split": self.split, **found}


class Landscape(Section):
    """How differently networks predict the classes of the probes, and maps of all by it.

    Needs a probe; null is none.
    """

    methods: Annotated[list[Literal["inpca", "mds", "umap"]], *Distinct] = Field(
        default=["inpca", "mds", "umap"], min_length=1
    )
    """Spaces that networks are placed in (UMAP takes 20 s to compile)."""
    n_permutations: Annotated[int, Field(ge=100)] = 10000
    """Permutations of the tests that networks of one ROI, hemisphere, subject or method lie
    close."""


class Saliency(Section):
    """Where in a probe's images networks look for the class, and to which side.

    Networks tuned to a left hemisphere should look further right than those tuned to a right one.
    Needs a probe; null is none.
    """

    probe: str | None = None
    """The probe whose images and classes are used; null is the first."""
    methods: list[str] | None = None
    """Methods whose networks are looked into; null is all. The untuned network, if there is one,
    is its control and always among them."""
    layer: str = "features.12"
    """The last module with maps before the probed layer, for `grad_cam` and `hires_cam`."""
    attribution: Literal["grad_cam", "hires_cam", "integrated_gradients"] = "grad_cam"
    """How evidence is traced to places. `grad_cam` averages a channel's gradient over space, as in
    the paper; `hires_cam` does not."""
    n_images: Annotated[int, Field(ge=2)] = 500
    """Images, each with its mirror image; test images of the probe come first."""
    n_permutations: Annotated[int, Field(ge=100)] = 10000
    """Sign flips of the tests of laterality."""


class Similarity(Section):
    """How alike layers of networks and ROIs are: CKA and RSA, without fitting anything.

    Null is none.
    """

    methods: list[str] | None = None
    """Methods whose networks are compared; null is all of `tuning.methods`."""
    layers: list[str] | None = None
    """Layers that are compared; null is all of `backbone.layers`."""
    n_bootstrap: Annotated[int, Field(ge=50)] = 200
    """Resamplings of the images for each interval."""


class Cortex(Section):
    """Maps on the cortical surface."""

    surface: str = "auto"
    """`fsaverage5` (comes with nilearn), `fsaverage` (nilearn downloads it once), `auto`
    (`fsaverage` where nilearn has it already, else `fsaverage5`), or a folder with the surfaces
    of fsaverage."""
