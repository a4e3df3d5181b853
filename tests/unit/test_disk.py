"""Full and write-protected disks, for real."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fake import CONFIG, UNIT

from cortune import artifacts
from cortune.config import Config
from cortune.data.npy import create_array
from cortune.disk import allocate, amount, disk_problem
from cortune.errors import ResourceError
from cortune.fingerprints import Fingerprints, Sources
from cortune.lock import hold
from cortune.project import Project
from cortune.versions import Provenance
from disks import mounted

PROVENANCE = Provenance("encode_roi", "1-00000000", 3)
LARGE = np.random.default_rng(0).random(300_000)  # 2.4 MB, which nothing can compress


def hdf5(path, provenance):
    with artifacts.hdf5_writer(path, provenance) as file:
        file["x"] = LARGE


def raw(path, provenance):
    with artifacts.atomic(path) as temporary, temporary.open("wb") as file:
        file.write(LARGE.tobytes())


def folder(path, provenance):
    with artifacts.atomic(path) as temporary:
        temporary.mkdir()
        (temporary / "small").write_bytes(LARGE[:100].tobytes())
        np.save(temporary / "large.npy", LARGE)


WRITERS = {
    "a.h5": hdf5,
    "a.npy": raw,
    "a": folder,
    "a.csv": lambda path, p: artifacts.write_csv(path, pd.DataFrame({"x": LARGE}), p),
    "a.parquet": lambda path, p: artifacts.write_parquet(path, pd.DataFrame({"x": LARGE}), p),
    "a.safetensors": lambda path, p: artifacts.write_safetensors(path, {"x": LARGE}, p),
    "a.json": lambda path, p: artifacts.write_json(path, LARGE.tolist()),
}


UNFORESEEN = {"a.h5", "a.npy", "a"}  # their size is known when they are whole


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A disk of 1 MB."""
    with mounted(tmp_path_factory.mktemp("small"), "1m") as disk:
        yield disk


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_full_disk_cannot_hold_is_named_with_figures_and_leaves_nothing(small, name):
    path = small.folder / name
    with pytest.raises(ResourceError) as error:
        WRITERS[name](path, PROVENANCE)
    message = str(error.value)
    assert str(path) in message and "Free some space" in message
    figure = r"after 1\.\d+ MB of it" if name in UNFORESEEN else r"the \d[.\d]* MB that it needs"
    assert re.search(figure, message)
    assert list(small.folder.iterdir()) == []
    small.remount("size=16m")
    WRITERS[name](path, PROVENANCE)
    for written in small.folder.iterdir():
        shutil.rmtree(written) if written.is_dir() else written.unlink()
    small.remount("size=1m")


@pytest.mark.parametrize("name", WRITERS)
def test_a_write_protected_folder_is_named(small, name):
    small.remount("ro")
    try:
        with pytest.raises(ResourceError, match="cannot be written to .Read-only file system"):
            WRITERS[name](small.folder / "deep" / name, PROVENANCE)
        with pytest.raises(ResourceError, match="cannot be written to .Read-only file system"):
            hold(small.folder)
    finally:
        small.remount("rw")


def test_results_that_cannot_be_written_to_can_be_planned(small):
    """A dry run, or `cortune versions`, of results on a disk that is read alone."""
    raw = small.folder / "raw"
    raw.write_bytes(b"x")
    small.remount("ro")
    try:
        known = Fingerprints(small.folder / "results" / ".fingerprints.json")
        known.of(Sources([("raw", raw)]))
        known.save()
    finally:
        small.remount("rw")
        raw.unlink()
    assert list(small.folder.iterdir()) == []


def test_a_memory_map_that_does_not_fit_is_refused_before_it_is_written(small):
    with pytest.raises(ResourceError, match="the 4 MB that it needs"):
        create_array(small.folder / "a.npy", (1000, 1000))
    (small.folder / "a.npy").unlink()
    array = create_array(small.folder / "a.npy", (100, 100))
    small.fill()
    array[:] = 1  # would end this process if the space were not set aside
    array.flush()
    assert (np.load(small.folder / "a.npy") == 1).all()
    for file in small.folder.iterdir():
        file.unlink()


def test_scratch_features_that_do_not_fit_are_refused(small):
    pytest.importorskip("torch")
    from cortune.features import Space

    space = Space(memory=1e6, scratch=1e9, folder=small.folder)
    with pytest.raises(ResourceError, match="the 8 MB that it needs"):
        space.blocks(1000, [(0, slice(0, 1000)), (1, slice(0, 1000))])
    assert list(small.folder.iterdir()) == []


def test_a_lock_on_a_full_disk(small):
    filler = small.fill()
    try:
        with pytest.raises(ResourceError, match="no space left on the disk .0 bytes free"):
            hold(small.folder)
    finally:
        filler.unlink()
        (small.folder / ".lock").unlink(missing_ok=True)


JOB = """
import sys
import numpy as np
tests, folder, what = sys.argv[1:]
sys.path.insert(0, tests)
from cortune.artifacts import write_json
from fake import run_encoding

def main(job):
    if what == "write":
        write_json(job.output.encoding, list(range(10**6)))
    elif what == "numpy":
        np.ones(1 << 46, np.uint8)
    elif what == "torch":
        import torch
        torch.ones(1 << 46, dtype=torch.uint8)
    elif what == "bug":
        raise RuntimeError("a bug")

run_encoding(f"{folder}/results", f"{folder}/logs/job.log", main)
"""


def run_job(folder, what):
    (folder / "logs").mkdir(exist_ok=True)
    log = folder / "logs" / "job.log"
    command = [sys.executable, "-c", JOB, str(Path(__file__).parent), str(folder), what]
    done = subprocess.run(command, capture_output=True, text=True)
    return SimpleNamespace(code=done.returncode, terminal=done.stderr, log=log)


def output_in(folder):
    project = Project(Config.from_mapping(CONFIG), str(folder / "results"))
    return project.path("encode_roi", "encoding", UNIT)


def test_the_message_of_a_job_goes_to_the_log(small):
    done = run_job(small.folder, "write")
    assert done.code == 1 and done.terminal == ""
    (line,) = done.log.read_text().splitlines()
    expected = f"ERROR {output_in(small.folder)}: found too little space left on the disk, "
    assert line.startswith(expected) and "expected the 9.89 MB that it needs" in line


def test_the_message_of_a_job_goes_to_the_terminal_if_the_log_does_not_hold_it(small):
    (small.folder / "logs").mkdir(exist_ok=True)
    (small.folder / "logs" / "job.log").unlink(missing_ok=True)
    filler = small.fill()
    try:
        done = run_job(small.folder, "write")
        assert done.code == 1
        assert "encoding.h5: found too little space left on the disk, 0 bytes" in done.terminal
        small.remount("ro")
        done = run_job(small.folder, "write")
        assert done.code == 1
        assert "cannot be written to (Read-only file system)" in done.terminal
        assert "Traceback" not in done.terminal
    finally:
        small.remount("rw")
        filler.unlink()


@pytest.mark.parametrize("what", ["numpy", "torch"])
def test_too_little_memory_is_said_with_the_figure(tmp_path, what):
    if what == "torch":
        pytest.importorskip("torch")
    done = run_job(tmp_path, what)
    assert done.code == 1
    (line,) = done.log.read_text().splitlines()
    figure = {"numpy": "64.0 TiB", "torch": str(1 << 46)}[what]
    assert line.startswith("ERROR encode_roi: found too little memory") and figure in line
    assert "MB that the job had taken at its peak" in line and "--set-resources" in line


def test_another_error_keeps_its_traceback(tmp_path):
    done = run_job(tmp_path, "bug")
    assert done.code == 1
    assert "Traceback" in done.log.read_text() and "a bug" in done.log.read_text()


def test_an_error_of_reading_is_not_laid_to_the_disk(tmp_path):
    missing = FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "out" / "a"))
    assert disk_problem(tmp_path / "out" / "b", missing) is None
    unreadable = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "in" / "a"))
    assert disk_problem(tmp_path / "out" / "b", unreadable) is None


def test_allocation_never_shortens_a_file(tmp_path):
    with (tmp_path / "a").open("w+b") as file:
        file.write(b"x" * 100)
        file.flush()
        allocate(file, 10, tmp_path / "a")
        assert os.fstat(file.fileno()).st_size == 100
        allocate(file, 1000, tmp_path / "a")
        assert os.fstat(file.fileno()).st_size == 1000


def test_amounts_are_for_people():
    found = [amount(n) for n in (0, 999, 737_408, 2.2e6, 11e9, 3.5e15)]
    assert found == ["0 bytes", "999 bytes", "737 kB", "2.2 MB", "11 GB", "3500 TB"]
