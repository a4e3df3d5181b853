"""What to simulate: one frozen, validated description of a data set."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from cortune.data.rois import FAMILIES, HEMISPHERES, STREAMS
from cortune.errors import InputError
from cortune.files import visible_files
from cortune.section import N_NSD_IMAGES as N_NSD_IMAGES
from cortune.section import SIMULATED
from cortune.seeds import rng

PHOTO_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})

Vertices = Mapping[str, int | Mapping[str, int]]

# Vertices per hemisphere, about as in the Natural Scenes Dataset.
NSD_VERTICES: dict[str, int] = {
    "V1v": 600, "V1d": 800, "V2v": 700, "V2d": 700, "V3v": 570, "V3d": 620, "hV4": 550,
    "EBA": 2900, "FBA-1": 550, "FBA-2": 450, "mTL-bodies": 0,
    "OFA": 400, "FFA-1": 480, "FFA-2": 430, "mTL-faces": 0, "aTL-faces": 0,
    "OPA": 1800, "PPA": 1200, "RSC": 500,
    "OWFA": 450, "VWFA-1": 600, "VWFA-2": 450, "mfs-words": 400, "mTL-words": 4,
    "early": 5150, "midventral": 900, "midlateral": 1100, "midparietal": 900,
    "ventral": 4950, "lateral": 3200, "parietal": 2340,
}  # fmt: skip

# Where a stream's size is not given, it is as large as its members together. RSC lies
# outside the streams, as in the real data.
STREAM_MEMBERS: dict[str, tuple[str, ...]] = {
    "early": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d"),
    "midventral": ("hV4",),
    "midlateral": ("OFA", "OWFA"),
    "midparietal": (),
    "ventral": (
        "FFA-1", "FFA-2", "mTL-faces", "aTL-faces", "FBA-1", "FBA-2", "mTL-bodies",
        "PPA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words",
    ),
    "lateral": ("EBA",),
    "parietal": ("OPA",),
}  # fmt: skip

_WHERE = "simulate"
_KNOWN_ROIS = tuple(roi for rois in FAMILIES.values() for roi in rois)


@dataclass(frozen=True)
class SimulationSpec:
    """Description of a simulated data set; the same for every subject of it.

    Parameters
    ----------
    n_images : int
        Images with responses per subject, the shared ones included.
    n_shared : int
        Images that every subject sees.
    n_test_images : int
        Pictures per subject that come without responses (the challenge's test split).
    image_size : int
        Edge of the square pictures, pixels.
    n_classes : int
        Object classes in the scenes.
    n_repeats : int
        Trials per image.
    session_trials : int
        Trials per session at most; sessions are equally long to one trial.
    ncsnr : float
        Median noise-ceiling signal-to-noise ratio of single trials in visual ROIs.
    ncsnr_sigma : float
        Standard deviation of log ncsnr over vertices.
    noise_correlation : float
        Correlation of the trial noise of two vertices of one region.
    tuning_correlation : float
        Correlation (rho) of the Gaussian variables behind two subjects' tuning and the
        population's.
    null_fraction : float
        Share of vertices of each region that no stimulus drives.
    vertices : mapping of str to int, or to a mapping of hemisphere to int
        ROI name to vertices per hemisphere, or in ``lh`` and ``rh``; 0 is an ROI that is
        named and empty. ROIs left out are empty, streams left out are as large as their
        members together.
    masks : path, optional
        A real subject's folder; its ``roi_masks`` replace `vertices` for every subject.
    images : path, optional
        A folder of photographs that replace the scenes. Photograph i in the order of their
        relative names has identity i. :meth:`from_mapping` then lets every subject see all
        of them, whatever `n_images`, `n_shared` and `n_test_images` say.
    mirrored : bool
        Write every picture mirrored left to right, with the responses to the picture as it
        was: a brain whose hemispheres see the wrong half of the pictures. pRFs in the truth
        stay those of the brain.
    volume : bool
        Of raw NSD, write the functional volume beside fsaverage.

    Raises
    ------
    InputError
        If a value is out of range, an ROI is unknown, or a folder does not hold what it
        should.
    """

    n_images: int = 9841
    n_shared: int = 1000
    n_test_images: int = 159
    image_size: int = 425
    n_classes: int = 20
    n_repeats: int = 3
    session_trials: int = 750
    ncsnr: float = 0.43
    ncsnr_sigma: float = 0.5
    noise_correlation: float = 0.2
    tuning_correlation: float = 0.8
    null_fraction: float = 0.03
    vertices: Vertices = field(default_factory=lambda: dict(NSD_VERTICES))
    masks: Path | None = None
    images: Path | None = None
    mirrored: bool = False
    volume: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.n_shared > self.n_images:
            raise _error(
                f"{_WHERE}.n_shared",
                self.n_shared,
                f"at most n_images ({self.n_images})",
                "Lower n_shared or raise n_images.",
            )
        _check_vertices(self.vertices)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> SimulationSpec:
        """Build a spec from the configuration's ``simulate`` block.

        Raises
        ------
        InputError
            If a key is unknown, or as the class says.
        """
        values = given(cls, mapping)
        for key in ("masks", "images"):
            if key in values:
                values[key] = Path(values[key])
        if "images" in values:
            n_photos = len(list_photographs(values["images"]))
            values |= {"n_images": n_photos, "n_shared": n_photos, "n_test_images": 0}
        return cls(**values)


def check_ranges(spec: Any) -> None:
    """Refuse numbers of a spec that are out of their range."""
    for name, (low, high) in SIMULATED.items():
        if not low <= (value := getattr(spec, name, low)) <= high:
            expected = f"a value from {low} to {high}"
            raise _error(f"{_WHERE}.{name}", value, expected, "Correct it.")


def given(kind: Any, mapping: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the values of a ``simulate`` block that are not null; unknown keys are refused."""
    names = [item.name for item in dataclasses.fields(kind)]
    values = dict(mapping)
    for key in values:
        if key not in names:
            raise unknown_key(f"{_WHERE}.{key}", key, names)
    return {key: value for key, value in values.items() if value is not None}


def _error(where: str, found: object, expected: str, cure: str) -> InputError:
    return InputError(where, str(found), expected, cure)


def unknown_key(where: str, name: str, known: list[str] | tuple[str, ...]) -> InputError:
    """Return the error for a misspelt key, with a suggestion."""
    close = get_close_matches(name, known, n=1)
    cure = f"Did you mean {close[0]!r}?" if close else "Correct the name."
    return _error(where, repr(name), f"one of {', '.join(known)}", cure)


def _check_vertices(vertices: Vertices) -> None:
    for roi, count in vertices.items():
        if roi not in _KNOWN_ROIS:
            raise unknown_key(f"{_WHERE}.vertices", roi, _KNOWN_ROIS)
        where = f"{_WHERE}.vertices.{roi}"
        if isinstance(count, Mapping) and set(count) != set(HEMISPHERES):
            found, expected = f"the keys {', '.join(count) or 'none'}", "lh and rh, or one number"
            raise _error(where, found, expected, "Correct the count.")
        if min(count.values() if isinstance(count, Mapping) else [count]) < 0:
            raise _error(where, count, "0 or more vertices", "Correct the count.")
    for hemisphere in HEMISPHERES:
        sizes = _counts(vertices, hemisphere)
        # A third of the sphere: beyond that the patches would no longer be compact.
        if sum(sizes.values()) > 110_000 or not any(sizes.values()):
            raise _error(
                f"{_WHERE}.vertices",
                f"{sum(sizes.values())} vertices in {hemisphere} "
                f"({', '.join(f'{roi}={n}' for roi, n in sizes.items())})",
                "between 1 and 110000",
                "Give at least one ROI vertices, and fewer in total than the surface has.",
            )


def _counts(vertices: Vertices, hemisphere: str) -> dict[str, int]:
    """Return the vertices of each ROI that is named, in one hemisphere."""
    return {
        roi: int(count[hemisphere] if isinstance(count, Mapping) else count)
        for roi, count in vertices.items()
    }


def synthetic_sizes(vertices: Vertices, hemisphere: str) -> dict[str, int]:
    """Return the size of every known ROI and stream where no real masks are given.

    Parameters
    ----------
    vertices : mapping
        As :class:`SimulationSpec` takes it.
    hemisphere : {"lh", "rh"}
    """
    named = _counts(vertices, hemisphere)
    sizes = {roi: named.get(roi, 0) for roi in _KNOWN_ROIS}
    for stream in STREAMS:
        if stream not in vertices:
            sizes[stream] = sum(sizes[roi] for roi in STREAM_MEMBERS[stream])
    return sizes


def list_photographs(folder: Path) -> list[Path]:
    """List the pictures under `folder`, sorted by relative POSIX path.

    Links are followed; what is hidden (``._x.jpg`` of a Mac, ``.thumbnails``) is no picture.

    Raises
    ------
    InputError
        If the folder does not exist or holds no picture.
    """
    paths = sorted(
        (p for p in visible_files(folder) if p.suffix.lower() in PHOTO_SUFFIXES),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    if not paths:
        found = "no picture" if folder.is_dir() else "no such folder"
        expected = f"pictures ({', '.join(sorted(PHOTO_SUFFIXES))})"
        raise _error(str(folder), found, expected, f"Point {_WHERE}.images at your photographs.")
    return paths


def subject_number(subject: str) -> int:
    """Return the number at the end of a subject's name, from 1.

    Raises
    ------
    InputError
        If the name does not end in a positive number: the number alone decides which
        images are the subject's own, whoever else is simulated.
    """
    match = re.search(r"(\d+)$", subject)
    if match is None or int(match[1]) == 0:
        raise _error(
            f"{_WHERE}: subject {subject!r}",
            "no number at the end of the name",
            "a name such as 'subj01'",
            "Name simulated subjects subj01, subj02, ….",
        )
    return int(match[1])


def subject_image_ids(spec: SimulationSpec, subject: str, seed: int) -> np.ndarray:
    """Return the identities of a subject's training images.

    The identities of all images are shuffled once by `seed`; the first `n_shared` are
    everyone's, and subject k owns the k-th block of `n_images + n_test_images - n_shared`
    after them. So no subject's images depend on who else is simulated. With the defaults
    eight subjects use the 73000 identities up.

    Parameters
    ----------
    spec : SimulationSpec
    subject : str
        Name ending in the subject's number, from 1.
    seed : int

    Returns
    -------
    ndarray of int64, shape (n_images,)
        0-based NSD identities, ascending: the order of files and rows.

    Raises
    ------
    InputError
        If there are fewer identities than this subject needs.
    """
    return np.sort(_subject_ids(spec, subject, seed)[0])


def subject_design_ids(spec: SimulationSpec, subject: str, seed: int) -> np.ndarray:
    """Return the identities of :func:`subject_image_ids` as a common design counts them.

    The shared images come first and in the same order for every subject, then the
    subject's own.
    """
    return _subject_ids(spec, subject, seed)[0]


def shared_image_ids(spec: SimulationSpec, seed: int) -> list[int]:
    """Return the identities of the images that every simulated subject sees, ascending."""
    ids: list[int] = np.sort(_subject_ids(spec, "subj01", seed)[0][: spec.n_shared]).tolist()
    return ids


def subject_test_ids(spec: SimulationSpec, subject: str, seed: int) -> np.ndarray:
    """Return the identities of a subject's pictures without responses, ascending."""
    return np.sort(_subject_ids(spec, subject, seed)[1])


def _subject_ids(spec: SimulationSpec, subject: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    total = N_NSD_IMAGES if spec.images is None else len(list_photographs(spec.images))
    n_own = spec.n_images + spec.n_test_images - spec.n_shared
    stop = spec.n_shared + subject_number(subject) * n_own
    if stop > total:
        raise _error(
            f"{_WHERE}: subject {subject!r}",
            f"{stop} images needed for {spec.n_shared} shared and {n_own} own ones per subject",
            f"at most {total}",
            "Lower n_images or n_test_images, raise n_shared, or simulate fewer subjects.",
        )
    order = rng(seed, "simulate", "identities", total).permutation(total)
    own = order[stop - n_own : stop]
    n_train = spec.n_images - spec.n_shared
    train = np.concatenate([order[: spec.n_shared], own[:n_train]])
    return train, own[n_train:]
