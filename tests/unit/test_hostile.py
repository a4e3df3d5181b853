"""Broken and hostile input through the command line: one message, no harm, no hang.

The damage that the readers' own tests do is done here once more, seen from outside; the rest is
configurations, weights and probes, and files made to run code, fill memory, leave their folder
or never end.
"""

from __future__ import annotations

import faulthandler
import io
import os
import pickle
import shutil
import signal
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import algonauts_tree
import nod_tree
import nsd_tree
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from test_data_check import CASES as ALGONAUTS
from test_data_nod import CASES as NOD
from test_data_nsd import CASES as NSD

from cortune.cli import main
from cortune.networks.backbones import build_backbone

SECONDS = 60
BACKBONE = {"name": "alexnet_small", "weights": "random", "input_size": 64}


@pytest.fixture(autouse=True)
def no_hang():
    # Where a signal cannot be answered, as in a wait for threads, the process must end.
    faulthandler.dump_traceback_later(2 * SECONDS, exit=True)

    def end(number, frame):
        raise TimeoutError(f"hangs: not done within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    faulthandler.cancel_dump_traceback_later()
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    return SimpleNamespace(
        algonauts=algonauts_tree.write_tree(folder / "algonauts" / "data"),
        nod=nod_tree.write_tree(folder / "nod" / "data"),
        nsd=nsd_tree.write_tree(folder / "nsd" / "data"),
    )


@pytest.fixture
def algonauts(templates, tmp_path):
    """A subject of the challenge that may be spoiled, in a folder with a space in its name."""
    tree, root = templates.algonauts, tmp_path / "my data"
    shutil.copytree(tree.root, root)

    def moved(path: Path) -> Path:
        return root / path.relative_to(tree.root)

    return replace(
        tree,
        root=root,
        pictures=moved(tree.pictures),
        masks=moved(tree.masks),
        responses={side: moved(path) for side, path in tree.responses.items()},
        ceilings={side: moved(path) for side, path in tree.ceilings.items()},
    )


def configuration(root: Path, layout: str = "algonauts2023", **sections) -> dict:
    dataset = {"layout": layout, "root": str(root), "subjects": "all", "rois": "all"}
    return {"datasets": {"d": dataset}, "backbone": BACKBONE, **sections}


def listing(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def check(capsys, folder: Path, config: dict | Path) -> list[str]:
    """Run `cortune check` on what is bad; return its messages."""
    path = config if isinstance(config, Path) else folder / "config.yaml"
    if not isinstance(config, Path):
        path.write_text(yaml.safe_dump(config))
    before = listing(folder)
    assert main(["check", "--configfile", str(path)]) == 1
    assert listing(folder) == before, "files are left behind"
    said = capsys.readouterr()
    assert said.err == "" and "Traceback" not in said.out
    *problems, count = said.out.splitlines()
    assert count == f"{len(problems)} problem(s)."
    return problems


def says(problem: str, where: str, found: str, expected: str) -> bool:
    """Whether a message names the place, what was found, what was expected, and a cure."""
    place, _, rest = problem.partition(": found ")
    seen, _, cure = rest.partition("; expected ")
    wanted, _, advice = cure.partition(". ")
    return where in place and found in seen and expected in cure and bool(wanted and advice)


# ---- what the readers' tests do, seen from outside


@pytest.mark.parametrize("case", ALGONAUTS.values(), ids=list(ALGONAUTS))
def test_damaged_algonauts(capsys, algonauts, tmp_path, case):
    case.damage(algonauts)
    problems = check(capsys, tmp_path, configuration(algonauts.root))
    assert sum(says(p, case.where, case.found, case.expected) for p in problems) == 1, problems
    assert len(problems) == case.n_problems


@pytest.mark.parametrize("case", NSD.values(), ids=list(NSD))
def test_damaged_nsd(capsys, templates, tmp_path, case):
    tree = templates.nsd.copy(tmp_path / "data")
    case.damage(tree)
    (problem,) = check(capsys, tmp_path, configuration(tree.root, "nsd"))
    assert says(problem, case.where, case.found, case.expected), problem


@pytest.mark.parametrize("case", NOD.values(), ids=list(NOD))
def test_damaged_nod(capsys, templates, tmp_path, case):
    shutil.copytree(templates.nod.root, tmp_path / "data")
    tree = replace(templates.nod, root=tmp_path / "data")
    case.damage(tree)
    config = configuration(tree.root, "nod")
    config["datasets"]["d"]["rois"] = ["V1", "V4"]
    (problem,) = check(capsys, tmp_path, config)
    assert says(problem, case.where, case.found, case.expected), problem


# ---- files made to harm


class Exploit:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def png(width: int, height: int, data: bytes) -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    )


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    text = header.encode("latin1")
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text + data


def first_picture(tree) -> Path:
    return next(tree.pictures.glob("train-0001_*"))


def replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def linked(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def zip_bomb(name: str, n_bytes: int) -> bytes:
    """A small archive of one large file of zeros."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(n_bytes))
    return content.getvalue()


LH = "lh_training_fmri.npy"
HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (12, 1000000000000)}\n"
CODE = "{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').mkdir('ran'),)}\n"
DEEP = "(" * 5000
HOSTILE_FILES = {
    "an array of terabytes in a header": (
        lambda t: replaced(t.responses["lh"], npy(HUGE)), LH, "truncated", "bytes for shape",
    ),
    "code in a header": (
        lambda t: replaced(t.responses["lh"], npy(CODE)), LH, "no .npy header", "saved by NumPy",
    ),
    "a header of 4 GB": (
        lambda t: replaced(t.responses["lh"], b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
        LH, "no .npy header", "saved by NumPy",
    ),
    "a header nested without end": (
        lambda t: replaced(t.responses["lh"], npy(DEEP)), LH, "no .npy header", "saved by NumPy",
    ),
    "a negative shape": (
        lambda t: replaced(t.responses["lh"], npy(HUGE.replace("12, 1000000000000", "-3, -20"))),
        LH, "(-3, -20)", "(n_images, n_vertices)",
    ),
    "an archive as an array": (
        lambda t: replaced(t.responses["lh"], zip_bomb("arr_0.npy", 1 << 24)),
        LH, "no .npy header", "saved by NumPy",
    ),
    "a pickle as an array": (
        lambda t: replaced(t.responses["lh"], pickle.dumps(Exploit(t.root / "ran"))),
        LH, "no .npy header", "saved by NumPy",
    ),
    "a pipe as an array": (
        lambda t: fifo(t.responses["lh"]), LH, "no regular file", "readable .npy file",
    ),
    "a pipe as a mask": (
        lambda t: fifo(t.masks / "lh.streams_challenge_space.npy"),
        "lh.streams_challenge_space.npy", "no regular file", "readable .npy file",
    ),
    "an endless device as an array": (
        lambda t: linked(t.responses["lh"], "/dev/zero"), LH, "no regular file", "readable .npy",
    ),
    "a folder as an array": (
        lambda t: (t.responses["lh"].unlink(), t.responses["lh"].mkdir()),
        LH, "no regular file", "readable .npy file",
    ),
    "a link to itself": (
        lambda t: linked(t.responses["lh"], LH), LH, "symbolic links", "readable .npy file",
    ),
    "a link to nothing": (
        lambda t: linked(t.responses["lh"], "gone.npy"), LH,
        "a link to content that is not here", ".npy file",
    ),
    "a mapping that makes a folder": (
        lambda t: np.save(t.masks / "mapping_streams.npy", {0: Exploit(t.root / "ran")}),
        "mapping_streams.npy", "the Python name posix.mkdir", "integers and strings",
    ),
    "a mapping as a pipe": (
        lambda t: fifo(t.masks / "mapping_streams.npy"),
        "mapping_streams.npy", "no regular file", ".npy file",
    ),
    "a picture of ten gigapixels": (
        lambda t: replaced(first_picture(t), png(100_000, 100_000, b"")),
        "train-0001", "100000 x 100000 pixels", "at most 67108864",
    ),
    "a picture of no pixels": (
        lambda t: replaced(first_picture(t), png(0, 0, b"")),
        "train-0001", "0 x 0 pixels", "at most 67108864",
    ),
    "a pipe as a picture": (
        lambda t: fifo(first_picture(t)), "train-0001", "no regular file", "a picture such as PNG",
    ),
    "a picture that links to itself": (
        lambda t: linked(first_picture(t), first_picture(t).name),
        "train-0001", "symbolic links", "a picture such as PNG",
    ),
    "a page of markup as a picture": (
        lambda t: replaced(first_picture(t), b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        "train-0001", "no picture", "a picture such as PNG",
    ),
    "a name that is not UTF-8": (
        lambda t: Path(os.fsdecode(os.fsencode(t.pictures) + b"/train-\xff\xfe.png")).touch(),
        "training_images", "1 file with other names", "train-0001_nsd-00013.png",
    ),
    "a name with a line break": (
        lambda t: (t.pictures / "train-0001\n0 problem(s).png").touch(),
        "training_images", "1 file with other names", "train-0001_nsd-00013.png",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE_FILES.values(), ids=list(HOSTILE_FILES))
def test_hostile_files(capsys, algonauts, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    damage, *words = case
    damage(algonauts)
    (problem,) = check(capsys, tmp_path, configuration(algonauts.root))
    assert says(problem, *words), problem
    assert not list(tmp_path.rglob("ran"))


def test_a_folder_that_links_to_itself(capsys, algonauts, tmp_path):
    shutil.rmtree(algonauts.pictures)
    algonauts.pictures.symlink_to(algonauts.pictures.name)
    (problem,) = check(capsys, tmp_path, configuration(algonauts.root))
    assert says(problem, "training_images", "", "the folder of training pictures"), problem


def test_spaces_and_other_alphabets_in_paths_do_no_harm(capsys, algonauts, tmp_path):
    root = tmp_path / "дані — 数据 (copy)"
    algonauts.root.rename(root)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(configuration(root), allow_unicode=True))
    assert main(["check", "--configfile", str(path)]) == 0
    assert capsys.readouterr().out.endswith("\nNo problem found.\n")


# ---- configurations


def laughs() -> str:
    """Nine levels of ten: a thousand million strings, if they were written out."""
    lines = ["a: &a [" + ", ".join(["lol"] * 10) + "]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [" + ", ".join([f"*{before}"] * 10) + "]")
    return "\n".join(lines)


GOOD = "datasets: {d: {layout: algonauts2023, subjects: [subj01], rois: [V1v], simulate: {}}}\n"
CONFIGURATIONS: dict[str, tuple[bytes | str, tuple[str, ...]]] = {
    "empty": ("", ("config.yaml", "found", "expected keys and values")),
    "a list": ("- a\n- b\n", ("config.yaml", "found list", "expected keys and values")),
    "a word": ("cortune", ("config.yaml", "found str", "expected keys and values")),
    "not UTF-8": (b"seed: \xff\xfe", ("config.yaml", "not readable as YAML")),
    "control characters": ("seed: \x00\x07", ("config.yaml", "not readable as YAML")),
    "unfinished": ("datasets: {nsd: [", ("config.yaml", "not readable as YAML", "line 1")),
    "tabs": ("datasets:\n\tnsd: {}", ("config.yaml", "not readable as YAML", "line 2")),
    "an object of Python": (
        "seed: !!python/object/apply:os.mkdir [ran]",
        ("config.yaml", "not readable as YAML", "python/object"),
    ),
    "nested without end": ("[" * 20_000, ("config.yaml", "not readable as YAML", "nested")),
    "aliases that multiply": (laughs(), ("config.yaml", "100000 values", "aliases")),
    "an alias of itself": ("datasets: &d {d: *d}", ("config.yaml", "an alias of", "line 1")),
    "a key twice": (GOOD + "seed: 1\nseed: 2\n", ("config.yaml", "seed", "twice")),
    "an unknown section": (GOOD + "encodings: {folds: 3}", ("encodings", "encoding")),
    "an unknown key": (GOOD + "encoding: {fold: 3}", ("encoding.fold", "encoding.folds")),
    "a number as a key": (GOOD + "1: 2", ("1", "unknown key")),
    "text for a number": (GOOD + "encoding: {folds: many}", ("encoding.folds", "'many'")),
    "a list for a section": (GOOD + "encoding: [3]", ("encoding", "[3]")),
    "no number": (GOOD + "contrastive: {temperature: .nan}", ("contrastive.temperature", "nan")),
    "infinity": (GOOD + "contrastive: {learning_rate: .inf}", ("learning_rate", "inf")),
    "a number too large": (GOOD + "seed: " + "9" * 400, ("seed", "expected")),
    "negative": (GOOD + "contrastive: {epochs: -1}", ("contrastive.epochs", "-1")),
    "truth for a number": (GOOD + "encoding: {folds: true}", ("encoding.folds", "True")),
    "shares of more than one": (
        GOOD + "split: {tune: 0.9, validation: 0.9, test: 0.9}", ("split", "2.7"),
    ),
    "a data set named like a path": (
        GOOD.replace("{d:", "{../../etc:"), ("datasets", "../../etc"),
    ),
    "a subject named like a path": (
        GOOD.replace("subj01", "../subj01"), ("datasets.d.subjects", "../subj01"),
    ),
    "a probe named like a path": (
        GOOD + "probes: {a/b: {kind: scenes, n_images: 50, n_classes: 3}}", ("probes", "a/b"),
    ),
    "nothing to tune on": (
        GOOD + "tuning: {dataset: other}", ("tuning.dataset", "other", "d"),
    ),
    "an unknown method": (GOOD + "tuning: {methods: [contrastve]}", ("contrastve", "contrastive")),
    "a method twice": (GOOD + "tuning: {methods: [untuned, untuned]}", ("tuning.methods",)),
    "more images shared than there are": (
        GOOD.replace("{}}", "{n_images: 50, n_shared: 60}}"), ("n_shared", "60", "50"),
    ),
    "an unknown ROI": (GOOD.replace("V1v", "V9"), ("V9",)),
    "a device that is none": (GOOD + "device: gpu", ("device", "gpu", "cuda")),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
def test_hostile_configurations(capsys, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    content, words = case
    path = tmp_path / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = check(capsys, tmp_path, path)
    assert 1 <= len(problems) <= 10
    assert all(word in " ".join(problems) for word in words), problems
    assert all(len(problem) < 1500 for problem in problems)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, ("no such file",)),
        (lambda path: path.mkdir(), ("no regular file", "expected")),
        (lambda path: path.symlink_to(path.name), ("symbolic links", "expected")),
        (os.mkfifo, ("no regular file", "expected")),
    ],
    ids=["absent", "a folder", "a link to itself", "a pipe"],
)
def test_configurations_that_are_no_file(capsys, tmp_path, make, words):
    path = tmp_path / "config.yaml"
    make(path)
    (problem,) = check(capsys, tmp_path, path)
    assert "config.yaml" in problem and all(word in problem for word in words), problem


# ---- weights


def state() -> dict[str, torch.Tensor]:
    return dict(build_backbone("alexnet_small").state_dict())


def saved(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        torch.save(change(state()), path)

    return write


def without(weights: dict, key: str) -> dict:
    return {name: tensor for name, tensor in weights.items() if name != key}


def first(weights: dict) -> str:
    return next(iter(weights))


def header_of(n_bytes: int, text: bytes = b"{}") -> Callable[[Path], None]:
    return lambda path: path.write_bytes(struct.pack("<Q", n_bytes) + text)


def lying_header(path: Path) -> None:
    save_file({key: value.contiguous() for key, value in state().items()}, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"F32"', b'"F64"', 1))


def short(path: Path) -> None:
    save_file({key: value.contiguous() for key, value in state().items()}, path)
    path.write_bytes(path.read_bytes()[:-1000])


UNSAFE = "cannot be read safely"
WEIGHTS = {
    "absent": ("w.pth", lambda path: None, "no file"),
    "empty": ("w.pth", lambda path: path.touch(), UNSAFE),
    "a page instead": ("w.pth", lambda path: path.write_text("<html>404</html>"), UNSAFE),
    "a folder": ("w.pth", lambda path: path.mkdir(), "no file"),
    "a pipe": ("w.pth", os.mkfifo, "no file"),
    "a link to itself": ("w.pth", lambda path: path.symlink_to("w.pth"), "no file"),
    "a pickle that runs code": (
        "w.pth",
        lambda path: path.write_bytes(pickle.dumps(Exploit(path.with_name("ran")))),
        UNSAFE,
    ),
    "code among tensors": (
        "w.pth",
        lambda path: torch.save({"a": torch.ones(1), "b": Exploit(path.with_name("ran"))}, path),
        UNSAFE,
    ),
    "an archive that grows": (
        "w.pth", lambda path: path.write_bytes(zip_bomb("archive/data.pkl", 1 << 26)), UNSAFE,
    ),
    "another network": (
        "w.pth",
        lambda path: torch.save(build_backbone("squeezenet1_1").state_dict(), path),
        "do not fit alexnet_small",
    ),
    "a layer missing": ("w.pth", saved(lambda w: without(w, first(w))), "is missing"),
    "a layer of another shape": (
        "w.pth", saved(lambda w: {**w, first(w): torch.ones(3)}), "(3,), not",
    ),
    "a number that is none": (
        "w.pth", saved(lambda w: {**w, first(w): w[first(w)] * torch.nan}), "NaN",
    ),
    "text for a tensor": ("w.pth", saved(lambda w: {**w, first(w): "x"}), "weight is a str"),
    "a list": ("w.pth", saved(lambda w: list(w.values())), "without tensors"),
    "a header of exabytes": ("w.safetensors", header_of(1 << 62), UNSAFE),
    "a header cut off": ("w.safetensors", header_of(1000), UNSAFE),
    "a header that is no JSON": ("w.safetensors", header_of(4, b"\xff\xfe\xff\xfe"), UNSAFE),
    "a header that lies": ("w.safetensors", lying_header, UNSAFE),
    "tensors cut off": ("w.safetensors", short, UNSAFE),
}  # fmt: skip


@pytest.mark.parametrize("case", WEIGHTS.values(), ids=list(WEIGHTS))
def test_hostile_weights(capsys, algonauts, tmp_path, case):
    name, make, found = case
    path = tmp_path / name
    make(path)
    backbone = {**BACKBONE, "weights": str(path)}
    (problem,) = check(capsys, tmp_path, {**configuration(algonauts.root), "backbone": backbone})
    assert says(problem, name, found, "state dict"), problem
    assert not (tmp_path / "ran").exists()


# ---- probes


@pytest.fixture
def pictures(tmp_path):
    root = tmp_path / "labelled pictures"
    for name in ("cat", "fox"):
        (root / name).mkdir(parents=True)
        for index in range(2):
            Image.new("RGB", (70, 70)).save(root / name / f"{index}.png")
    return root


def add(content: bytes, name: str = "9.png") -> Callable[[Path], object]:
    return lambda root: (root / "cat" / name).write_bytes(content)


def encoded(kind: str, size: tuple[int, int] = (70, 70)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size).save(content, kind)
    return content.getvalue()


PROBES = {
    "no folder": (shutil.rmtree, "labelled pictures", "no folder"),
    "a file for a folder": (
        lambda root: (shutil.rmtree(root), root.touch()), "labelled pictures", "no folder",
    ),
    "no class": (
        lambda root: [shutil.rmtree(root / name) for name in ("cat", "fox")],
        "labelled pictures", "0 classes",
    ),
    "an empty class": (lambda root: (root / "emu").mkdir(), "labelled", "no picture of class"),
    "a class of one": (
        lambda root: (root / "fox" / "0.png").unlink(), "labelled", "one picture of class 'fox'",
    ),
    "classes that differ by case": (
        lambda root: shutil.copytree(root / "cat", root / "CAT"), "labelled", "'CAT', 'cat'",
    ),
    "a picture that is text": (add(b"not a picture"), "9.png", "no picture"),
    "an empty picture": (add(b""), "9.png", "no picture"),
    "a truncated picture": (add(encoded("PNG")[:60]), "9.png", "truncated"),
    "a truncated JPEG": (add(encoded("JPEG")[:200], "9.jpg"), "9.jpg", ""),
    "gigapixels": (add(png(100_000, 100_000, b"")), "9.png", "100000 x 100000 pixels"),
    "a sliver": (add(encoded("PNG", (100_000, 1))), "9.png", "100000 x 1 pixels"),
    "a pipe": (lambda root: os.mkfifo(root / "cat" / "9.png"), "9.png", "no regular file"),
    "a link to itself": (
        lambda root: (root / "cat" / "9.png").symlink_to("9.png"), "9.png", "symbolic links",
    ),
    "a class that links to itself": (
        lambda root: (root / "emu").symlink_to("emu"), "emu", "leads nowhere",
    ),
    "an archive": (add(zip_bomb("0.png", 1 << 20)), "9.png", "no picture"),
}  # fmt: skip


@pytest.mark.parametrize("case", PROBES.values(), ids=list(PROBES))
def test_hostile_probes(capsys, algonauts, pictures, tmp_path, case):
    damage, where, found = case
    damage(pictures)
    probes = {"p": {"kind": "image_folder", "root": str(pictures), "layer": "classifier.5"}}
    (problem,) = check(capsys, tmp_path, configuration(algonauts.root, probes=probes))
    assert problem.startswith("probes.p: ") and says(problem, where, found, ""), problem


# ---- the other commands


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n-images", "50", "--n-shared", "60"], ("n_shared", "60", "50")),
        (["--vertices", "V9=20"], ("V9", "V1v")),
        (["--vertices", "V1v=999999999"], ("vertices", "V1v=999999999")),
        (["--images", "nowhere"], ("nowhere", "found", "expected")),
        (["--masks", "nowhere"], ("nowhere", "found", "expected")),
        (["--subjects", "0"], ("subjects", "0", "expected")),
        (["--subjects", "99"], ("subj09", "82000", "expected")),
        (["--image-size", "100000"], ("image_size", "100000")),
        (["--out", "taken"], ("taken", "found", "expected")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_simulations_that_cannot_be(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("a file")
    before = listing(tmp_path)
    assert main(["simulate", "--out", "data", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    assert all(word in said.err for word in words), said.err
    assert listing(tmp_path) == before, "files are left behind"


def test_there_are_many_cases():
    tables = (ALGONAUTS, NOD, NSD, HOSTILE_FILES, CONFIGURATIONS, WEIGHTS, PROBES)
    assert sum(map(len, tables)) >= 190
