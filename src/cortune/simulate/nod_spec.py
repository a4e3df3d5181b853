"""What to simulate of NOD: one frozen, validated description of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cortune.errors import InputError
from cortune.simulate.spec import SimulationSpec, check_ranges, given

N_SESSIONS = 4
"""ImageNet sessions that readers use; a fifth is left out by the data set's own analyses."""

_WHERE = "simulate"


@dataclass(frozen=True)
class NodSpec:
    """Description of a simulated NOD data set; the same for every subject of it.

    Parameters
    ----------
    n_images : int
        Images per subject, each shown once. No two subjects share one, `n_coco` apart.
    n_coco : int
        How many of them are scenes that the NSD simulation may show too, under
        ``stimuli/coco``; the COCO id that their names carry is the NSD id plus 1.
    image_size : int
        Edge of the square pictures, pixels.
    n_classes : int
        Object classes in the scenes; as in the NSD simulation, to share its tuning.
    run_trials, session_runs : int
        Trials per run, and runs per session, at most.
    ncsnr : float
        Median noise-ceiling signal-to-noise ratio of single trials.
    ncsnr_sigma : float
        Standard deviation of log ncsnr over vertices.
    smoothing_mm : float
        Full width at half maximum of the noise's smoothness along the cortical sheet.
    noise_correlation : float
        Correlation of the trial noise of two distant vertices of one region.
    tuning_correlation : float
        Correlation (rho) of the Gaussian variables behind two subjects' tuning.
    null_fraction : float
        Share of vertices of each region that no stimulus drives.

    Raises
    ------
    InputError
        If a value is out of range, or the images do not fit in four sessions.
    """

    n_images: int = 4000
    n_coco: int = 0
    image_size: int = 400
    n_classes: int = 20
    run_trials: int = 100
    session_runs: int = 10
    ncsnr: float = 0.25
    ncsnr_sigma: float = 0.5
    smoothing_mm: float = 4.0
    noise_correlation: float = 0.2
    tuning_correlation: float = 0.8
    null_fraction: float = 0.03

    def __post_init__(self) -> None:
        check_ranges(self)
        most = N_SESSIONS * self.session_runs * self.run_trials
        for name, bound, what in (("n_images", most, "4 sessions"), ("n_coco", self.n_images, "")):
            if getattr(self, name) > bound:
                raise InputError(
                    f"{_WHERE}.{name}",
                    str(getattr(self, name)),
                    f"at most {bound}" + (f", which {what} hold" if what else " (n_images)"),
                    f"Lower {name}.",
                )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> NodSpec:
        """Build a spec from the configuration's ``simulate`` block.

        Raises
        ------
        InputError
            If a key is unknown, or as the class says.
        """
        return cls(**given(cls, mapping))

    def observer(self) -> SimulationSpec:
        """Return what the NSD simulation needs to know of the same observer."""
        return SimulationSpec(
            n_images=self.n_images,
            n_shared=0,
            n_test_images=0,
            n_classes=self.n_classes,
            n_repeats=1,
            ncsnr=self.ncsnr,
            ncsnr_sigma=self.ncsnr_sigma,
            noise_correlation=self.noise_correlation,
            tuning_correlation=self.tuning_correlation,
            null_fraction=self.null_fraction,
        )

    def runs(self) -> list[tuple[int, int, slice]]:
        """Return session, run (both from 1) and rows of images of every run."""
        starts = range(0, self.n_images, self.run_trials)
        return [
            (
                1 + index // self.session_runs,
                1 + index % self.session_runs,
                slice(start, min(start + self.run_trials, self.n_images)),
            )
            for index, start in enumerate(starts)
        ]
