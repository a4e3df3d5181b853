"""What the vertices of each region respond to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Field = Literal["upper", "lower", "both"]


@dataclass(frozen=True)
class Region:
    """The properties that vertices of one region share.

    Attributes
    ----------
    area : str
        Regions of one area share the population's tuning profiles.
    intercept, slope : float
        pRF size in degrees is ``intercept + slope * eccentricity``.
    exponent : float
        Compressive exponent of the pooled energies.
    field : {"upper", "lower", "both"}
        Part of the contralateral hemifield that the region covers.
    meridian_first : bool
        Whether polar angle runs from the vertical meridian outwards from V1, instead of
        from the horizontal one: neighbouring maps mirror each other.
    shares : tuple of float
        Share of the signal's variance that energies, texture and latents drive.
    prefers : tuple of str
        Categories that the population's latent tuning favours.
    snr : float
        Factor on the median ncsnr.
    """

    area: str
    slope: float
    exponent: float
    intercept: float = 0.5
    field: Field = "both"
    meridian_first: bool = False
    shares: tuple[float, float, float] = (0.25, 0.15, 0.6)
    prefers: tuple[str, ...] = ()
    snr: float = 1.0


# Sizes and exponents of V1 to hV4: Kay et al. 2013, Benson & Winawer 2018.
_V1 = Region("V1", slope=0.10, exponent=0.18, shares=(1.0, 0.0, 0.0))
_V2 = Region("V2", slope=0.15, exponent=0.13, shares=(0.65, 0.35, 0.0), meridian_first=True)
_V3 = Region("V3", slope=0.27, exponent=0.12, shares=(0.6, 0.4, 0.0))
_V4 = Region("hV4", slope=0.40, exponent=0.12, shares=(0.4, 0.4, 0.2), meridian_first=True)


def _higher(area: str, *prefers: str, intercept: float = 1.5, snr: float = 1.0) -> Region:
    return Region(area, slope=0.6, exponent=0.12, intercept=intercept, prefers=prefers, snr=snr)


REGIONS: dict[str, Region] = {
    "V1v": replace(_V1, field="upper"),
    "V1d": replace(_V1, field="lower"),
    "V2v": replace(_V2, field="upper"),
    "V2d": replace(_V2, field="lower"),
    "V3v": replace(_V3, field="upper"),
    "V3d": replace(_V3, field="lower"),
    "hV4": _V4,
    "EBA": _higher("EBA", "body"),
    "FBA-1": _higher("FBA", "body"),
    "FBA-2": _higher("FBA", "body"),
    "mTL-bodies": _higher("mTL-bodies", "body", intercept=2.0),
    "OFA": _higher("OFA", "face", intercept=1.2),
    "FFA-1": _higher("FFA", "face"),
    "FFA-2": _higher("FFA", "face"),
    "mTL-faces": _higher("mTL-faces", "face", intercept=2.0),
    "aTL-faces": _higher("aTL-faces", "face", intercept=2.0),
    "OPA": _higher("OPA", "place"),
    "PPA": _higher("PPA", "place", intercept=2.0),
    "RSC": _higher("RSC", "place", intercept=2.0),
    "OWFA": _higher("OWFA", "word", intercept=1.2),
    "VWFA-1": _higher("VWFA", "word"),
    "VWFA-2": _higher("VWFA", "word"),
    "mfs-words": _higher("mfs-words", "word"),
    "mTL-words": _higher("mTL-words", "word", intercept=2.0),
    "early": replace(_V3, area="early", field="both", snr=0.8),
    "midventral": replace(_V4, area="midventral", snr=0.9),
    "midlateral": replace(_V4, area="midlateral", snr=0.9),
    "midparietal": replace(_V4, area="midparietal", snr=0.9),
    "ventral": _higher("ventral", snr=0.8),
    "lateral": _higher("lateral", "body", snr=0.8),
    "parietal": _higher("parietal", "place", snr=0.7),
    "": _higher("none", intercept=2.0, snr=0.5),
}
"""By ROI name; the empty name is the vertices outside every ROI and stream."""
