"""The simulated brain: filters, pRFs, tuning, noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cortune.simulate import (
    Brain,
    Scene,
    SimulationSpec,
    make_brain,
    noiseless_responses,
    render_scene,
    sessions,
    subject_image_ids,
)
from cortune.simulate.energies import (
    FREQUENCIES,
    N_ENERGIES,
    N_ORIENTATIONS,
    gabor_energies,
    normalise,
    stimulus_maps,
)
from cortune.simulate.responses import PICTURE_DEGREES, pooling_weights
from cortune.simulate.scenes import GRID
from cortune.simulate.trials import master_ordering, standardise, trial_schedule

VERTICES = {
    "V1v": 60, "V1d": 60, "V2v": 50, "V2d": 50, "hV4": 60, "FFA-1": 60, "PPA": 40, "mTL-faces": 0,
}  # fmt: skip
N_CLASSES = 8


def spec_of(**changes: object) -> SimulationSpec:
    values = {"n_images": 200, "n_shared": 200, "n_test_images": 0, "image_size": 64}
    return SimulationSpec(**{**values, "n_classes": N_CLASSES, "vertices": VERTICES, **changes})


def brain_of(subject: str = "subj01", hemisphere: str = "lh", **changes: object) -> Brain:
    return make_brain(spec_of(**changes), subject, hemisphere, 0)


def grating(frequency: float, angle: float, phase: float, size: int = 64) -> np.ndarray:
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    wave = 2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase
    return (0.5 + 0.3 * np.sin(wave)).astype(np.float32)


# Filters.


@pytest.mark.parametrize("size", [64, 128])
def test_each_filter_prefers_its_own_grating(size: int) -> None:
    channels = [c for c in range(N_ENERGIES) if c % 3 == 0]
    pictures = [
        grating(
            FREQUENCIES[c // N_ORIENTATIONS], np.pi * (c % N_ORIENTATIONS) / N_ORIENTATIONS, 1, size
        )
        for c in channels
    ]
    energies = gabor_energies(np.stack(pictures))[:, :, 6:-6, 6:-6].mean((2, 3))
    assert energies.argmax(1).tolist() == channels


def test_energies_do_not_depend_on_phase() -> None:
    phases = np.linspace(0, 2 * np.pi, 7)
    pictures = np.stack([grating(12, np.pi / 4, phase) for phase in phases])
    channel = 2 * N_ORIENTATIONS + 2
    energies = gabor_energies(pictures)[:, channel, 6:-6, 6:-6]
    assert energies.std(0).max() < 0.01 * energies.mean()


def test_energies_lie_where_the_picture_has_them() -> None:
    y, x = (np.mgrid[:128, :128] + 0.5) / 128
    spot = np.exp(-((x - 0.7) ** 2 + (y - 0.3) ** 2) / 0.005)
    picture = 0.5 + (grating(12, 0, 0, 128) - 0.5) * spot
    energy = gabor_energies(picture[None].astype(np.float32))[0, 2 * N_ORIENTATIONS]
    cells = (np.arange(GRID) + 0.5) / GRID
    assert (energy.sum(0) @ cells) / energy.sum() == pytest.approx(0.7, abs=0.005)
    assert (energy.sum(1) @ cells) / energy.sum() == pytest.approx(0.3, abs=0.005)


def test_mirrored_pictures_have_mirrored_energies() -> None:
    picture = render_scene(3, size=64, n_classes=N_CLASSES, seed=0).image.mean(2, np.float32) / 255
    plain, mirrored = gabor_energies(np.stack([picture, picture[:, ::-1]]).astype(np.float32))
    scales = plain.reshape(len(FREQUENCIES), N_ORIENTATIONS, GRID, GRID)
    turned = scales[:, -np.arange(N_ORIENTATIONS) % N_ORIENTATIONS, :, ::-1]
    np.testing.assert_allclose(
        mirrored.reshape(scales.shape), turned, atol=1e-4 * float(plain.max())
    )


def test_normalisation_bounds_the_effect_of_contrast() -> None:
    low, high = (
        normalise(gabor_energies((0.5 + gain * (grating(12, 0, 0) - 0.5))[None])).max()
        for gain in (1.0, 2.0)
    )
    assert low < high < 2 * low, "energies themselves grow fourfold"


def test_pooling_integrates_the_gaussian() -> None:
    x, y, size = np.array([1.3, -2.0]), np.array([0.4, 3.0]), np.array([0.5, 1.7])
    weights = pooling_weights(x, y, size).reshape(GRID, GRID, 2)
    fine = (np.arange(GRID * 20) + 0.5) / (GRID * 20) * PICTURE_DEGREES - PICTURE_DEGREES / 2
    for index in range(2):
        column = np.exp(-((fine - x[index]) ** 2) / (2 * size[index] ** 2))
        row = np.exp(-((-fine - y[index]) ** 2) / (2 * size[index] ** 2))
        density = np.outer(row, column) / (2 * np.pi * size[index] ** 2)
        cell = (PICTURE_DEGREES / (GRID * 20)) ** 2
        expected = density.reshape(GRID, 20, GRID, 20).sum((1, 3)) * cell
        np.testing.assert_allclose(weights[:, :, index], expected, atol=1e-5)


# Vertices.


@pytest.mark.parametrize("hemisphere, side", [("lh", 1), ("rh", -1)])
def test_each_hemisphere_sees_the_other_side(hemisphere: str, side: int) -> None:
    brain = brain_of(hemisphere=hemisphere)
    prf, regions = brain.prf(), brain.layout.regions()
    assert np.all(side * prf["x"] > 0)
    assert np.all(prf["y"][np.isin(regions, ["V1v", "V2v"])] > 0)
    assert np.all(prf["y"][np.isin(regions, ["V1d", "V2d"])] < 0)
    hv4 = prf["y"][regions == "hV4"]
    assert 0.3 < (hv4 > 0).mean() < 0.7


def test_prf_sizes_grow_with_eccentricity_and_along_the_hierarchy() -> None:
    brain = brain_of()
    prf, regions = brain.prf(), brain.layout.regions()
    eccentricity = np.hypot(prf["x"], prf["y"])
    assert eccentricity.max() <= PICTURE_DEGREES / 2
    slopes = {
        area: np.polyfit(eccentricity[m], prf["size"][m], 1)
        for area in ("V1", "V2", "hV4")
        for m in [np.char.startswith(regions, area)]
    }
    for (area, (slope, intercept)), expected in zip(
        slopes.items(), (0.10, 0.15, 0.40), strict=True
    ):
        assert slope == pytest.approx(expected, abs=0.08), area
        assert intercept == pytest.approx(0.5, abs=0.15), area


def test_cortical_magnification() -> None:
    """Half of V1's vertices see less than the eccentricity that halves its cortex."""
    brain = brain_of(vertices={"V1v": 500})
    prf = {name: values[brain.layout.rois()["V1v"]] for name, values in brain.prf().items()}
    degrees = np.linspace(0, 4.2, 100_000)
    cortex = np.cumsum(degrees * (17.3 / (0.75 + degrees)) ** 2)
    half = degrees[np.searchsorted(cortex, cortex[-1] / 2)]
    assert np.median(np.hypot(prf["x"], prf["y"])) == pytest.approx(half, abs=0.02)


def test_prfs_are_recovered_from_responses(tmp_path: Path) -> None:
    """A spot of texture at every place drives each vertex most at its own pRF."""
    draw = np.random.default_rng(0)
    n_places = 14
    places = (np.arange(n_places) + 0.5) / n_places
    y, x = (np.mgrid[:64, :64] + 0.5) / 64
    scenes, centres = [], []
    for row in places:
        for column in places:
            window = np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * 0.05**2))[..., None]
            noise = draw.normal(0, 1, (64, 64, 1))
            image = np.clip(128 + 90 * window * noise, 0, 255).astype(np.uint8).repeat(3, axis=2)
            scenes.append(Scene(image, -1, np.zeros((N_CLASSES, GRID, GRID), np.float32), 0, 0))
            centres.append(((column - 0.5) * PICTURE_DEGREES, (0.5 - row) * PICTURE_DEGREES))
    brains = {h: brain_of(hemisphere=h) for h in ("lh", "rh")}
    responses = noiseless_responses(brains, scenes, len(scenes), tmp_path)
    for hemisphere, brain in brains.items():
        prf, regions = brain.prf(), brain.layout.regions()
        early = np.flatnonzero(np.isin(regions, ["V1v", "V1d", "V2v", "V2d"]) & ~brain.null)
        drive = responses[hemisphere][:, early]
        weight = np.maximum(drive - 0.5 * drive.max(0), 0)
        found = np.array(centres).T @ weight / weight.sum(0)
        for values, name in zip(found, ("x", "y"), strict=True):
            error = np.abs(values - prf[name][early])
            assert np.corrcoef(values, prf[name][early])[0, 1] > 0.97
            assert np.median(error) < 0.3


def test_the_sheet_is_smooth() -> None:
    """Neighbours on the cortex have neighbouring pRFs and similar tuning."""
    brain = brain_of(vertices={"V1v": 300})
    patch = next(p for p in brain.patches if p.region.area == "V1")
    gap = np.linalg.norm(patch.sheet[:, None] - patch.sheet[None], axis=-1)
    tuning = patch.tuning["energy"].mixture
    apart = np.linalg.norm(tuning[:, None] - tuning[None], axis=-1)
    near, far = (gap > 0) & (gap < 0.05), gap > 0.5
    assert apart[near].mean() < 0.4 * apart[far].mean()


# Tuning.


def tuning_similarity(rho: float) -> float:
    """Correlate two subjects' mean tuning over channels, averaged over areas and blocks."""
    first, second = (brain_of(s, tuning_correlation=rho) for s in ("subj01", "subj02"))
    found = []
    for one, two in zip(first.patches, second.patches, strict=True):
        for block in one.tuning:
            profiles = [patch.tuning[block].profiles for patch in (one, two)]
            found += [np.corrcoef(a, b)[0, 1] for a, b in zip(*profiles, strict=True)]
    return float(np.mean(found))


def test_rho_sets_what_subjects_share() -> None:
    none, much, all_ = (tuning_similarity(rho) for rho in (0.0, 0.8, 1.0))
    assert abs(none) < 0.1
    assert 0.35 < much < 0.95
    assert all_ == pytest.approx(1)


def test_identical_tuning_at_rho_one_and_prfs_throughout() -> None:
    first, second = (brain_of(s, tuning_correlation=1.0) for s in ("subj01", "subj02"))
    np.testing.assert_allclose(first.tuning(), second.tuning(), atol=1e-6)
    np.testing.assert_array_equal(first.prf()["x"], second.prf()["x"])
    assert not np.array_equal(first.ncsnr, second.ncsnr)


def test_tuning_is_sparse_and_not_negative() -> None:
    brain = brain_of()
    tuning, regions = brain.tuning(), brain.layout.regions()
    assert tuning.min() >= 0
    assert np.all((tuning[:, N_ENERGIES:] == 0)[regions == "V1v"]), "V1 has energies alone"
    assert np.count_nonzero(tuning[:, :N_ENERGIES].sum(0)[None]) > 0
    for region, active in (("V1v", 12), ("PPA", 12)):
        used = np.count_nonzero(tuning[regions == region][:, :N_ENERGIES].sum(0))
        assert 0 < used <= active


def test_category_areas_prefer_their_category(tmp_path: Path) -> None:
    brain = brain_of(tuning_correlation=1.0)
    scenes = [render_scene(i, size=64, n_classes=N_CLASSES, seed=0) for i in range(300)]
    responses = noiseless_responses({"lh": brain}, scenes, 300, tmp_path)["lh"]
    faces = stimulus_maps(scenes)["latent"][:, 0].mean(1)  # the first latent is face-likeness
    regions = brain.layout.regions()
    face, place = (
        np.mean(
            [
                np.corrcoef(faces, responses[:, v])[0, 1]
                for v in np.flatnonzero((regions == r) & ~brain.null)
            ]
        )
        for r in ("FFA-1", "PPA")
    )
    assert face > 0.3
    assert place < face - 0.2


# Responses and noise.


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    values = np.random.default_rng(3).normal(size=(600, brain_of().n_vertices))
    values = (values - values.mean(0)) / values.std(0)
    values[:, brain_of().null] = 0
    return values.astype(np.float32)


def averaged(spec: SimulationSpec, brain: Brain, signal: np.ndarray) -> np.ndarray:
    total = np.zeros(signal.shape)
    for session in sessions(spec, "subj01", brain, signal, 0):
        np.add.at(total, session.images, standardise(session.betas.copy()))
    return total / spec.n_repeats


def test_null_vertices_answer_nothing(tmp_path: Path) -> None:
    brain = brain_of(null_fraction=0.05)
    assert 0.02 <= brain.null.mean() <= 0.06
    scenes = [render_scene(i, size=48, n_classes=N_CLASSES, seed=0) for i in range(40)]
    responses = noiseless_responses({"lh": brain}, scenes, 40, tmp_path)["lh"]
    assert np.all(responses[:, brain.null] == 0)
    np.testing.assert_allclose(responses[:, ~brain.null].std(0), 1, atol=1e-3)
    np.testing.assert_allclose(responses.mean(0), 0, atol=1e-4)
    assert np.all(brain.noise_ceiling(3)[brain.null] == 0)


@pytest.mark.parametrize("n_repeats", [1, 3])
def test_ceilings_are_honoured(signal: np.ndarray, n_repeats: int) -> None:
    """Responses and signal correlate by the square root of the noise ceiling."""
    spec = spec_of(n_images=600, n_shared=600, n_repeats=n_repeats, session_trials=300)
    brain = brain_of()
    measured = averaged(spec, brain, signal)
    live = ~brain.null
    r = (measured * signal)[:, live].mean(0) / measured[:, live].std(0)
    expected = np.sqrt(brain.noise_ceiling(n_repeats)[live])
    assert np.mean(r - expected) == pytest.approx(0, abs=0.01)
    assert np.std(r - expected) < 1.5 / np.sqrt(600)
    null = measured[:, brain.null]
    other = signal[:, np.flatnonzero(live)[: null.shape[1]]]
    assert abs(np.mean(null * other)) < 0.05


def test_levels_are_those_of_nsd() -> None:
    """About 36 % of the variance at three repeats, r about .55 to .6 on average."""
    brain = brain_of(vertices={"V1v": 300, "hV4": 300, "PPA": 300})
    visual = np.isin(brain.layout.regions(), ["V1v", "hV4", "PPA"]) & ~brain.null
    ceiling = brain.noise_ceiling(3)[visual]
    assert np.median(ceiling) == pytest.approx(0.36, abs=0.05)
    assert 0.53 < np.sqrt(ceiling).mean() < 0.63
    assert np.median(brain.ncsnr[visual]) == pytest.approx(0.43, abs=0.05)


def test_noise_correlates_within_regions_only(signal: np.ndarray) -> None:
    spec = spec_of(n_images=600, n_shared=600, noise_correlation=0.3)
    brain = brain_of()
    regions = brain.layout.regions()
    noise = np.concatenate(
        [
            (s.betas - s.betas.mean(0)) / s.betas.std(0)
            for s in sessions(spec, "subj01", brain, np.zeros_like(signal), 0)
        ]
    )
    correlation = np.corrcoef(noise.T)
    same = (regions[:, None] == regions[None]) & ~np.eye(len(regions), dtype=bool)
    assert correlation[same].mean() == pytest.approx(0.3, abs=0.03)
    assert np.abs(correlation[regions[:, None] != regions[None]].mean()) < 0.02


def test_every_image_is_shown_equally_often() -> None:
    spec = spec_of(n_images=101, n_shared=101, n_repeats=3, session_trials=40)
    schedule = trial_schedule(spec, "subj01", 0)
    assert np.all(np.bincount(np.concatenate(schedule)) == 3)
    assert {len(images) for images in schedule} <= {37, 38}


def test_all_subjects_see_a_shared_image_in_the_same_trials() -> None:
    spec = spec_of(n_images=30, n_shared=10, n_repeats=2, session_trials=20)
    shown = [
        subject_image_ids(spec, subject, 0)[np.concatenate(trial_schedule(spec, subject, 0))]
        for subject in ("subj01", "subj02")
    ]
    shared = np.intersect1d(*(subject_image_ids(spec, s, 0) for s in ("subj01", "subj02")))
    same = shown[0] == shown[1]
    assert set(shown[0][same].tolist()) == set(shared.tolist())
    assert same.sum() == 20
    np.testing.assert_array_equal(np.isin(shown[0], shared), same)
    assert not np.array_equal(master_ordering(spec, 0), master_ordering(spec, 1))


def test_betas_are_raw_until_standardised(signal: np.ndarray) -> None:
    spec = spec_of(n_images=600, n_shared=600)
    first, second, *_ = sessions(spec, "subj01", brain_of(), signal, 0)
    drift = np.abs(first.betas.mean(0) - second.betas.mean(0))
    assert drift.mean() > 0.1, "baselines drift between sessions"
    betas = standardise(first.betas)
    np.testing.assert_allclose(betas.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(betas.std(0), 1, atol=1e-5)
