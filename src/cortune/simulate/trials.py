"""Single trials: which image when, and the betas a scanner would have given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cortune.seeds import rng
from cortune.simulate.brain import Brain
from cortune.simulate.spec import SimulationSpec, subject_design_ids

_PERCENT = 0.8  # typical standard deviation of the signal, percent signal change


@dataclass(frozen=True)
class Session:
    """The trials of one scan session.

    Attributes
    ----------
    images : ndarray of int64, shape (n_trials,)
        Row of the image that each trial shows.
    betas : ndarray of float32, shape (n_trials, n_vertices)
        Percent signal change.
    """

    images: np.ndarray
    betas: np.ndarray


def master_ordering(spec: SimulationSpec, seed: int) -> np.ndarray:
    """Return what every trial shows, the same for all subjects.

    Returns
    -------
    ndarray of int64, shape (n_images * n_repeats,)
        Positions in :func:`cortune.simulate.spec.subject_design_ids`; so all subjects see
        a shared image in the same trials.
    """
    draw = rng(seed, "simulate", "schedule")
    return draw.permutation(np.repeat(np.arange(spec.n_images), spec.n_repeats))


def trial_schedule(spec: SimulationSpec, subject: str, seed: int) -> list[np.ndarray]:
    """Return the image rows that each session shows.

    Every image is shown `n_repeats` times, in the order of :func:`master_ordering`;
    sessions have at most `session_trials` trials and are equally long to one trial.
    """
    design = subject_design_ids(spec, subject, seed)
    row = np.argsort(np.argsort(design))  # rows are in ascending order of identity
    order = row[master_ordering(spec, seed)]
    return np.array_split(order, -(-len(order) // spec.session_trials))


def sessions(
    spec: SimulationSpec, subject: str, brain: Brain, signal: np.ndarray, seed: int
) -> Iterator[Session]:
    """Simulate a subject's sessions, one at a time.

    A beta is a vertex's baseline plus its gain times (signal + noise). The noise of two
    vertices of one region correlates by `spec.noise_correlation`; its standard deviation is
    that of the signal over ncsnr. Baselines drift from session to session, and so does
    everybody's gain. Memory is that of one session.

    Parameters
    ----------
    spec : SimulationSpec
    subject : str
    brain : Brain
    signal : ndarray of float32, shape (n_images, n_vertices)
        Of :func:`cortune.simulate.responses.noiseless_responses`.
    seed : int

    Yields
    ------
    Session
    """
    words = ("simulate", "trials", subject, brain.hemisphere)
    n_vertices = brain.n_vertices
    draw = rng(seed, *words, "vertices")
    baseline = draw.normal(0.5, 0.5, n_vertices).astype(np.float32)
    gain = (_PERCENT * np.exp(draw.normal(0, 0.4, n_vertices))).astype(np.float32)
    noise_scale = np.ones(n_vertices, np.float32)
    noise_scale[~brain.null] = 1 / brain.ncsnr[~brain.null]
    shared = np.float32(np.sqrt(spec.noise_correlation))
    private = np.float32(np.sqrt(1 - spec.noise_correlation))
    for index, images in enumerate(trial_schedule(spec, subject, seed)):
        draw = rng(seed, *words, "session", index)
        betas = draw.standard_normal((len(images), n_vertices), dtype=np.float32)
        betas *= private
        for patch in brain.patches:
            common = draw.standard_normal((len(images), 1), dtype=np.float32)
            betas[:, patch.vertices] += shared * common
        betas *= noise_scale
        betas += signal[images]
        betas *= gain * np.float32(np.exp(draw.normal(0, 0.1)))
        betas += baseline + draw.normal(0, 0.3, n_vertices).astype(np.float32)
        yield Session(images, betas)


def standardise(betas: np.ndarray) -> np.ndarray:
    """Z-score each vertex over the trials of a session, in place, as Algonauts does."""
    betas -= betas.mean(0, dtype=np.float64).astype(np.float32)
    spread = betas.std(0, dtype=np.float64).astype(np.float32)
    betas /= np.maximum(spread, np.float32(1e-9))
    return betas
