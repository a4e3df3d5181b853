"""`cortune fetch` against buckets on the loopback address that serve simulated data sets."""

from __future__ import annotations

import csv
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bucket import Bucket, served

from cortune.cli import main
from cortune.data import open_dataset
from cortune.fetch import nod, web
from cortune.simulate import simulate_layout
from cortune.simulate.nod_spec import NodSpec
from cortune.simulate.spec import SimulationSpec

BETAS = (
    "derivatives/ciftify/sub-01/results/ses-imagenet01_task-imagenet_run-1/"
    "ses-imagenet01_task-imagenet_run-1_beta.dscalar.nii"
)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bucket's folder: two subjects of NOD, the second without fits, and their hashes."""
    root = tmp_path_factory.mktemp("bucket")
    tree = root / "ds004496"
    spec = NodSpec.from_mapping({"n_images": 8, "run_trials": 4, "image_size": 32})
    simulate_layout("nod", tree, ["sub01", "sub02"], spec, seed=0)
    shutil.rmtree(tree / "derivatives/ciftify/sub-02/results/ses-prf_task-prf")
    (tree / "supportfiles").rename(root / "support")
    with (root / "hashes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "bytes", "sha256"])
        for path in [*sorted(tree.glob("derivatives/**/*.dscalar.nii"))]:
            data = path.read_bytes()
            row = path.relative_to(tree).as_posix(), len(data), hashlib.sha256(data).hexdigest()
            table.writerow(row)
    return root


@pytest.fixture
def bucket(simulated: Path) -> Iterator[Bucket]:
    with served(simulated) as server:
        yield server


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are real, but short."""
    connect = web.connect
    monkeypatch.setattr(
        "cortune.fetch.order.connect", lambda **options: connect(**options, pause=0.01)
    )


def order(bucket: Bucket, out: Path, *more: str) -> list[str]:
    hashes = bucket.root / "hashes.csv"
    return [
        "fetch", "nod", "--out", str(out), "--from", bucket.url, "--support-from",
        f"{bucket.url}/support", "--checksums", str(hashes), "--timeout", "1",
        *(more or ("--subjects", "sub01")),
    ]  # fmt: skip


def leftovers(out: Path) -> list[str]:
    return [path.name for path in out.rglob("*.part")]


def test_what_is_fetched_is_what_the_reader_needs(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(order(bucket, tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "CC0" in printed
    assert "to download" in printed
    assert "3 by SHA-256; 2 by size" not in printed  # the parcellation's size is not known here
    assert "3 by SHA-256; 2 by none; 2 by MD5; 8 by MD5 and decoded whole" in printed
    here = open_dataset("nod", tmp_path)
    whole = tmp_path / "whole"
    shutil.copytree(bucket.root / "ds004496", whole)
    shutil.copytree(bucket.root / "support", whole / "supportfiles")
    there = open_dataset("nod", whole)
    assert not here.problems(["sub01"], ["V1"])
    for hemisphere in ("lh", "rh"):
        mine, theirs = (r.responses("sub01", hemisphere).values for r in (here, there))
        np.testing.assert_array_equal(mine, theirs)
    assert not (tmp_path / "sub-02").exists()
    assert not leftovers(tmp_path)
    before = dict(bucket.asked)
    assert main(order(bucket, tmp_path)) == 0  # all is there, and checked again
    assert dict(bucket.asked) == before
    assert "0 bytes to download" in capsys.readouterr().out


def test_a_cut_connection_is_gone_on_from(bucket: Bucket, tmp_path: Path) -> None:
    key = f"ds004496/{BETAS}"
    size = (bucket.root / key).stat().st_size
    bucket.cut[key] = [size // 3, size // 3]
    assert main(order(bucket, tmp_path)) == 0
    assert bucket.ranged == [f"{key} bytes={size // 3}-", f"{key} bytes={2 * (size // 3)}-"]
    assert (tmp_path / BETAS).read_bytes() == (bucket.root / key).read_bytes()


def test_a_stopped_download_goes_on_in_the_next(bucket: Bucket, tmp_path: Path) -> None:
    key = f"ds004496/{BETAS}"
    data = (bucket.root / key).read_bytes()
    part = (tmp_path / BETAS).with_name(f".{Path(BETAS).name}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(data[:5000])
    assert main(order(bucket, tmp_path)) == 0
    assert bucket.ranged == [f"{key} bytes=5000-"]
    assert (tmp_path / BETAS).read_bytes() == data


def test_what_was_begun_of_another_file_is_begun_anew(bucket: Bucket, tmp_path: Path) -> None:
    key = f"ds004496/{BETAS}"
    part = (tmp_path / BETAS).with_name(f".{Path(BETAS).name}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 5000)
    assert main(order(bucket, tmp_path)) == 0
    assert bucket.asked[key] == 2
    assert (tmp_path / BETAS).read_bytes() == (bucket.root / key).read_bytes()


def test_a_server_without_ranges_begins_anew(bucket: Bucket, tmp_path: Path) -> None:
    key = f"ds004496/{BETAS}"
    bucket.ranges, bucket.cut[key] = False, [1000]
    assert main(order(bucket, tmp_path)) == 0
    assert (tmp_path / BETAS).read_bytes() == (bucket.root / key).read_bytes()


@pytest.mark.parametrize("kind", [".dscalar.nii", ".JPEG"])
def test_another_content_is_refused(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (key,) = [key for key in bucket.names() if key.endswith(kind) and "sub-02" not in key][:1]
    if kind == ".JPEG":
        own = open_dataset("nod", bucket.root / "ds004496")._pictures("sub01")
        key = own[0].relative_to(bucket.root).as_posix()
    bucket.lies.add(key)
    assert main(order(bucket, tmp_path)) == 1
    error = capsys.readouterr().err
    assert f"{bucket.url}/{key}: found the {'md5' if kind == '.JPEG' else 'sha256'}" in error
    assert "1 file could not be had" in error
    path = tmp_path / key.removeprefix("ds004496/")
    assert not path.exists()
    assert not leftovers(tmp_path)
    bucket.lies.clear()
    assert main(order(bucket, tmp_path)) == 0
    assert path.is_file()


def test_a_damaged_file_on_disk_is_fetched_again(bucket: Bucket, tmp_path: Path) -> None:
    assert main(order(bucket, tmp_path)) == 0
    path = tmp_path / BETAS
    data = path.read_bytes()
    path.write_bytes(b"\0" * 8 + data[8:])
    assert main(order(bucket, tmp_path)) == 0
    assert path.read_bytes() == data
    assert bucket.asked[f"ds004496/{BETAS}"] == 2


def test_under_a_key_of_kms_etags_are_no_hashes(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.kms = True
    assert main(order(bucket, tmp_path)) == 0
    assert "8 by size and decoded whole" in capsys.readouterr().out


def test_errors_of_the_moment_are_tried_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.statuses[f"ds004496/{BETAS}"] = [503, 429, 500]
    assert main(order(bucket, tmp_path)) == 0


def test_a_slow_link_is_no_dead_one(bucket: Bucket, tmp_path: Path) -> None:
    key = next(
        key
        for key in bucket.names()
        if key.endswith("sub-01_ses-imagenet01_task-imagenet_run-01_events.tsv")
    )
    bucket.slow[key] = 0.6
    size = (bucket.root / key).stat().st_size
    (bucket.root / key).write_text((bucket.root / key).read_text() + "\n" * (2500 - size))
    try:  # 1.8 s in all, more than the time allowed between bytes
        assert main(order(bucket, tmp_path)) == 0
        assert bucket.asked[key] == 1
    finally:
        (bucket.root / key).write_text((bucket.root / key).read_text().rstrip("\n") + "\n")


def test_a_mute_server_is_given_up(
    bucket: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "_ATTEMPTS", 2)
    bucket.mute.add(f"ds004496/{BETAS}")
    assert main(order(bucket, tmp_path)) == 1
    error = capsys.readouterr().err
    assert "no file after 2 attempts" in error
    assert "goes on where it stopped" in error


def test_no_server_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fetch", "nod", "--out", str(tmp_path), "--subjects", "sub01"]
    assert main([*arguments, "--from", "http://127.0.0.1:1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("http://127.0.0.1:1: found no file after 5 attempts")


@pytest.mark.parametrize("subjects", ["sub01", "1"])
def test_what_fetches_nothing_leaves_nothing(tmp_path: Path, subjects: str) -> None:
    arguments = ["fetch", "nod", "--subjects", subjects, "--from", "http://127.0.0.1:1"]
    assert main([*arguments, "--out", str(tmp_path / "data" / "ds004496")]) == 1
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    assert main([*arguments, "--out", str(tmp_path / "mine")]) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_missing_files_are_named(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = open_dataset("nod", bucket.root / "ds004496")._pictures("sub01")[2]
    hidden = tmp_path / "hidden"
    picture.rename(hidden)
    try:
        assert main(order(bucket, tmp_path / "out")) == 1
    finally:
        hidden.rename(picture)
    error = capsys.readouterr().err
    assert f"{picture.name}: found status 404" in error
    assert (tmp_path / "out" / BETAS).is_file()  # the others are there
    with served(tmp_path) as empty:
        assert main([*order(bucket, tmp_path / "out"), "--from", empty.url]) == 1
    assert f"found no {BETAS}" in capsys.readouterr().err


def test_subjects_without_fits(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(order(bucket, tmp_path, "--subjects", "sub02")) == 1
    assert "no pRF fits of sub-02" in capsys.readouterr().err
    assert main(order(bucket, tmp_path, "--subjects", "all")) == 0
    assert not (tmp_path / "sub-02").exists()
    assert main(order(bucket, tmp_path, "--subjects", "sub02", "--no-fits")) == 0
    assert not open_dataset("nod", tmp_path, top_vertices=None).problems(["sub02"], ["V1"])


def test_a_dry_run_downloads_no_data(bucket: Bucket, tmp_path: Path) -> None:
    assert main(order(bucket, tmp_path, "--subjects", "sub01", "--dry-run")) == 0
    assert not list(tmp_path.rglob("*.nii"))
    assert not list(tmp_path.rglob("*.JPEG"))


def test_a_full_disk_is_named(bucket: Bucket, tmp_path: Path) -> None:
    """A limit on the size of files stands for it, which a process of its own is given."""
    limit = (bucket.root / f"ds004496/{BETAS}").stat().st_size // 2
    run = subprocess.run(
        [sys.executable, "-m", "cortune.cli", *order(bucket, tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "File too large" in run.stderr
    assert not (tmp_path / BETAS).exists()
    assert main(order(bucket, tmp_path)) == 0  # and goes on with what was written


def test_ctrl_c_is_gone_on_from(bucket: Bucket, tmp_path: Path) -> None:
    key = f"ds004496/{BETAS}"
    bucket.slow[key] = 0.02
    part = (tmp_path / BETAS).with_name(f".{Path(BETAS).name}.part")
    with subprocess.Popen(
        [sys.executable, "-m", "cortune.cli", *order(bucket, tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        # A shell's background job, as this may be, ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as run:
        while not (part.is_file() and part.stat().st_size):
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, error = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "goes on from here" in error and "Traceback" not in error
    assert not (tmp_path / BETAS).exists()
    bucket.slow.clear()
    assert main(order(bucket, tmp_path)) == 0
    assert bucket.ranged and bucket.ranged[0].startswith(key)


def test_a_disk_known_to_be_too_small_is_told_before(
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    assert main(order(bucket, tmp_path)) == 1
    assert "too little space" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.nii"))


def test_the_shipped_table_is_that_of_the_data_set() -> None:
    table = nod.checksums()
    betas = [path for path in table if nod._BETAS.fullmatch(path)]
    fits = [path for path in table if path.endswith("_params.dscalar.nii")]
    assert (len(betas), len(fits), len(table)) == (570, 9, 581)
    own = sum(table[path][0] for path in betas if "/sub-01/" in path)
    assert own == pytest.approx(0.964e9, rel=0.01)


def test_sizes_that_are_not_the_data_sets_are_refused(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = order(bucket, tmp_path)
    del arguments[arguments.index("--checksums") : arguments.index("--checksums") + 2]
    assert main(arguments) == 1
    assert "is another version" in capsys.readouterr().err


# The other two.


@pytest.fixture(scope="module")
def raw_nsd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nsd")
    spec = SimulationSpec.from_mapping(
        {
            "n_images": 40,
            "n_shared": 10,
            "image_size": 32,
            "n_test_images": 4,
            "vertices": {"V1v": 20, "PPA": 10},
        }
    )
    simulate_layout("nsd", root, ["subj01", "subj02"], spec, seed=0)
    return root


def test_nsd_asks_for_its_terms(
    raw_nsd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(raw_nsd) as bucket:
        arguments = [
            "fetch", "nsd", "--out", str(tmp_path), "--subjects", "subj02",
            "--from", bucket.url,
        ]  # fmt: skip
        assert main(arguments) == 1
        assert "Terms-and-Conditions" in capsys.readouterr().out
        assert not bucket.asked
        assert main([*arguments, "--i-accept-the-nsd-terms"]) == 0
        printed = capsys.readouterr().out
    assert "by size" in printed  # of files that were uploaded in parts
    reader = open_dataset("nsd", tmp_path)
    assert reader.subjects() == ["subj02"]
    expected = open_dataset("nsd", raw_nsd)
    mine, theirs = (r.responses("subj02", "lh") for r in (reader, expected))
    np.testing.assert_array_equal(mine.values, theirs.values)


def test_nsd_takes_a_configuration(
    raw_nsd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(
        "datasets:\n  mine:\n    layout: nsd\n    root: "
        f"{tmp_path / 'data'}\n    subjects: [subj01]\n    rois: [PPA]\n"
    )
    arguments = ["fetch", "nsd", "--configfile", "config/config.yaml", str(config)]
    with served(raw_nsd) as bucket:
        terms = "--i-accept-the-nsd-terms"
        status = main([*arguments, "--from", bucket.url, terms, "--sessions", "1"])
    assert status == 0, capsys.readouterr().err
    assert (tmp_path / "data/nsddata/freesurfer/subj01/label/lh.floc-places.mgz").is_file()


@pytest.mark.parametrize("place", ["folder", "address"])
def test_archives_of_the_challenge(place: str, tmp_path: Path) -> None:
    spec = SimulationSpec.from_mapping(
        {
            "n_images": 12,
            "n_shared": 4,
            "image_size": 32,
            "n_test_images": 2,
            "vertices": {"V1v": 20},
        }
    )
    tree, archives, out = (tmp_path / name for name in ("tree", "archives", "out"))
    simulate_layout("algonauts2023", tree, ["subj01"], spec, seed=0)
    archives.mkdir()
    with zipfile.ZipFile(archives / "subj01.zip", "w") as archive:
        archive.writestr("../evil.npy", b"")
        for path in (path for path in tree.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(tree))
    arguments = ["fetch", "algonauts2023", "--out", str(out), "--subjects", "subj01"]
    with served(archives) as bucket:
        source = str(archives) if place == "folder" else bucket.url
        assert main([*arguments, "--from", source]) == 0
    mine, theirs = (
        open_dataset("algonauts2023", root).responses("subj01", "lh").values for root in (out, tree)
    )
    np.testing.assert_array_equal(mine, theirs)
    mine, theirs = (
        [path.name for path in open_dataset("algonauts2023", root).test_pictures("subj01")]
        for root in (out, tree)
    )
    assert mine == theirs and len(mine) == 2
    assert sorted(path.name for path in out.iterdir()) == [".lock", "subj01"]
    assert (archives / "subj01.zip").is_file()


def test_a_damaged_archive_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["training_split/training_fmri/lh_training_fmri.npy", "roi_masks/mapping_streams.npy"]
    names.append("training_split/training_images/train-0001_nsd-00013.png")
    path = tmp_path / "subj01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"subj01/{name}", b"a" * 1000)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    out = tmp_path / "out"
    arguments = ["fetch", "algonauts2023", "--out", str(out), "--subjects", "subj01"]
    assert main([*arguments, "--from", str(tmp_path)]) == 1
    assert "damaged archive" in capsys.readouterr().err
    assert not (out / "subj01").exists()
