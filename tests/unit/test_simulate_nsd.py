"""Raw NSD as written: the same trials as in the Algonauts layout, real types, same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import loadmat

from cortune.data import open_dataset, prepare_images, prepare_responses, read_responses
from cortune.data.images import Framing, open_cache, read_index
from cortune.data.nsd import NsdReader
from cortune.data.rois import FAMILIES, HEMISPHERES
from cortune.encoding import Settings, encode_unit
from cortune.errors import InputError
from cortune.simulate import (
    SimulationSpec,
    render_scene,
    roi_sizes,
    simulate_layout,
    simulate_nsd_stimuli,
    simulate_nsd_subject,
    simulate_subject,
    subject_image_ids,
)
from cortune.versions import Provenance

PROVENANCE = Provenance("prepare", "1-00000000", 0)
VERTICES = {"V1v": 30, "V1d": 24, "hV4": 20, "FFA-1": 12, "EBA": 10, "mTL-faces": 0}
SPEC = SimulationSpec(
    n_images=43, n_shared=25, n_test_images=2, image_size=32, n_classes=6, n_repeats=2,
    session_trials=30, vertices=VERTICES,
)  # fmt: skip
BETAS = "nsddata_betas/ppdata/subj01/fsaverage/betas_fithrf_GLMdenoise_RR"
LABELS = "nsddata/freesurfer/subj01/label"
FSAVERAGE = "nsddata/freesurfer/fsaverage/label"
WAYS = ("white-to-fsaverage", "fsaverage-to-white")
STIMULI = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
STIM_INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Subject 1 in both layouts; subject 2 in raw NSD only as far as the design goes."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate_layout("nsd", folder / "nsd", ["subj01"], SPEC, 0)
    algonauts = folder / "algonauts" / "subj01"
    simulate_subject(SPEC, "subj01", algonauts, folder / "other truth", seed=0)
    return folder


def test_the_reader_finds_nothing_wrong(written: Path) -> None:
    reader = open_dataset("nsd", written / "nsd")
    assert reader.problems("all", "all") == []
    assert reader.subjects() == ["subj01"]
    for hemisphere in HEMISPHERES:
        assert reader.roi_sizes("subj01", hemisphere) == roi_sizes(SPEC, "subj01", hemisphere)


def test_files_are_those_of_nsd(written: Path) -> None:
    expected = {STIMULI, DESIGN, STIM_INFO}
    for h in HEMISPHERES:
        expected |= {f"{BETAS}/{h}.betas_session{n:02d}.mgh" for n in (1, 2, 3)}
        expected |= {f"{BETAS}/{h}.ncsnr.mgh", *(f"{LABELS}/{h}.{f}.mgz" for f in FAMILIES)}
    families, own = (*FAMILIES, "nsdgeneral"), "nsddata/ppdata/subj01"
    for where in (LABELS, FSAVERAGE):
        expected |= {f"{where}/{family}.mgz.ctab" for family in families}
        expected |= {f"{where}/{h}.nsdgeneral.mgz" for h in HEMISPHERES}
    expected |= {f"{own}/transforms/{h}.{way}.mgz" for way in WAYS for h in HEMISPHERES}
    expected |= {f"{own}/behav/responses.tsv"}
    names = {p.relative_to(written / "nsd").as_posix() for p in (written / "nsd").rglob("*.*")}
    assert {name for name in names if (written / "nsd" / name).is_file()} == expected


def test_arrays_have_the_real_types(written: Path) -> None:
    root = written / "nsd"
    for number, n_trials in ((1, 29), (2, 29), (3, 28)):
        image = nibabel.load(root / BETAS / f"lh.betas_session{number:02d}.mgh")
        assert image.shape == (163_842, 1, 1, n_trials)
        assert image.header.get_data_dtype() == np.dtype(">f4")
    design = loadmat(root / DESIGN)
    assert design["masterordering"].shape == (1, 86)
    assert design["subjectim"].shape == (8, 43)
    types = {"masterordering": np.uint16, "subjectim": np.int32, "sharedix": np.int32}
    assert {name: design[name].dtype for name in types} == types
    assert b"Created on" not in (root / DESIGN).read_bytes()[:116]
    with h5py.File(root / STIMULI) as file:
        assert file["imgBrick"].shape == (73_000, 32, 32, 3)
        assert file["imgBrick"].dtype == np.uint8
    assert (root / STIMULI).stat().st_size < 2_000_000, "unseen pictures take no space"


def test_every_subject_has_its_images_in_the_design(written: Path) -> None:
    design = loadmat(written / "nsd" / DESIGN)
    for number, row in enumerate(design["subjectim"], start=1):
        np.testing.assert_array_equal(
            np.sort(row) - 1, subject_image_ids(SPEC, f"subj{number:02d}", 0)
        )
    shared = design["subjectim"][:, : SPEC.n_shared]
    assert (shared == shared[0]).all()
    np.testing.assert_array_equal(design["sharedix"][0], np.sort(shared[0]))
    assert len(np.unique(design["subjectim"])) == 25 + 8 * 18
    assert np.all(np.bincount(design["masterordering"][0].astype(int))[1:] == SPEC.n_repeats)


def test_the_stimulus_table_tells_every_trial(written: Path) -> None:
    table = pd.read_csv(written / "nsd" / STIM_INFO, index_col=0)
    subjects = [f"subject{n}" for n in range(1, 9)]
    first = ["cocoId", "cocoSplit", "cropBox", "loss", "nsdId", "flagged", "BOLD5000"]
    repeats = [f"{subject}_rep{n}" for subject in subjects for n in range(3)]
    assert list(table.columns) == [*first, "shared1000", *subjects, *repeats]
    assert len(table) == 73_000 and set(table["cocoSplit"]) == {"train2017", "val2017"}
    design = loadmat(written / "nsd" / DESIGN)
    order = design["masterordering"][0].astype(int) - 1
    shown = design["subjectim"][:, order] - 1
    for subject, images in zip(subjects, shown, strict=True):
        for trial in (1, 40, 86):
            row = table.loc[images[trial - 1]]
            assert trial in [row[f"{subject}_rep{n}"] for n in range(3)] and row[subject] == 1
    assert table["shared1000"].sum() == SPEC.n_shared


def test_behaviour_tells_what_was_shown(written: Path) -> None:
    behaviour = pd.read_csv(written / "nsd/nsddata/ppdata/subj01/behav/responses.tsv", sep="\t")
    design = loadmat(written / "nsd" / DESIGN)
    shown = design["subjectim"][0, design["masterordering"][0].astype(int) - 1]
    np.testing.assert_array_equal(behaviour["73KID"], shown)
    np.testing.assert_array_equal(behaviour["10KID"], design["masterordering"][0])
    np.testing.assert_array_equal(behaviour["ISOLD"], pd.Series(shown).duplicated())
    assert behaviour["SESSION"].value_counts().sort_index().tolist() == [29, 29, 28]
    assert behaviour["MEMORYFIRST"].isna().sum() == len(set(shown))


def test_labels_are_on_the_subjects_own_surface(written: Path) -> None:
    root = written / "nsd"
    for h in HEMISPHERES:
        own = root / "nsddata/ppdata/subj01/transforms"
        there, back = (
            np.squeeze(nibabel.load(own / f"{h}.{way}.mgz").get_fdata()).astype(int) - 1
            for way in WAYS
        )
        np.testing.assert_array_equal(back[there], np.arange(163_842))
        labels = np.squeeze(nibabel.load(root / LABELS / f"{h}.nsdgeneral.mgz").get_fdata())
        assert len(labels) == len(back) > 163_842
        general = np.squeeze(nibabel.load(root / FSAVERAGE / f"{h}.nsdgeneral.mgz").get_fdata())
        np.testing.assert_array_equal(labels[there], general)


def test_the_volume_holds_the_surfaces_responses(written: Path, tmp_path: Path) -> None:
    simulate_layout("nsd", tmp_path / "nsd", ["subj01"], replace(SPEC, volume=True), 0)
    root = tmp_path / "nsd"
    reader = open_dataset("nsd", root, space="func1pt8mm")
    assert reader.problems("all", "all") == []
    surface = open_dataset("nsd", written / "nsd")
    for h in HEMISPHERES:
        assert reader.roi_sizes("subj01", h) == surface.roi_sizes("subj01", h)
        ours, theirs = (r.responses("subj01", h) for r in (reader, surface))
        for roi in ("V1v", "EBA"):
            a, b = ours.values[:, ours.rois[roi]], theirs.values[:, theirs.rois[roi]]
            np.testing.assert_allclose(a, b, atol=0.02)  # integers, 300 a percent
    folder = root / BETAS.replace("fsaverage", "func1pt8mm")
    image = nibabel.load(folder / "betas_session01.nii.gz")
    with h5py.File(folder / "betas_session01.hdf5") as file:
        betas = file["betas"][:]
    assert betas.shape == (29, 83, 104, 81) and betas.dtype == np.int16
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), betas.T)
    roi = root / "nsddata/ppdata/subj01/func1pt8mm/roi/nsdgeneral.nii.gz"
    assert set(np.unique(nibabel.load(roi).get_fdata())) == {-1, 1}


def test_pictures_are_their_scenes(written: Path) -> None:
    seen = loadmat(written / "nsd" / DESIGN)["subjectim"].astype(int) - 1
    with h5py.File(written / "nsd" / STIMULI) as file:
        for nsd_id in [*seen[0, ::11], *seen[7, ::11]]:
            scene = render_scene(int(nsd_id), size=32, n_classes=6, seed=0)
            np.testing.assert_array_equal(file["imgBrick"][nsd_id], scene.image)
        unseen = np.setdiff1d(np.arange(400), seen)[:5]
        assert not file["imgBrick"][unseen].any()


def prepared(written: Path, layout: str, hemisphere: str, out: Path) -> Path:
    root = written / ("nsd" if layout == "nsd" else "algonauts")
    reader = open_dataset(layout, root, stim_info=written / "nsd" / STIM_INFO)
    path = out / layout / f"{hemisphere}.h5"
    prepare_responses(reader, "subj01", hemisphere, path, PROVENANCE)
    return path


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_both_layouts_give_the_same_responses(
    written: Path, hemisphere: str, tmp_path: Path
) -> None:
    raw = prepared(written, "nsd", hemisphere, tmp_path)
    ready = prepared(written, "algonauts2023", hemisphere, tmp_path)
    for roi in ("V1v", "V1d", "hV4", "FFA-1", "EBA", "early"):
        ours, theirs = read_responses(raw, roi), read_responses(ready, roi)
        assert ours.identities == theirs.identities and ours.identities[0].startswith("coco:")
        np.testing.assert_array_equal(ours.mesh_vertices, theirs.mesh_vertices)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-5)
        np.testing.assert_allclose(ours.noise_ceiling, theirs.noise_ceiling, atol=1e-5)
    assert np.std(ours.values) > 0.3


def test_both_layouts_give_the_same_pictures(written: Path, tmp_path: Path) -> None:
    found = []
    for layout, root in (("nsd", "nsd"), ("algonauts2023", "algonauts")):
        reader = open_dataset(layout, written / root, stim_info=written / "nsd" / STIM_INFO)
        cache, index = tmp_path / f"{layout}.npy", tmp_path / f"{layout}.csv"
        prepare_images(reader, "subj01", Framing(24), cache, index, PROVENANCE, workers=2)
        found.append((list(read_index(index)), open_cache(cache)))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_pictures_can_be_mirrored(written: Path, tmp_path: Path) -> None:
    simulate_nsd_stimuli(replace(SPEC, mirrored=True), tmp_path, 0)
    with h5py.File(tmp_path / STIMULI) as mirrored, h5py.File(written / "nsd" / STIMULI) as plain:
        row = int(subject_image_ids(SPEC, "subj01", 0)[0])
        assert np.array_equal(mirrored["imgBrick"][row][:, ::-1], plain["imgBrick"][row])
        assert plain["imgBrick"][row].any()


def test_both_layouts_give_the_same_encoding_table(written: Path, tmp_path: Path) -> None:
    """Features are random projections of the pictures, which explain something."""
    ids = subject_image_ids(SPEC, "subj01", 0)
    with h5py.File(written / "nsd" / STIMULI) as file:
        pixels = file["imgBrick"][ids].reshape(len(ids), -1) / 255.0
    features = pixels @ np.random.default_rng(0).standard_normal((pixels.shape[1], 60))
    features -= features.mean(axis=0)
    grams = {"random": (features @ features.T).astype(np.float32)}
    sets = {"tune": np.arange(20), "validation": np.arange(20, 23), "test": np.arange(23, 43)}
    tables = []
    for layout in ("nsd", "algonauts2023"):
        unit = read_responses(prepared(written, layout, "lh", tmp_path), "V1v")
        tables.append(
            encode_unit(
                grams, unit.values, sets, Settings(np.logspace(0, 5, 4), 10, 20),
                n_folds=4, noise_ceiling=unit.noise_ceiling, vertices=unit.mesh_vertices,
            )
        )  # fmt: skip
    for protocol, ours in tables[0].items():
        theirs = tables[1][protocol]
        np.testing.assert_allclose(ours.r, theirs.r, atol=1e-4)
        np.testing.assert_array_equal(ours.alpha, theirs.alpha)
        np.testing.assert_array_equal(ours.vertices, theirs.vertices)
        assert np.abs(ours.r).max() > 0.05


def test_truth_is_that_of_the_other_layout(written: Path) -> None:
    assert digests(written / "truth" / "subj01") == digests(written / "other truth")


def test_the_same_call_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    """Whether or not another subject is simulated, and whichever part comes first."""
    root = tmp_path / "nsd"
    simulate_nsd_subject(SPEC, "subj01", root, tmp_path / "truth", 0)
    simulate_nsd_stimuli(SPEC, root, 0)
    assert digests(root) == digests(written / "nsd")
    assert digests(tmp_path / "truth") == digests(written / "truth" / "subj01")


def test_as_many_subjects_as_there_are_images(tmp_path: Path) -> None:
    """Of 73000 identities three subjects use 60000; a fourth would need 80000."""
    spec = SimulationSpec(n_images=10, n_shared=10, n_test_images=20_000, image_size=32)
    simulate_nsd_stimuli(spec, tmp_path, 0)
    assert loadmat(tmp_path / DESIGN)["subjectim"].shape == (3, 10)
    with pytest.raises(InputError, match="subj04"):
        simulate_nsd_subject(spec, "subj04", tmp_path, tmp_path / "truth", 0)


def test_photographs_replace_the_scenes(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for index in range(12):
        picture = Image.fromarray(draw.integers(0, 255, (40, 60, 3), dtype=np.uint8))
        picture.save(photographs / f"{index:02d}.png")
    spec = SimulationSpec.from_mapping(
        {"images": photographs, "image_size": 32, "n_repeats": 2, "vertices": VERTICES}
    )
    simulate_layout("nsd", tmp_path / "nsd", ["subj03"], spec, 0)
    reader = NsdReader(tmp_path / "nsd")
    assert reader.problems("all", "all") == []
    assert [source.row for source in reader.images("subj03").files] == list(range(12))
    assert np.isfinite(reader.responses("subj03", "rh").values).all()
    assert loadmat(tmp_path / "nsd" / DESIGN)["subjectim"].shape == (8, 12)


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for index in range(4):
        Image.new("RGB", (40, 40)).save(photographs / f"{index}.png")
    (photographs / "2.png").write_bytes(b"broken")
    spec = SimulationSpec.from_mapping({"images": photographs, "vertices": VERTICES})
    root = tmp_path / "nsd"
    for write in (
        lambda: simulate_nsd_subject(spec, "subj01", root, root / "truth", 0),
        lambda: simulate_nsd_stimuli(spec, root, 0),
    ):
        with pytest.raises(InputError, match=r"2\.png"):
            write()
    left = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert left == {DESIGN, STIM_INFO}, "files that were whole before it"
    assert not list(root.rglob("*subj01*"))


def test_a_wrong_subject_stops_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'subj09'; expected one of subj01, .*subj08"):
        simulate_layout("nsd", tmp_path / "nsd", ["subj01", "subj09"], SPEC, 0)
    assert not (tmp_path / "nsd").exists()
