"""The NOD layout as written: nibabel and the reader accept it, truth fits it, bytes repeat."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis
from PIL import Image

from cortune.data import prepare_responses, read_responses
from cortune.data.nod import NodReader
from cortune.data.nod_files import N_LEFT, load_areas, load_parcels
from cortune.data.rois import HEMISPHERES
from cortune.errors import InputError
from cortune.simulate import SimulationSpec, make_brain, render_scene, subject_image_ids
from cortune.simulate.grayordinates import RADIUS_MM, cortex, smoothing
from cortune.simulate.nod import make_nod_brain, simulate_nod_subject, simulate_nod_support
from cortune.simulate.nod_spec import NodSpec
from cortune.simulate.responses import pooling_weights
from cortune.versions import Provenance

SPEC = NodSpec(
    n_images=120, run_trials=40, session_runs=2, n_coco=6, image_size=32, n_classes=6, ncsnr=0.5
)
TINY = replace(SPEC, n_images=8, run_trials=4, session_runs=1, n_coco=2)
# Glasser counts in the file of the data set, by position: left, right.
COUNTS = {"V1": (841, 787), "V2": (622, 607), "V3": (336, 358), "V4": (346, 296)}
RUNS = ("ses-imagenet01_task-imagenet_run-1", "ses-imagenet01_task-imagenet_run-2",
        "ses-imagenet02_task-imagenet_run-1")  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate_nod_support(folder / "data", 0)
    simulate_nod_subject(SPEC, "sub01", folder / "data", folder / "truth/sub01", 0)
    return folder


def results(written: Path, run: str) -> Path:
    return written / "data/derivatives/ciftify/sub-01/results" / run


def events(written: Path, run: str) -> list[dict[str, str]]:
    session, task, number = run.split("_")
    name = f"sub-01_{session}_{task}_run-{int(number[4:]):02d}_events.tsv"
    with (written / "data/sub-01" / session / "func" / name).open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


# Files.


def test_files_are_those_of_the_data_set(written: Path) -> None:
    names = set(digests(written / "data"))
    expected = {"supportfiles/MMP_mpmLR32k.mat", "supportfiles/roilbl_mmp.csv"}
    folder = "derivatives/ciftify/sub-01/results"
    expected.add(f"{folder}/ses-prf_task-prf/ses-prf_task-prf_params.dscalar.nii")
    for run in RUNS:
        expected |= {f"{folder}/{run}/{run}_{end}" for end in ("beta.dscalar.nii", "label.txt")}
        session, number = run.split("_")[0], int(run[-1])
        start = f"sub-01/{session}/func/sub-01_{session}_task-imagenet"
        expected.add(f"{start}_run-{number:02d}_events.tsv")
        expected |= {f"stimuli/{row['stim_file']}" for row in events(written, run)}
    assert names == expected
    assert sum(name.startswith("stimuli/") for name in names) == SPEC.n_images


@pytest.mark.parametrize("run", RUNS[::2])
def test_betas_are_cifti(written: Path, run: str) -> None:
    image = nibabel.load(results(written, run) / f"{run}_beta.dscalar.nii")
    assert isinstance(image, Cifti2Image)
    assert image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    assert image.get_data_dtype() == np.float32
    scalars, columns = (image.header.get_axis(axis) for axis in (0, 1))
    assert isinstance(scalars, ScalarAxis) and isinstance(columns, BrainModelAxis)
    rows = events(written, run)
    assert [row["stim_file"].rsplit("/", 1)[-1] for row in rows] == list(scalars.name)
    assert (results(written, run) / f"{run}_label.txt").read_text().split() == list(scalars.name)
    structures = [(str(name), len(axis)) for name, _, axis in columns.iter_structures()]
    assert structures == [
        ("CIFTI_STRUCTURE_CORTEX_LEFT", 29_696),
        ("CIFTI_STRUCTURE_CORTEX_RIGHT", 29_716),
    ]
    assert set(columns.nvertices.values()) == {32_492}
    for _, _, axis in columns.iter_structures():
        assert np.all(np.diff(axis.vertex) > 0) and 0 <= axis.vertex[0] < axis.vertex[-1] < 32_492
    values = image.get_fdata()
    assert values.shape == (SPEC.run_trials, 59_412) and np.isfinite(values).all()
    assert (values.std(0) > 0.05).all()


def test_events_tell_class_and_picture(written: Path) -> None:
    for row in events(written, RUNS[1]):
        scene_id = int(Path(row["stim_file"]).stem.split("_")[-1])
        scene_id -= row["stim_file"].startswith("coco/")
        scene = render_scene(scene_id, size=32, n_classes=6, seed=0)
        assert float(row["trial_type"]) == scene.label + 1
        picture = np.asarray(Image.open(written / "data/stimuli" / row["stim_file"]))
        np.testing.assert_allclose(picture.astype(int), scene.image, atol=6)  # a JPEG


def test_parcellation_has_the_real_counts(written: Path) -> None:
    folder = written / "data/supportfiles"
    parcels, areas = (
        load_parcels(folder / "MMP_mpmLR32k.mat"),
        load_areas(folder / "roilbl_mmp.csv"),
    )
    assert set(parcels) == set(range(180))
    for area, counts in COUNTS.items():
        halves = np.split(parcels == areas.index(area), [N_LEFT])
        assert tuple(np.count_nonzero(half) for half in halves) == counts
    assert areas[:6] == ["V1", "MST", "V6", "V2", "V3", "V4"] and areas[-1] == "p24"
    spread = [
        np.linalg.norm(part - part.mean(0), axis=1).max()
        for number in range(180)
        if len(part := cortex("lh")[parcels[:N_LEFT] == number])
    ]
    assert np.median(spread) < 0.25  # of the sphere's radius: patches, not scatter


# The reader and the truth.


def test_the_reader_finds_nothing_wrong(written: Path) -> None:
    reader = NodReader(written / "data")
    assert reader.problems("all", ["V1", "V2", "V3", "V4"]) == []
    assert reader.subjects() == ["sub01"]
    identities = reader.images("sub01").identities
    assert len(set(identities)) == SPEC.n_images
    coco = [identity for identity in identities if identity.startswith("coco:")]
    assert len(coco) == SPEC.n_coco
    names = [row["stim_file"] for run in RUNS for row in events(written, run)]
    own = [i for i in identities if i.startswith("stim:imagenet/")]
    assert own == [f"stim:{name}" for name in names if name.startswith("imagenet/")]


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_responses_reach_their_ceiling(written: Path, hemisphere: str) -> None:
    found = NodReader(written / "data", top_vertices=None).responses("sub01", hemisphere)
    with h5py.File(written / f"truth/sub01/{hemisphere}.h5") as truth:
        columns = np.searchsorted(found.vertices, truth["vertices"][:])
        np.testing.assert_array_equal(found.vertices[columns], truth["vertices"][:])
        clean, null, ceiling = (truth[name][:] for name in ("responses", "null", "noise_ceiling"))
        for area in COUNTS:
            np.testing.assert_array_equal(found.rois[area], columns[truth[f"rois/{area}"][:]])
        assert [name.decode() for name in truth["images"][:]] == [
            row["stim_file"] for run in RUNS for row in events(written, run)
        ]
    assert 0.02 < null.mean() < 0.04
    runs = clean.reshape(3, SPEC.run_trials, -1)
    clean = (runs - runs.mean(1, keepdims=True)).reshape(clean.shape)
    measured = found.values[:, columns]
    live = ~null
    r = (clean * measured).mean(0)[live] / (clean.std(0) * measured.std(0))[live]
    assert np.mean(r - np.sqrt(ceiling[live])) == pytest.approx(0, abs=0.02)
    assert np.corrcoef(r, ceiling[live])[0, 1] > 0.7
    other = np.roll(clean, 1, axis=0)[:, live]
    wrong = (other * measured[:, live]).mean(0) / (other.std(0) * measured[:, live].std(0))
    assert abs(wrong.mean()) < 0.05
    assert np.all(clean[:, null] == 0) and (ceiling[null] == 0).all()


def test_the_best_fitted_vertices_are_reliable(written: Path) -> None:
    found = NodReader(written / "data", top_vertices=50).responses("sub01", "lh")
    with h5py.File(written / "truth/sub01/lh.h5") as truth:
        ceiling = dict(zip(truth["vertices"][:].tolist(), truth["noise_ceiling"][:], strict=True))
        mean = {area: truth["noise_ceiling"][:][truth[f"rois/{area}"][:]].mean() for area in COUNTS}
    for area in COUNTS:
        kept = [ceiling[v] for v in found.vertices[found.rois[area]].tolist()]
        assert len(kept) == 50 and min(kept) > 0 and np.mean(kept) > 1.2 * mean[area]


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_fits_are_the_true_prfs_in_pixels(written: Path, hemisphere: str) -> None:
    folder = results(written, "ses-prf_task-prf")
    image = nibabel.load(folder / "ses-prf_task-prf_params.dscalar.nii")
    assert image.shape == (4, 59_412)
    with h5py.File(written / f"truth/sub01/{hemisphere}.h5") as truth:
        where, null = truth["vertices"][:], truth["null"][:]
        x, y, size = (truth[f"prf/{name}"][:] for name in ("x", "y", "size"))
    angle, eccentricity, pixels, r2 = image.get_fdata()[:, where]
    fitted = ~null & np.isfinite(r2)
    assert 0.01 < np.isnan(r2).mean() < 0.05 and np.nanmax(r2) <= 100
    degrees = eccentricity * 16 / 200
    found = degrees * np.cos(np.radians(angle)), degrees * np.sin(np.radians(angle))
    np.testing.assert_allclose(np.stack(found)[:, fitted], np.stack([x, y])[:, fitted], atol=1e-4)
    np.testing.assert_allclose(pixels[fitted] * 16 / 200, size[fitted], rtol=1e-5)
    side = 1 if hemisphere == "lh" else -1
    assert (side * x >= -1e-6).all()
    assert 7 < np.hypot(x, y).max() <= 8


def test_prepared_responses_are_read_back(written: Path, tmp_path: Path) -> None:
    reader = NodReader(written / "data")
    path = tmp_path / "responses.h5"
    prepare_responses(reader, "sub01", "rh", path, Provenance("prepare", "1-00000000", 0))
    whole = reader.responses("sub01", "rh")
    for area in COUNTS:
        found = read_responses(path, area)
        np.testing.assert_array_equal(found.values, whole.values[:, whole.rois[area]])
        assert found.values.shape == (SPEC.n_images, 50)


# The observer.


def test_tuning_is_shared_with_the_nsd_simulation() -> None:
    """Fully at rho = 1: the same profiles, and the same mixture at the same place."""
    vertices = {"V1v": 300, "V1d": 300, "V2v": 200, "V2d": 200, "hV4": 150}
    common = {"n_classes": 6, "null_fraction": 0.0}
    for rho, low, high in ((1.0, 0.95, 1.0), (0.0, -0.6, 0.6)):
        nsd = make_brain(
            SimulationSpec(vertices=vertices, tuning_correlation=rho, **common), "subj01", "lh", 0
        )
        nod = make_nod_brain(NodSpec(tuning_correlation=rho, **common), "sub01", "lh", 0)
        mine = {patch.region.field + patch.region.area: patch for patch in nod.patches}
        for theirs in nsd.patches:
            patch = mine.get(theirs.region.field + theirs.region.area)
            if patch is None:
                continue
            same = np.array_equal(patch.tuning["energy"].profiles, theirs.tuning["energy"].profiles)
            assert same == (rho == 1)
            gap = np.linalg.norm(patch.sheet[:, None] - theirs.sheet[None], axis=2)
            nearest = theirs.tuning["energy"].mixture[gap.argmin(1)]
            r = np.corrcoef(nearest.ravel(), patch.tuning["energy"].mixture.ravel())[0, 1]
            assert low < r <= high


def test_pictures_are_as_wide_as_told() -> None:
    draw = np.random.default_rng(0)
    x, y, size = draw.normal(0, 2, 30), draw.normal(0, 2, 30), draw.uniform(0.5, 2, 30)
    wide = pooling_weights(2 * x, 2 * y, 2 * size, 16.8)
    np.testing.assert_allclose(wide, pooling_weights(x, y, size), atol=1e-7)
    np.testing.assert_allclose(pooling_weights(x, y, size, 400.0).sum(0), 1, rtol=1e-5)


def test_noise_is_as_smooth_as_told() -> None:
    """Unit variance, and the correlation of white noise smoothed by a Gaussian."""
    fwhm = 4.0
    kernel = smoothing("lh", fwhm)
    draw = np.random.default_rng(0)
    points = RADIUS_MM * cortex("lh")
    variance = np.asarray(kernel.multiply(kernel).sum(1)).ravel()
    np.testing.assert_allclose(variance, 1, rtol=1e-5)
    sigma = fwhm / np.sqrt(8 * np.log(2))
    for vertex in draw.choice(N_LEFT, 20, replace=False):
        distance = np.linalg.norm(points - points[vertex], axis=1)
        near = np.flatnonzero(distance < 6)
        assert len(near) > 10
        found = (kernel[[vertex]] @ kernel[near].T).toarray()[0]
        np.testing.assert_allclose(found, np.exp(-(distance[near] ** 2) / 4 / sigma**2), atol=0.06)
    spacing = np.sort(np.linalg.norm(points - points[0], axis=1))[1]
    assert 1.5 < spacing < 2.5


def test_without_smoothing_noise_is_white() -> None:
    kernel = smoothing("rh", 0.0).tocoo()
    assert kernel.nnz == kernel.shape[0]
    np.testing.assert_array_equal(kernel.row, kernel.col)


# Bytes, identities, settings.


def test_the_same_call_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whether or not another subject is simulated into the same folder."""
    for name, subjects in (("a", ["sub02"]), ("b", ["sub01", "sub02"])):
        root = tmp_path / name
        for subject in subjects:
            simulate_nod_subject(TINY, subject, root / "data", root / "truth" / subject, 3)
        simulate_nod_support(root / "data", 3)
    alone, both = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert alone.items() <= both.items()
    assert NodReader(tmp_path / "b/data").problems("all", ["V1"]) == []
    first, second = (
        set(NodReader(tmp_path / "b/data").images(s).identities) for s in ("sub01", "sub02")
    )
    assert len(first & second) == TINY.n_coco
    assert all(identity.startswith("coco:") for identity in first & second)
    assert not [path for path in both if ".part" in path or "scratch" in path]


def test_images_are_not_those_of_the_nsd_simulation(written: Path) -> None:
    ids = set(subject_image_ids(SimulationSpec(), "subj01", 0).tolist())
    for identity in NodReader(written / "data").images("sub01").identities:
        if identity.startswith("stim:"):
            assert int(Path(identity).stem.split("_")[-1]) > 73_000
        else:
            assert 0 <= int(identity.removeprefix("coco:")) - 1 < 73_000
    assert max(ids) < 73_000


@pytest.mark.parametrize(
    "mapping, where, text",
    [
        ({"n_image": 5}, "simulate.n_image", "Did you mean 'n_images'?"),
        ({"ncsnr": 0}, "simulate.ncsnr", "0.01 to 100"),
        ({"smoothing_mm": -1}, "simulate.smoothing_mm", "0.0 to 20.0"),
        ({"n_images": 4001}, "simulate.n_images", "at most 4000, which 4 sessions hold"),
        ({"n_images": 9, "n_coco": 10}, "simulate.n_coco", "at most 9"),
    ],
)
def test_bad_settings_are_explained(mapping: dict[str, float], where: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        NodSpec.from_mapping(mapping)
    assert caught.value.where == where
    assert text in str(caught.value)


def test_settings_come_from_a_mapping() -> None:
    assert NodSpec.from_mapping({"n_images": 12, "ncsnr": None}) == NodSpec(n_images=12)


@pytest.mark.parametrize("subject", ["subj01", "sub1", "bob", "../sub01"])
def test_subject_names_are_checked(tmp_path: Path, subject: str) -> None:
    with pytest.raises(InputError, match="subject"):
        simulate_nod_subject(TINY, subject, tmp_path / "data", tmp_path / "truth", 0)
    assert list(tmp_path.iterdir()) == []
