"""Every kind of bad input gives one message that names file, found and expected.

Each case damages a good data set; `problems` must report it, and the stage that meets it
must raise the same error.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from algonauts_tree import Tree, write_tree
from PIL import Image

from cortune.data import algonauts_files, open_dataset, prepare_images, prepare_responses
from cortune.data.images import Framing
from cortune.errors import InputError
from cortune.versions import Provenance

PROVENANCE = Provenance("prepare", "1-00000000", 0)


@dataclass(frozen=True)
class Case:
    """Damage to a data set of 12 pictures and 60 left vertices, and what must be said."""

    damage: Callable[[Tree], object]
    where: str
    found: str
    expected: str
    stage: str = "responses"
    n_problems: int = 1


def picture(tree: Tree, number: int) -> Path:
    return next(tree.pictures.glob(f"train-{number:04d}_*"))


def rename(tree: Tree, number: int, name: str) -> None:
    picture(tree, number).rename(tree.pictures / name)


def mask(tree: Tree, family: str = "streams") -> Path:
    return tree.masks / f"lh.{family}_challenge_space.npy"


def change(path: Path, function: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(path, function(np.load(path)))


def put(path: Path, where: object, value: object) -> None:
    array = np.load(path)
    array[where] = value
    np.save(path, array)


def truncate(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])


class Code:
    """A pickle that runs code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def mapping(tree: Tree, value: object) -> None:
    np.save(tree.masks / "mapping_streams.npy", value)  # type: ignore[arg-type]


STREAMS = dict(
    enumerate(["Unknown", "early", "midventral", "midlateral", "midparietal", "ventral", "lateral"])
)
LH = "lh_training_fmri.npy"
CASES = {
    "responses missing": Case(lambda t: t.responses["lh"].unlink(), LH, "no file", ".npy file"),
    "responses of complex numbers": Case(
        lambda t: change(t.responses["lh"], lambda a: a.astype(np.complex64)),
        LH, "numbers of type complex64", "responses (n_images, n_vertices)",
    ),
    "responses as objects": Case(
        lambda t: np.save(t.responses["lh"], np.full((12, 60), None)),
        LH, "pickled object array", "responses (n_images",
    ),
    "responses in three dimensions": Case(
        lambda t: change(t.responses["lh"], lambda a: a[None]),
        LH, "(1, 12, 60)", "(n_images, n_vertices)",
    ),
    "responses without rows": Case(
        lambda t: change(t.responses["lh"], lambda a: a[:0]),
        LH, "(0, 60)", "(n_images, n_vertices)",
    ),
    "responses truncated": Case(
        lambda t: truncate(t.responses["lh"], 1000), LH, "1000 bytes (truncated)", "3008 bytes",
    ),
    "responses too long": Case(
        lambda t: t.responses["lh"].write_bytes(t.responses["lh"].read_bytes() + b"more"),
        LH, "3012 bytes (too long)", "3008 bytes",
    ),
    "responses cut in the header": Case(
        lambda t: truncate(t.responses["lh"], 50), LH, "no .npy header", "saved by NumPy",
    ),
    "responses are text": Case(
        lambda t: t.responses["lh"].write_text("not found"), LH, "no .npy header", "saved by NumPy",
    ),
    "responses have NaN": Case(
        lambda t: put(t.responses["lh"], (slice(3, 5), [7, 9, 11]), np.nan),
        LH, "NaN or infinity in 3 of 60 vertices", "finite responses", "prepare_responses",
    ),
    "responses have infinity": Case(
        lambda t: put(t.responses["lh"], (11, 59), np.inf),
        LH, "NaN or infinity in 1 of 60 vertices", "finite responses", "prepare_responses",
    ),
    "one row too few": Case(
        lambda t: change(t.responses["lh"], lambda a: a[1:]), LH, "11 rows", "12, one per picture",
    ),
    "another subject's responses": Case(
        lambda t: change(t.responses["lh"], lambda a: a[:, :-1]),
        "lh.all-vertices_fsaverage_space.npy", "60 vertices", "59, as in", n_problems=8,
    ),
    "a gap among the pictures": Case(
        lambda t: rename(t, 4, "train-0013_nsd-00001.png"),
        "training_images", "1 missing number: 4", "from 1 to 12", "images",
    ),
    "counting from 0": Case(
        lambda t: rename(t, 12, "train-0000_nsd-00001.png"),
        "training_images", "1 missing number: 12", "from 1 to 12", "images",
    ),
    "a number twice": Case(
        lambda t: rename(t, 4, "train-0005_nsd-00001.png"),
        "training_images", "1 duplicate number: 5", "from 1 to 12", "images",
    ),
    "a malformed name": Case(
        lambda t: (t.pictures / "copy of train-0001.png").touch(),
        "training_images", "1 file with other names: 'copy of train-0001.png'",
        "train-0001_nsd-00013.png", "images",
    ),
    "an NSD id out of range": Case(
        lambda t: rename(t, 4, "train-0004_nsd-73000.png"),
        "training_images", "1 NSD id out of range: train-0004_nsd-73000.png",
        "0 to 72999", "images",
    ),
    "an NSD id twice": Case(
        lambda t: rename(t, 4, f"train-0004_nsd-{t.nsd_ids[0]:05d}.png"),
        "training_images", "1 duplicate NSD id", "each image once", "images",
    ),
    "no pictures": Case(
        lambda t: [file.unlink() for file in t.pictures.iterdir()],
        "training_images", "no training picture", "one per response row", "images",
    ),
    "no folder of pictures": Case(
        lambda t: shutil.rmtree(t.pictures),
        "training_images", "no folder", "the folder of training pictures", "images",
    ),
    "a picture that is none": Case(
        lambda t: picture(t, 1).write_text("<html>"),
        "train-0001", "no picture in its 6 bytes", "a picture such as PNG", "prepare_images",
    ),
    "a truncated picture": Case(
        lambda t: truncate(picture(t, 3), 500),
        "train-0003", "truncated", "picture", "prepare_images",
    ),
    "a huge picture": Case(
        lambda t: Image.fromarray(np.zeros((8200, 8200), bool)).save(picture(t, 2)),
        "train-0002", "8200 x 8200 pixels", "at most 67108864", "prepare_images",
    ),
    "a mask missing": Case(
        lambda t: mask(t).unlink(), "lh.streams_challenge_space.npy", "no file", ".npy file",
    ),
    "a mask too long": Case(
        lambda t: change(mask(t), lambda a: np.append(a, 1)),
        "lh.streams_challenge_space.npy", "61 vertices", "60, as in",
    ),
    "a mask too short": Case(
        lambda t: change(mask(t, "floc-faces"), lambda a: a[:-1]),
        "lh.floc-faces_challenge_space.npy", "59 vertices", "60, as in",
    ),
    "a mask of floats": Case(
        lambda t: change(mask(t), lambda a: a.astype(float)),
        "lh.streams_challenge_space.npy", "numbers of type float64", "1-d integer",
    ),
    "a label without a name": Case(
        lambda t: put(mask(t), 3, 9),
        "lh.streams_challenge_space.npy", "1 label without a name: 9",
        "the labels of mapping_streams.npy",
    ),
    "a negative label": Case(
        lambda t: put(mask(t), 3, -1),
        "lh.streams_challenge_space.npy", "1 label without a name: -1",
        "the labels of mapping_streams.npy",
    ),
    "a mapping missing": Case(
        lambda t: (t.masks / "mapping_streams.npy").unlink(),
        "mapping_streams.npy", "no file", ".npy file",
    ),
    "a mapping that runs code": Case(
        lambda t: mapping(t, {0: Code()}),
        "mapping_streams.npy", "the Python name posix.system", "integers and strings",
    ),
    "a mapping of another kind": Case(
        lambda t: mapping(t, {"early": 1}),
        "mapping_streams.npy", "str as a key", "integers and strings",
    ),
    "a mapping with a path as name": Case(
        lambda t: mapping(t, {**STREAMS, 7: "../../etc"}),
        "mapping_streams.npy", "the ROI name '../../etc'", "letters, digits, - and _",
    ),
    "a mapping with a name twice": Case(
        lambda t: mapping(t, {**STREAMS, 7: "early "}),
        "mapping_streams.npy", "the ROI 'early' 2 times", "each name once",
    ),
    "a mapping with a name of another family": Case(
        lambda t: mapping(t, {**STREAMS, 7: "V1v"}),
        "mapping_streams.npy", "the ROI 'V1v', which another family has too", "one family",
    ),
    "a mapping that names 0": Case(
        lambda t: mapping(t, {**STREAMS, 0: "parietal", 7: "Unknown"}),
        "mapping_streams.npy", "the ROI 'parietal' for label 0", "'Unknown' for label 0",
    ),
    "the challenge mask of another subject": Case(
        lambda t: put(t.masks / "lh.all-vertices_fsaverage_space.npy", slice(0, 163_842), 1),
        "lh.all-vertices_fsaverage_space.npy", "163842 vertices", "60, as in",
    ),
    "the challenge mask on another mesh": Case(
        lambda t: change(t.masks / "lh.all-vertices_fsaverage_space.npy", lambda a: a[:10242]),
        "lh.all-vertices_fsaverage_space.npy", "10242 vertices", "163842 (fsaverage)",
    ),
    "a noise ceiling of another length": Case(
        lambda t: change(t.ceilings["lh"], lambda a: a[1:]),
        "lh_noise_ceiling.npy", "59 vertices", "60, as in",
    ),
    "a noise ceiling out of range": Case(
        lambda t: put(t.ceilings["lh"], [0, 1], [-2.0, 130.0]),
        "lh_noise_ceiling.npy", "2 vertices out of range (from -2 to 130)", "0 to 100",
    ),
}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return write_tree(tmp_path / "data")


def run_stage(tree: Tree, stage: str, scratch: Path) -> None:
    reader = open_dataset("algonauts2023", tree.root)
    if stage == "images":
        reader.images("subj01")
    elif stage == "responses":
        reader.responses("subj01", "lh")
    elif stage == "prepare_images":
        prepare_images(
            reader, "subj01", Framing(8), scratch / "i.npy", scratch / "i.csv", PROVENANCE
        )
    else:
        prepare_responses(reader, "subj01", "lh", scratch / "r.h5", PROVENANCE)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bad_input_is_reported_and_refused(tree: Tree, case: Case, tmp_path: Path) -> None:
    case.damage(tree)
    problems = open_dataset("algonauts2023", tree.root).problems("all", "all")
    matching = [
        problem
        for problem in problems
        if case.where in problem.split(": found")[0]
        and case.found in problem.split(": found")[1].split("; expected ")[0]
        and case.expected in problem.split("; expected ")[1]
    ]
    assert len(matching) == 1, problems
    assert len(problems) == case.n_problems, problems
    with pytest.raises(InputError) as caught:
        run_stage(tree, case.stage, tmp_path / "out")
    if case.stage != "prepare_images":  # decoding says more than the header
        assert str(caught.value) in problems
    assert case.where in caught.value.where
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_all_problems_at_once(tmp_path: Path) -> None:
    trees = [write_tree(tmp_path / "data", number) for number in (1, 2)]
    trees[0].responses["lh"].unlink()
    trees[0].responses["rh"].unlink()
    mask(trees[1]).unlink()
    picture(trees[1], 3).write_bytes(b"")
    reader = open_dataset("algonauts2023", tmp_path / "data")
    problems = reader.problems(
        ["subj01", "subj02", "subj9", "subj03"], ["V1v", "ffa1", "mTL-faces"]
    )
    wanted = [
        "subj01/training_split/training_fmri/lh_", "subj01/training_split/training_fmri/rh_",
        "train-0003", "lh.streams", "no subject 'subj9'", "no subject 'subj03'", "'ffa1'",
    ]  # fmt: skip
    for text in wanted:
        assert sum(text in problem for problem in problems) == 1, (text, problems)
    assert len(problems) == len(wanted)
    assert "Did you mean 'FFA-1'?" in problems[-1]


def test_every_missing_file_is_listed(tree: Tree) -> None:
    missing = open_dataset("algonauts2023", tree.root).sources("subj01", "rh")
    for path in missing:
        path.unlink()
    problems = open_dataset("algonauts2023", tree.root).problems("all", "all")
    required = [p for p in missing if "ceiling" not in p.name and "all-vertices" not in p.name]
    for path in required:
        assert sum(str(path) in problem for problem in problems) == 1
    assert len(problems) == len(required)


def test_many_unreadable_pictures_are_summed_up(tree: Tree) -> None:
    for file in tree.pictures.iterdir():
        file.write_bytes(b"")
    problems = open_dataset("algonauts2023", tree.root).problems("all", "all")
    assert len(problems) == 6
    assert "7 more unreadable pictures" in problems[-1] and "and 4 more" in problems[-1]


@pytest.mark.parametrize("make", [True, False], ids=["empty", "absent"])
def test_no_data_at_all(tmp_path: Path, make: bool) -> None:
    root = tmp_path / "data"
    if make:
        root.mkdir()
    reader = open_dataset("algonauts2023", root)
    (problem,) = reader.problems(["subj01"], "all")
    assert problem.startswith(f"{root}: found {'no subject' if make else 'no folder'}; expected")
    assert "subj01 or training_fmri/Subj1" in problem
    with pytest.raises(InputError, match="expected folders subj01"):
        reader.subjects()


def test_unreadable_mapping_does_not_hide_its_rois(tree: Tree) -> None:
    mapping(tree, {0: Code()})
    reader = open_dataset("algonauts2023", tree.root)
    assert len(reader.problems("all", ["early", "V1v"])) == 1


@pytest.mark.parametrize(
    "text, found",
    [
        (None, "No such file"),
        ("nsdId,cocoSplit\n1,val\n", "no column 'cocoId'"),
        ("nsdId,cocoId\n1,x\n", "an unreadable row"),
        ("nsdId,cocoId\n1\n", "an unreadable row"),
        ("nsdId,cocoId\n73001,5\n", "no row for 12 NSD ids"),
    ],
)
def test_bad_table_of_coco_ids(tree: Tree, tmp_path: Path, text: str | None, found: str) -> None:
    table = tmp_path / "info.csv"
    if text is not None:
        table.write_text(text)
    reader = open_dataset("algonauts2023", tree.root, stim_info=table)
    (problem,) = reader.problems("all", "all")
    assert problem.startswith(f"{table}: found {found}")
    with pytest.raises(InputError) as caught:
        reader.images("subj01")
    assert str(caught.value) == problem


def test_subject_names_are_checked(tree: Tree) -> None:
    reader = open_dataset("algonauts2023", tree.root)
    with pytest.raises(InputError, match=r"the subject name '\.\./x'; expected a name like subj01"):
        reader.images("../x")


def test_a_large_data_set_takes_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header-only responses at full size; what is opened does not grow with the pictures."""
    sizes = {"lh": 19004, "rh": 20544}
    tree = write_tree(tmp_path, n_vertices=sizes, nsd_ids=list(range(12)))
    (source,) = tree.pictures.glob("train-0001*")
    for number in range(13, 3001):
        os.link(source, tree.pictures / f"train-{number:04d}_nsd-{number:05d}.png")
    for hemisphere, n_vertices in sizes.items():
        with tree.responses[hemisphere].open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (3000, n_vertices)}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + 3000 * n_vertices * 4)
    opened: list[Path] = []
    read_size = algonauts_files.read_size
    monkeypatch.setattr(algonauts_files, "read_size", lambda p: (opened.append(p), read_size(p))[1])
    start = time.perf_counter()
    assert open_dataset("algonauts2023", tmp_path).problems("all", "all") == []
    assert time.perf_counter() - start < 5
    assert 1000 <= len(opened) <= algonauts_files._SAMPLED_PICTURES


NAMED = "--subjects sub1 sub2 --out {root}"


@pytest.mark.parametrize(
    ("layout", "options", "command"),
    [
        ("algonauts2023", {}, f"algonauts2023 {NAMED} --from PLACE"),
        (
            "nsd",
            {"space": "func1pt8mm"},
            f"nsd {NAMED} --space func1pt8mm",
        ),
        ("nod", {"top_vertices": None}, f"nod {NAMED} --no-fits"),
    ],
)
def test_what_is_absent_can_be_downloaded(
    tmp_path: Path, layout: str, options: dict[str, object], command: str
) -> None:
    root = tmp_path / "data"
    reader = open_dataset(layout, root, **options)
    (problem,) = reader.problems(["sub1", "sub2"], "all")
    cure = f"or download it: cortune fetch {command.format(root=root)}"
    assert "found no folder" in problem and problem.endswith(cure)
    with pytest.raises(InputError, match="found no folder") as error:
        reader.require(["sub1", "sub2"])
    assert str(error.value) == problem


def test_a_file_or_a_folder_below_for_a_root(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").touch()
    (problem,) = open_dataset("algonauts2023", tmp_path / "my.yaml").problems("all", "all")
    assert "my.yaml: found a file; expected folders" in problem
    for below in ("subj01", "subj01/roi_masks"):
        (problem,) = open_dataset("algonauts2023", tree.root / below).problems("all", "all")
        assert problem.endswith(f" Did you mean {tree.root}?")


def test_planning_finds_that_there_is_no_data_set(tmp_path: Path) -> None:
    from cortune.config import Config
    from cortune.project import Project

    root = tmp_path / "nowhere"
    data = {"layout": "algonauts2023", "root": str(root), "subjects": ["subj01"]}
    project = Project(Config.from_mapping({"datasets": {"a": data}}))
    with pytest.raises(InputError, match="found no folder") as error:
        _ = project.units
    (problem,) = project.reader("a").problems(["subj01"], "all")
    assert str(error.value) == problem
