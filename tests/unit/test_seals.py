from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake import CONFIG, snakemake_of

from cortune import artifacts
from cortune.address import Address
from cortune.config import Config
from cortune.errors import InputError
from cortune.jobs import Job
from cortune.project import Project
from cortune.seals import seal, seal_of, sealed_files, unseal, verify
from cortune.versions import Provenance

PROVENANCE = Provenance("encode_roi", "1-00000000", 3)
TABLE = pd.DataFrame({"roi": ["V1v", "hV4"], "r": [0.1, 0.2]})


def hdf5(path):
    with artifacts.hdf5_writer(path, PROVENANCE) as file:
        file["x"] = np.arange(300)


def npy(path):
    np.save(path, np.arange(300))


def folder(path):
    (path / "hemi-lh").mkdir(parents=True)
    hdf5(path / "hemi-lh" / "probe.h5")
    hdf5(path / "probe.h5")


KINDS = {
    "a.h5": hdf5,
    "a.npy": npy,
    "a.safetensors": lambda path: artifacts.write_safetensors(path, {"x": np.ones(9)}, PROVENANCE),
    "a.parquet": lambda path: artifacts.write_parquet(path, TABLE, PROVENANCE),
    "a.csv": lambda path: artifacts.write_csv(path, TABLE, PROVENANCE),
    "a.json": lambda path: artifacts.write_json(path, {"x": [1, 2, 3]}),
    "folder": folder,
}


def flip(path, position, bit=0):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("name", KINDS)
def test_one_flipped_bit_anywhere_is_found(tmp_path, name):
    path = tmp_path / name
    KINDS[name](path)
    seal(path)
    verify(path)
    random = np.random.default_rng(0)
    for file in sealed_files(path):
        size = file.stat().st_size
        for position in {0, size - 1, *random.integers(0, size, 10).tolist()}:
            before = artifacts.sha256(file)
            flip(file, position, bit := int(random.integers(8)))
            with pytest.raises(InputError) as error:
                verify(path)
            message = str(error.value)
            option = "-r " if name == "folder" else ""
            assert message.startswith(f"{file}: found SHA-256 {artifacts.sha256(file)}; expected")
            assert f"SHA-256 {before}, as when it was written" in message
            assert f"Remove what it belongs to (rm {option}{path}) and run" in message
            flip(file, position, bit)
            verify(path)


def test_a_seal_is_what_sha256sum_reads(tmp_path):
    folder(tmp_path / "folder")
    seal(tmp_path / "folder")
    command = ["sha256sum", "--check", "--strict", seal_of(tmp_path / "folder").name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout == "folder/hemi-lh/probe.h5: OK\nfolder/probe.h5: OK\n"


def test_a_file_missing_from_a_folder_is_named(tmp_path):
    folder(tmp_path / "folder")
    seal(tmp_path / "folder")
    (tmp_path / "folder" / "probe.h5").unlink()
    with pytest.raises(InputError, match="folder/probe.h5: found no file; expected SHA-256"):
        verify(tmp_path / "folder")


def test_a_damaged_seal_is_found_too(tmp_path):
    """By whoever hashes the file; what the file system says of it is but a note."""
    npy(tmp_path / "a.npy")
    seal(tmp_path / "a.npy")
    beside = seal_of(tmp_path / "a.npy")
    whole = beside.read_bytes()
    notes = whole.index(b"\n# ") + 1
    for position in range(notes):
        flip(beside, position, bit=6)
        with pytest.raises(InputError, match=r"a.npy"):
            verify(tmp_path / "a.npy", whole=True)
        beside.write_bytes(whole)
    for position in range(notes, len(whole)):
        flip(beside, position, bit=6)
        with contextlib.suppress(InputError):  # a line that is none, or a note that is passed over
            verify(tmp_path / "a.npy")
            assert beside.read_bytes() == whole, "mended"
        beside.write_bytes(whole)
    flip(tmp_path / "a.npy", 200)
    for position in range(notes, len(whole)):
        flip(beside, position, bit=6)
        with pytest.raises(InputError, match=r"a.npy"):
            verify(tmp_path / "a.npy")
        beside.write_bytes(whole)


def test_what_has_no_seal_passes(tmp_path):
    npy(tmp_path / "raw.npy")
    verify(tmp_path / "raw.npy")
    seal(tmp_path / "raw.npy")
    flip(tmp_path / "raw.npy", -1)
    unseal(tmp_path / "raw.npy")
    unseal(tmp_path / "raw.npy")
    verify(tmp_path / "raw.npy")


def test_what_the_file_system_knows_to_be_unchanged_is_not_hashed_again(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    npy(path)
    seal(path)
    hashed = []
    monkeypatch.setattr(
        "cortune.seals.sha256", lambda file: hashed.append(file) or artifacts.sha256(file)
    )
    verify(path)
    assert hashed == []
    verify(path, whole=True)
    assert hashed == [path]
    os.utime(path, (1, 1))  # as Snakemake does when a job is done
    verify(path)
    verify(path)
    assert hashed == [path, path], "once, and what was found is kept"


def test_a_byte_that_changed_in_place_with_its_times_is_found(tmp_path):
    path = tmp_path / "a.npy"
    npy(path)
    seal(path)
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"\xff")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(InputError, match="as when it was written"):
        verify(path)


def test_results_that_were_copied_are_hashed_once(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    npy(tmp_path / "one" / "a.npy")
    seal(tmp_path / "one" / "a.npy")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    copy = tmp_path / "other" / "a.npy"
    verify(copy)
    monkeypatch.setattr("cortune.seals.sha256", lambda file: 1 / 0)
    verify(copy)


def test_a_record_vouches_for_what_its_job_wrote(tmp_path):
    """The simulated files are no inputs by name: who reads the record reads them."""
    project = Project(Config.from_mapping(CONFIG), str(tmp_path / "results"))
    snakemake = snakemake_of(project, "simulate_dataset", Address("nsd", "subj01"))
    job = Job(snakemake)
    truth, record = Path(job.output.truth), Path(job.output.record)
    data = record.parents[1] / "algonauts2023" / "subj01"
    for path in (data, truth):
        path.mkdir(parents=True)
        npy(path / "x.npy")
    job.record(str(record), [data])
    job.seal()
    assert sealed_files(record) == [record, data / "x.npy"]
    assert sealed_files(truth) == [truth / "x.npy"] and not seal_of(data).exists()
    flip(data / "x.npy", 200)
    with pytest.raises(InputError, match=r"x.npy: found SHA-256.* \(rm .*algonauts2023.json\)"):
        verify(record)
