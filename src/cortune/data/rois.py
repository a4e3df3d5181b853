"""Names, families and groups of the visual regions of interest.

Sources: the Natural Scenes Dataset (Allen et al. 2022) and the Algonauts 2023
challenge (Gifford et al. 2023), whose mask files group ROIs into six families.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

HEMISPHERES = ("lh", "rh")
WHOLE = "whole"
"""Name of the ROI that holds every vertex with responses, where it is asked for."""
UNKNOWN = "Unknown"
"""What label 0 of a family is called."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
    "streams": (
        "early",
        "midventral",
        "midlateral",
        "midparietal",
        "ventral",
        "lateral",
        "parietal",
    ),
}

STREAMS = FAMILIES["streams"]
EARLY = FAMILIES["prf-visualrois"]
GLASSER_EARLY = ("V1", "V2", "V3", "V4")
"""Early areas of the Glasser parcellation, which NOD uses."""

HIGHER = tuple(
    roi for family, rois in FAMILIES.items() if family.startswith("floc-") for roi in rois
)
GROUPS: dict[str, tuple[str, ...]] = {
    "early": EARLY + GLASSER_EARLY,
    "higher": HIGHER,
    "all": EARLY + GLASSER_EARLY + HIGHER,
}


def family_names(family: str) -> dict[int, str]:
    """Return the ROI of each label of a family where no file says, 0 included."""
    return {0: UNKNOWN, **dict(enumerate(FAMILIES[family], start=1))}


def roi_group(roi: str) -> str:
    """Return the group of an ROI: ``early``, ``higher`` or, for a stream, ``streams``."""
    if roi in EARLY + GLASSER_EARLY:
        return "early"
    if roi in STREAMS:
        return "streams"
    return "higher"


def select_rois(wanted: str | Sequence[str], present: Iterable[str]) -> list[str]:
    """Resolve the configuration's ``rois`` against the ROIs a data set has.

    Parameters
    ----------
    wanted : str or sequence of str
        A group (``all``, ``early``, ``higher``) or a list of ROI names. In a list,
        ``early`` is the stream of that name.
    present : iterable of str
        ROI names the data set knows, empty ROIs included.

    Returns
    -------
    list of str
        In the order of `wanted` for a list, in the field's order for a group.
    """
    if isinstance(wanted, str):
        known = set(present)
        return [roi for roi in GROUPS[wanted] if roi in known]
    return list(wanted)
