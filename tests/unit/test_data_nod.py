"""The NOD reader against files that nibabel wrote and computations made by hand."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.cifti2 import Cifti2Image, ScalarAxis
from nod_tree import (
    N_CORTEX,
    N_LEFT,
    NAMES,
    SUBJECT,
    NodTree,
    models,
    write_events,
    write_labels,
    write_maps,
    write_tree,
)
from PIL import Image
from scipy.io import savemat
from scipy.stats import zscore

from cortune.artifacts import read_provenance
from cortune.data import open_dataset, prepare_images, prepare_responses, read_responses
from cortune.data.cifti import map_cifti, read_cifti_header
from cortune.data.images import Framing, open_cache, read_index_lines
from cortune.data.nod import NodReader
from cortune.data.nod_files import load_parcels
from cortune.data.nod_trials import locate, read_labels
from cortune.errors import InputError
from cortune.versions import Provenance

PROVENANCE = Provenance("prepare", "1-00000000", 0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> NodTree:
    return write_tree(tmp_path_factory.mktemp("nod") / "data")


@pytest.fixture
def tree(template: NodTree, tmp_path: Path) -> NodTree:
    shutil.copytree(template.root, tmp_path / "data")
    return replace(template, root=tmp_path / "data")


def expected(tree: NodTree) -> np.ndarray:
    """Every grayordinate's responses, by image in order of first appearance."""
    first, second = (zscore(values.astype(float), axis=0) for values in tree.values)
    return np.concatenate([first[:5], (first[5:] + second[:1]) / 2, second[1:]])


def where(tree: NodTree, hemisphere: str, roi: str) -> np.ndarray:
    half = np.arange(N_LEFT) if hemisphere == "lh" else np.arange(N_LEFT, N_CORTEX)
    return half[(tree.labels[half] - 1) % 180 == NAMES.index(roi)]


# What is read.


@pytest.mark.parametrize("hemisphere", ["lh", "rh"])
def test_responses_are_z_scored_per_run_and_vertex(template: NodTree, hemisphere: str) -> None:
    reader = NodReader(template.root, top_vertices=None)
    found = reader.responses(SUBJECT, hemisphere)
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(
        found.values, expected(template)[:, found.vertices], rtol=1e-5, atol=1e-6
    )
    assert np.all(np.diff(found.vertices) > 0)
    assert (found.mesh_vertices == -1).all() and np.isnan(found.noise_ceiling).all()
    assert list(found.rois) == NAMES
    for roi in NAMES[::20]:
        columns = found.vertices[found.rois[roi]]
        np.testing.assert_array_equal(columns, where(template, hemisphere, roi))
    sizes = {roi: len(columns) for roi, columns in found.rois.items()}
    assert reader.roi_sizes(SUBJECT, hemisphere) == sizes


@pytest.mark.parametrize("top", [7, 100])
@pytest.mark.parametrize("hemisphere", ["lh", "rh"])
def test_the_best_fitted_vertices_are_kept(template: NodTree, hemisphere: str, top: int) -> None:
    """Against Python's stable sort; with 100 of about 165, some without a fit are needed."""
    reader = NodReader(template.root, top_vertices=top)
    found = reader.responses(SUBJECT, hemisphere)
    for roi in ("V1", "V2", "V3", "V4", "A100"):
        candidates = where(template, hemisphere, roi).tolist()
        r2 = {v: -np.inf if np.isnan(template.r2[v]) else template.r2[v] for v in candidates}
        best = sorted(candidates, key=lambda v, r2=r2: r2[v], reverse=True)[:top]  # type: ignore[misc]
        assert found.vertices[found.rois[roi]].tolist() == sorted(best)
    np.testing.assert_allclose(
        found.values, expected(template)[:, found.vertices], rtol=1e-5, atol=1e-6
    )
    sizes = {roi: len(columns) for roi, columns in found.rois.items()}
    assert reader.roi_sizes(SUBJECT, hemisphere) == sizes


def test_structures_are_found_by_name(template: NodTree, tree: NodTree) -> None:
    """91282 columns, whatever the order, read as 59412."""
    for run, (values, order) in enumerate(zip(tree.values, ("LRS", "SLR"), strict=True), start=1):
        names = [name.rsplit("/", 1)[-1] for name in tree.stimuli[run - 1]]
        write_maps(tree.file(run), names, values, order)
    fits = np.concatenate([np.zeros((3, N_CORTEX)), tree.r2[None]])
    write_maps(tree.fits, ["a", "b", "c", "R2"], fits, "RL")
    assert [read_cifti_header(tree.file(run)).shape[1] for run in (1, 2)] == [91_282, 91_282]
    reader = NodReader(tree.root)
    assert reader.problems("all", "all") == []
    for hemisphere in ("lh", "rh"):
        mine, theirs = (
            NodReader(root).responses(SUBJECT, hemisphere) for root in (tree.root, template.root)
        )
        np.testing.assert_array_equal(mine.values, theirs.values)
        np.testing.assert_array_equal(mine.vertices, theirs.vertices)


def test_headers_are_as_nibabel_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "a.dscalar.nii"
    write_maps(path, ["a & b", "c"], np.arange(2.0 * N_CORTEX).reshape(2, -1), "LRS")
    image = nibabel.load(path)
    header = read_cifti_header(path)
    scalars, columns = (image.header.get_axis(axis) for axis in (0, 1))
    assert header.shape == image.shape
    assert list(header.names) == list(scalars.name)
    for name, part, _ in columns.iter_structures():
        stop = header.shape[1] if part.stop is None else part.stop
        assert header.structures[str(name)] == slice(part.start, stop)
    np.testing.assert_array_equal(map_cifti(path), image.get_fdata())


def test_scaled_integers_are_scaled(template: NodTree, tree: NodTree) -> None:
    names = [name.rsplit("/", 1)[-1] for name in tree.stimuli[0]]
    image = Cifti2Image(tree.values[0], (ScalarAxis(names), models()))
    image.nifti_header.set_data_dtype(np.int16)
    image.to_filename(tree.file(1))
    header = nibabel.load(tree.file(1)).nifti_header
    assert header.get_data_dtype() == np.int16
    mine, theirs = (
        NodReader(r).responses(SUBJECT, "lh").values for r in (tree.root, template.root)
    )
    np.testing.assert_allclose(mine, theirs, atol=2e-3)


def test_constant_vertices_are_zero_in_their_run(tree: NodTree) -> None:
    vertex = where(tree, "lh", "V1")[0]
    values = tree.values[1].copy()
    values[:, vertex] = 0.1
    names = [name.rsplit("/", 1)[-1] for name in tree.stimuli[1]]
    write_maps(tree.file(2), names, values)
    found = NodReader(tree.root, top_vertices=None).responses(SUBJECT, "lh")
    column = found.values[:, np.searchsorted(found.vertices, vertex)]
    assert np.all(column[6:] == 0) and np.all(column[:5] != 0)


def test_either_order_of_labels_is_read(template: NodTree, tree: NodTree) -> None:
    """Areas are told by number and hemispheres by position."""
    path = tree.support / "MMP_mpmLR32k.mat"
    write_labels(path, np.where(tree.labels > 180, tree.labels - 180, tree.labels + 180))
    original = template.support / "MMP_mpmLR32k.mat"
    np.testing.assert_array_equal(load_parcels(path), load_parcels(original))


# Images.


def test_identities(template: NodTree) -> None:
    images = NodReader(template.root).images(SUBJECT)
    names = list(dict.fromkeys(name for part in template.stimuli for name in part))
    wanted = [f"stim:{name}" for name in names[:9]] + ["coco:123456", "nsd:00013"]
    assert list(images.identities) == wanted
    assert [f.relative_to(template.root / "stimuli").as_posix() for f in images.files] == names
    for hemisphere in ("lh", "rh"):
        found = NodReader(template.root).responses(SUBJECT, hemisphere)
        assert found.identities == images.identities


def test_tables_give_coco_ids(tree: NodTree, tmp_path: Path) -> None:
    (tmp_path / "info.csv").write_text("nsdId,cocoId\n13,99\n")
    (tmp_path / "coco.csv").write_text(f"stim_file,cocoId\n{tree.stimuli[0][2]},7\n")
    options = {"stim_info": tmp_path / "info.csv", "coco_of": tmp_path / "coco.csv"}
    reader = open_dataset("nod", tree.root, **options)
    identities = reader.images(SUBJECT).identities
    assert (identities[2], identities[10]) == ("coco:7", "coco:99")
    assert {*options.values()} <= {*reader.sources(SUBJECT, "lh")}


@pytest.mark.parametrize("keep", ["maps", "events", "labels"])
def test_each_source_of_names_suffices(tree: NodTree, keep: str) -> None:
    wanted = NodReader(tree.root).images(SUBJECT)
    for run in (1, 2):
        if keep != "maps":
            write_maps(tree.file(run), [f"#{i}" for i in range(6)], tree.values[run - 1])
        if keep != "events":
            tree.events(run).unlink()
        if keep != "labels":
            tree.file(run, "label.txt").unlink()
    reader = NodReader(tree.root)
    assert reader.problems("all", ["V1"]) == []
    assert reader.images(SUBJECT) == wanted


@pytest.mark.parametrize("newline", ["", "\n", "\r\n"])
def test_labels_with_and_without_newlines(tmp_path: Path, newline: str) -> None:
    names = ["n01_1.JPEG", "n01_2.jpg", "000000123456.jpg", "n02_9.JPEG"]
    (tmp_path / "label.txt").write_text(newline.join(names) + newline, newline="")
    assert read_labels(tmp_path / "label.txt") == names
    (tmp_path / "label.txt").write_text(newline.join(["12", "400"]))
    assert read_labels(tmp_path / "label.txt") == []


def test_links_of_datalad_are_followed(tree: NodTree) -> None:
    picture = tree.root / "stimuli" / tree.stimuli[0][0]
    store = tree.root / ".git/annex/objects/abc"
    store.parent.mkdir(parents=True)
    picture.rename(store)
    picture.symlink_to(os.path.relpath(store, picture.parent))
    assert NodReader(tree.root).problems("all", ["V1"]) == []
    assert locate(tree.root / "stimuli", tree.stimuli[0][0]) == picture


# Sessions and runs.


def test_missing_and_partial_runs_are_named(
    tree: NodTree, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(tree.file(2).parent, tree.file(4).parent)
    for kind in ("beta.dscalar.nii", "label.txt"):
        (tree.file(4).parent / tree.file(2, kind).name).rename(tree.file(4, kind))
    tree.file(1).unlink()
    reader = NodReader(tree.root)
    with caplog.at_level(logging.WARNING):
        assert reader.problems("all", ["V1"]) == []
        assert len(reader.images(SUBJECT)) == 6
    text = caplog.text
    names = [f"ses-imagenet01_task-imagenet_run-{n}" for n in (1, 2, 3, 4)]
    assert f"2 runs without betas: {names[0]}, {names[2]}" in text
    assert f"2 partial runs (fewer than 100 trials): {names[1]}, {names[3]}" in text


def test_the_fifth_session_is_left_out(tree: NodTree) -> None:
    for session in (2, 5):
        for kind in ("beta.dscalar.nii", "label.txt"):
            target = tree.file(1, kind, session)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(tree.file(1, kind), target)
        write_events(tree.events(1, session), tree.stimuli[0])
    used = {path.parent.name for path in NodReader(tree.root).sources(SUBJECT, "lh")}
    assert "ses-imagenet02_task-imagenet_run-1" in used
    assert not any("imagenet05" in name for name in used)
    reader = NodReader(tree.root, sessions=["imagenet05"])
    assert reader.sources(SUBJECT, "lh")[0] == tree.file(1, session=5)
    assert len(reader.images(SUBJECT)) == 6


# What is prepared.


def test_prepared_artifacts_equal_the_files(template: NodTree, tmp_path: Path) -> None:
    reader = NodReader(template.root, top_vertices=20)
    path = tmp_path / "responses.h5"
    prepare_responses(reader, SUBJECT, "rh", path, PROVENANCE)
    for roi in ("V1", "V4"):
        found = read_responses(path, roi)
        assert len(found.vertices) == 20
        np.testing.assert_allclose(
            found.values, expected(template)[:, found.vertices], rtol=1e-5, atol=1e-6
        )
    raw = read_provenance(path)["raw"]
    files = {f.relative_to(template.root).as_posix() for f in reader.sources(SUBJECT, "rh")}
    assert set(raw) == files and len(files) == 9
    prepare_images(reader, SUBJECT, Framing(8), tmp_path / "i.npy", tmp_path / "i.csv", PROVENANCE)
    assert open_cache(tmp_path / "i.npy")[:, 0, 0, 0].tolist() == list(range(11))
    index = read_index_lines(tmp_path / "i.csv")
    names = reader.images(SUBJECT).identities
    assert tuple(line["name"] for line in index) == names
    for line in index:
        known = not line["name"].startswith("stim:")
        assert line["identity"] == (line["name"] if known else f"image:{line['digest']}")


def test_every_vertex_is_read_where_the_whole_cortex_is_asked_for(template, tmp_path) -> None:
    reader = NodReader(template.root, top_vertices=20, whole=True)
    prepare_responses(reader, SUBJECT, "rh", tmp_path / "whole.h5", PROVENANCE)
    found = read_responses(tmp_path / "whole.h5", "whole")
    assert len(found.vertices) == reader.n_vertices(SUBJECT, "rh") == 29_716
    few = found.values[:, ::500]
    expects = expected(template)[:, found.vertices[::500]]
    np.testing.assert_allclose(few, expects, rtol=1e-5, atol=1e-6)
    assert len(read_responses(tmp_path / "whole.h5", "V1").vertices) == 20


# Bad input.


@dataclass(frozen=True)
class Case:
    """Damage to the data set, what must be said, and which method meets it."""

    damage: Callable[[NodTree], object]
    where: str
    found: str
    expected: str
    stage: str = "responses"


def put(tree: NodTree, value: float) -> None:
    values = tree.values[1].copy()
    values[3, where(tree, "lh", "V1")] = value
    short = [name.rsplit("/", 1)[-1] for name in tree.stimuli[1]]
    write_maps(tree.file(2), short, values)


def rewrite(path: Path, order: str, n: int = 6, drop: int = 0) -> None:
    axis = models(order)
    axis = axis[: len(axis) - drop]
    names = [f"#{i}" for i in range(n)]
    Cifti2Image(np.zeros((n, len(axis)), np.float32), (ScalarAxis(names), axis)).to_filename(path)


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def truncate(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])


def traverse(tree: NodTree, name: str) -> None:
    """Name one stimulus so that it leaves the folder, in the events and in the maps."""
    stimuli = [name, *tree.stimuli[1][1:]]
    write_maps(tree.file(2), stimuli, tree.values[1])
    write_events(tree.events(2), stimuli)
    tree.file(2, "label.txt").unlink()


def link_out(tree: NodTree) -> None:
    picture = tree.root / "stimuli" / tree.stimuli[1][2]
    picture.rename(tree.root / "elsewhere.png")
    picture.symlink_to(tree.root / "elsewhere.png")


BETA1, BETA2 = (f"ses-imagenet01_task-imagenet_run-{n}_beta.dscalar.nii" for n in (1, 2))
EVENTS2 = "sub-01_ses-imagenet01_task-imagenet_run-02_events.tsv"
MAT, CSV = "MMP_mpmLR32k.mat", "roilbl_mmp.csv"
CASES = {
    "betas truncated": Case(
        lambda t: truncate(t.file(2), 1_500_000), BETA2, "1500000 bytes (truncated)", "bytes for",
    ),
    "betas cut in the axes": Case(
        lambda t: truncate(t.file(2), 5000), BETA2, "5000 bytes (truncated)", "bytes for",
    ),
    "betas cut in the header": Case(
        lambda t: truncate(t.file(2), 100), BETA2, "no NIfTI-2 header", "a CIFTI-2 file",
    ),
    "betas are a page of text": Case(
        lambda t: t.file(2).write_text("<html>" * 200), BETA2, "no NIfTI-2 header", "CIFTI-2",
    ),
    "betas of a volume": Case(
        lambda t: nibabel.save(nibabel.Nifti2Image(np.zeros((4, 4, 4)), np.eye(4)), t.file(2)),
        BETA2, "NIfTI data of shape (4, 4, 4)", "a CIFTI-2 file",
    ),
    "one hemisphere": Case(
        lambda t: rewrite(t.file(2), "L"), BETA2, "29696/0 left/right", "29696/29716",
    ),
    "grayordinates missing": Case(
        lambda t: rewrite(t.file(2), "LR", drop=12), BETA2, "29696/29704 left/right", "29696/29716",
    ),
    "one trial": Case(
        lambda t: (rewrite(t.file(2), "LR", 1), write_events(t.events(2), t.stimuli[1][:1]),
                   t.file(2, "label.txt").unlink()),
        BETA2, "1 trial", "two trials or more",
    ),
    "NaN": Case(lambda t: put(t, np.nan), BETA2, "NaN or infinity in", "finite responses"),
    "infinity": Case(lambda t: put(t, np.inf), BETA2, "NaN or infinity in", "finite responses"),
    "events of another run": Case(
        lambda t: replace_text(t.events(2), t.stimuli[1][3], "imagenet/x/other.png"),
        EVENTS2, "'imagenet/x/other.png' in trial 4", f"{BETA2}", "images",
    ),
    "events too short": Case(
        lambda t: write_events(t.events(2), t.stimuli[1][:5]),
        EVENTS2, "5 trials, so that trial 6 differs", "6, as in", "images",
    ),
    "events without stimuli": Case(
        lambda t: replace_text(t.events(2), "stim_file", "picture"),
        EVENTS2, "the columns onset, duration, trial_type, picture", "stim_file", "images",
    ),
    "labels of another run": Case(
        lambda t: replace_text(t.file(2, "label.txt"), "n00000000_6.png", "n00000000_0.png"),
        "run-2_label.txt", "'n00000000_0.png' in trial 2", "'n00000000_6.png'", "images",
    ),
    "no names at all": Case(
        lambda t: (rewrite(t.file(2), "LR"), t.events(2).unlink(),
                   t.file(2, "label.txt").unlink()),
        BETA2, "not named after stimuli", EVENTS2, "images",
    ),
    "no run": Case(
        lambda t: [shutil.rmtree(t.file(n).parent) for n in (1, 2)],
        "results", "no betas of 2 runs", "ses-imagenet01_task-imagenet_run-1",
    ),
    "no parcellation": Case(lambda t: (t.support / MAT).unlink(), MAT, "no file", "glasser_MMP"),
    "a parcellation of another name": Case(
        lambda t: savemat(t.support / MAT, {"other": np.ones(3)}),
        MAT, "no numbers called glasser_MMP", "59412 labels",
    ),
    "a parcellation of another mesh": Case(
        lambda t: write_labels(t.support / MAT, np.ones(64_984)),
        MAT, "(1, 64984)", "59412 labels",
    ),
    "labels out of range": Case(
        lambda t: write_labels(t.support / MAT, t.labels + 1), MAT, "out of range", "0 to 360",
    ),
    "hemispheres mixed": Case(
        lambda t: write_labels(t.support / MAT, t.labels[np.arange(N_CORTEX) - 5]),
        MAT, "both hemispheres among the first 29696", "left cortex, then right",
    ),
    "a parcellation that is none": Case(
        lambda t: (t.support / MAT).write_text("MATLAB" * 100), MAT, "no MATLAB file", "59412",
    ),
    "no area names": Case(lambda t: (t.support / CSV).unlink(), CSV, "no file", "L_V1_ROI"),
    "an area twice": Case(
        lambda t: replace_text(t.support / CSV, "MST", "V1"), CSV, "'V1' 2 times", "180 lines",
    ),
    "an area name with a slash": Case(
        lambda t: replace_text(t.support / CSV, "MST", "../x"), CSV, "L_../x_ROI", "180 lines",
    ),
    "too few areas": Case(
        lambda t: replace_text(t.support / CSV, "L_MST_ROI,R_MST_ROI\n", ""),
        CSV, "179 areas", "180 lines",
    ),
    "no pRF fits": Case(
        lambda t: t.fits.unlink(),
        "params.dscalar.nii", "no file", "the top 50 vertices of each ROI",
    ),
    "too few pRF maps": Case(
        lambda t: rewrite(t.fits, "LR", 3), "params.dscalar.nii", "3 maps", "R²",
    ),
    "a missing picture": Case(
        lambda t: (t.root / "stimuli" / t.stimuli[1][2]).unlink(),
        "stimuli", "1 missing picture of 11: imagenet/n00000001/n00000001_7.png",
        "every stimulus", "images",
    ),
    "all pictures missing": Case(
        lambda t: shutil.rmtree(t.root / "stimuli"),
        "stimuli", "11 missing pictures of 11", "every stimulus", "images",
    ),
    "a truncated picture": Case(
        lambda t: truncate(t.root / "stimuli" / t.stimuli[0][0], 40),
        "n00000000_0.png", "truncated", "picture", "prepare_images",
    ),
    "an absolute stimulus": Case(
        lambda t: traverse(t, "/etc/hostname.png"), "stimuli", "'/etc/hostname.png'", "inside",
    ),
    "a stimulus above": Case(
        lambda t: traverse(t, "../../x.png"), "stimuli", "'../../x.png'", "inside", "images",
    ),
    "a link out of the folder": Case(link_out, "stimuli", "n00000001_7.png", "inside", "images"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_bad_input_gives_one_clear_message(tree: NodTree, tmp_path: Path, case: Case) -> None:
    case.damage(tree)
    problems = NodReader(tree.root).problems("all", ["V1", "V4"])
    assert len(problems) == 1, problems
    path, rest = problems[0].split(": found ", 1)
    found, cure = rest.split("; expected ", 1)
    assert path.endswith(case.where) and str(tree.root) in path
    assert case.found in found
    assert case.expected in cure
    with pytest.raises(InputError) as caught:
        reader = NodReader(tree.root)
        if case.stage == "prepare_images":
            prepare_images(reader, SUBJECT, Framing(8), tmp_path / "a", tmp_path / "b", PROVENANCE)
        else:
            getattr(reader, case.stage)(*([SUBJECT, "lh"][: 1 + (case.stage == "responses")]))
    # Vertices are counted over all ROIs there, and pictures decoded.
    if "NaN" not in case.found and case.stage != "prepare_images":
        assert str(caught.value) == problems[0]


def test_the_cure_for_missing_fits_works(tree: NodTree) -> None:
    tree.fits.unlink()
    (problem,) = NodReader(tree.root).problems("all", "all")
    assert "`top_vertices: null`" in problem
    reader = NodReader(tree.root, top_vertices=None)
    assert reader.problems("all", "all") == []
    assert tree.fits not in reader.sources(SUBJECT, "lh")


def test_all_subjects_are_those_with_fits(tree: NodTree, caplog: pytest.LogCaptureFixture) -> None:
    folder = tree.results.parent
    shutil.copytree(folder, other := folder.with_name("sub-10"))
    shutil.rmtree(other / "results/ses-prf_task-prf")
    reader = NodReader(tree.root)
    assert reader.usable() == ["sub01"]
    assert "1 subject without pRF fits, left out: sub10" in caplog.text
    assert reader.subjects() == NodReader(tree.root, top_vertices=None).usable()
    assert any("sub-01 to sub-09" in problem for problem in reader.problems(["sub10"], ["V1"]))


def test_dangling_links_of_datalad_are_missing_files(
    tree: NodTree, caplog: pytest.LogCaptureFixture
) -> None:
    def dangle(path: Path) -> None:
        path.unlink()
        path.symlink_to(tree.root / ".git/annex/objects" / path.name)

    dangle(tree.file(1))
    dangle(tree.root / "stimuli" / tree.stimuli[1][0])
    (problem,) = NodReader(tree.root).problems("all", ["V1"])
    assert "1 missing picture" in problem and f"`datalad get {tree.root}/stimuli`" in problem
    assert f"`datalad get {tree.results}/ses-*/*_beta.dscalar.nii`" in caplog.text
    for path in (tree.fits, tree.support / "MMP_mpmLR32k.mat"):
        dangle(path)
        problems = NodReader(tree.root).problems(["sub01"], ["V1"])
        assert any(f"`datalad get {path}`" in problem for problem in problems), problems


def test_coco_sessions_are_read_by_name(template: NodTree, tree: NodTree) -> None:
    """Events in the order of trials, with `n/a` between; maps in the order of names."""
    names = [f"coco/{number:012d}.jpg" for number in (30, 10, 20)]
    for number, order in ((1, [0, 1, 2]), (2, [2, 0, 1])):
        name = f"ses-coco_task-coco_run-{number}"
        values = tree.values[number - 1][:3]
        short = sorted(path.split("/")[1] for path in names)
        maps = short if number == 1 else ["#1", "#2", "#3"]
        write_maps(tree.results / name / f"{name}_beta.dscalar.nii", maps, values)
        shown = [names[row] for row in order]
        rows = ["onset\tduration\ttrial_type\tresponse\tresponse_time\tcondition"]
        for i, path in enumerate([shown[0], "n/a", *shown[1:], "n/a"]):
            rows.append(f"{i}.014\t0.5\t{29.0 if path != 'n/a' else 'n/a'}\t0.0\t0.0\t{path}")
        events = (
            tree.root / f"sub-01/ses-coco/func/sub-01_ses-coco_task-coco_run-0{number}_events.tsv"
        )
        events.parent.mkdir(parents=True, exist_ok=True)
        events.write_text("\n".join(rows) + "\n")
    reader = NodReader(tree.root, sessions=["coco"])
    (problem,) = reader.problems(["sub01"], ["V1"])
    assert "3 missing pictures" in problem and "COCO" in problem
    for index, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(tree.root / "stimuli" / name)
    assert reader.problems(["sub01"], ["V1"]) == []
    responses = reader.responses("sub01", "lh")
    assert responses.identities == ("coco:10", "coco:20", "coco:30")
    columns = responses.vertices
    parts = [tree.values[run][:3, columns] for run in (0, 1)]
    wanted = np.mean([(part - part.mean(0)) / part.std(0) for part in parts], axis=0)
    np.testing.assert_allclose(responses.values, wanted, atol=1e-5)


def test_everything_wrong_is_said_at_once(tree: NodTree) -> None:
    truncate(tree.file(1), 1_500_000)
    put(tree, np.nan)
    (tree.root / "stimuli" / tree.stimuli[1][3]).unlink()
    subjects, rois = ["sub01", "sub11", "subj01"], ["V1", "v4", "V4", "FFA-1"]
    problems = NodReader(tree.root).problems(subjects, rois)
    wanted = [
        "no ROI 'v4'", "Did you mean 'V4'?", "no ROI 'FFA-1'", "no subject 'sub11'",
        "no subject 'subj01'", "1500000 bytes", "NaN or infinity", "1 missing picture",
    ]  # fmt: skip
    for text in wanted:
        assert sum(text in problem for problem in problems) == 1, (text, problems)
    assert sum("Did you mean 'sub01'?" in problem for problem in problems) == 2
    assert len(problems) == 7


@pytest.mark.parametrize("make", [True, False], ids=["empty", "absent"])
def test_no_data_at_all(tmp_path: Path, make: bool) -> None:
    if make:
        (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"derivatives/ciftify/sub-01") as caught:
        NodReader(tmp_path / "data").subjects()
    assert str(caught.value) in NodReader(tmp_path / "data").problems("all", "all")


def test_options_and_names_are_checked(template: NodTree) -> None:
    with pytest.raises(InputError, match="top_vertices"):
        NodReader(template.root, top_vertices=0)
    with pytest.raises(InputError, match=r"a name like sub01"):
        NodReader(template.root).images("../x")
