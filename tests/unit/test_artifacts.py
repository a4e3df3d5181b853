from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pandas as pd
import pytest

from cortune import artifacts
from cortune.errors import InputError, ResourceError
from cortune.versions import Provenance

PROVENANCE = Provenance("encode_roi", "1-00000000", 3, {"a.b": 1}, {"x": "1-11111111"}, {"f": "0"})


def write_all(folder):
    table = pd.DataFrame({"roi": ["V1v", "hV4"], "r": [0.1, np.nan]})
    with artifacts.hdf5_writer(folder / "a.h5", PROVENANCE) as file:
        file["x"] = np.arange(3)
        file.create_group("group").attrs["names"] = ["a", "b"]
        file["group/y"] = np.ones((2, 2), np.float32)
    artifacts.write_csv(folder / "a.csv", table, PROVENANCE)
    artifacts.write_parquet(folder / "a.parquet", table, PROVENANCE)
    tensors = {"b": np.ones(2, np.float32), "a": np.zeros(3, np.float32)}
    artifacts.write_safetensors(folder / "a.safetensors", tensors, PROVENANCE)
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([0, 1])
    artifacts.save_figure(folder / "a.png", figure, PROVENANCE)
    return ["a.h5", "a.csv", "a.parquet", "a.safetensors", "a.png"]


def test_every_format_carries_its_provenance(tmp_path):
    for name in write_all(tmp_path):
        assert artifacts.read_provenance(tmp_path / name) == PROVENANCE.as_dict(), name


def test_same_inputs_give_the_same_bytes(tmp_path):
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        names = write_all(tmp_path / run)
        time.sleep(1.1)  # time stamps have seconds
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_files_are_as_readable_as_any_new_one(tmp_path):
    """Safetensors makes files that are their owner's alone."""
    former = os.umask(0o027)
    try:
        names = write_all(tmp_path)
    finally:
        os.umask(former)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in names} == {0o640}


def test_failure_leaves_nothing_and_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), artifacts.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


WRITES_UNTIL_KILLED = """
import sys
import numpy as np
import safetensors.numpy
from cortune.artifacts import write_safetensors
from cortune.versions import Provenance

def save_file(arrays, path, metadata):
    path.with_name(".tmp123456").write_bytes(bytes(10))  # as its makers do, with another name
    import os
    os.kill(os.getpid(), 9)

safetensors.numpy.save_file = save_file
write_safetensors(sys.argv[1], {"a": np.zeros(3)}, Provenance("tune_network", "1-00000000", 0))
"""


def test_what_a_killed_writer_left_beside_its_file_goes_with_the_next(tmp_path):
    path = tmp_path / "network.safetensors"
    killed = subprocess.run([sys.executable, "-c", WRITES_UNTIL_KILLED, str(path)])
    assert killed.returncode == -9
    assert [p.is_dir() for p in tmp_path.iterdir()] == [True], "nothing beside the hidden folder"
    assert len(list(tmp_path.rglob(".tmp*"))) == 1
    artifacts.write_safetensors(path, {"a": np.zeros(3)}, PROVENANCE)
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    for content in ("one", "two"):
        with artifacts.atomic(target) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [p.name for p in target.iterdir()] == ["two"]


def test_full_disk_says_so(tmp_path):
    with (
        pytest.raises(ResourceError, match="no space left on the disk .* room for all of it"),
        artifacts.atomic(tmp_path / "a"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_nan_becomes_empty_or_null(tmp_path):
    artifacts.write_json(tmp_path / "a.json", {"x": float("nan"), "y": [float("inf"), 1.0]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": None, "y": [None, 1.0]}
    artifacts.write_csv(tmp_path / "a.csv", pd.DataFrame({"r": [np.nan]}), PROVENANCE)
    assert (tmp_path / "a.csv").read_text() == 'r\n""\n'


@pytest.mark.parametrize("content", [None, b"", b"\x89HDF\r\n\x1a\n broken"])
def test_unreadable_hdf5_is_named(tmp_path, content):
    path = tmp_path / "a.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="a.h5"), artifacts.hdf5_reader(path):
        pass


def test_file_without_provenance_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("x\n")
    with pytest.raises(InputError, match="no provenance"):
        artifacts.read_provenance(tmp_path / "a.csv")


def test_a_locked_file_is_not_called_damaged(tmp_path):
    path = tmp_path / "betas.hdf5"
    with h5py.File(path, "w") as file:
        file["betas"] = np.zeros((2, 2))
        file.flush()
        script = (
            "import sys; from cortune.artifacts import hdf5_reader\n"
            "from cortune.data.hdf5 import hdf5_array\n"
            "for reader in (hdf5_reader(sys.argv[1]), "
            "hdf5_array(sys.argv[1], 'betas', kind='float64', ndim=2)):\n"
            "    try: reader.__enter__()\n"
            "    except Exception as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    for line in (first, second):
        assert "another program is writing" in line and "HDF5_USE_FILE_LOCKING" in line
