"""Readers on files with mutated bytes: they read or refuse by name; no other error, no hang.

Most mutations hit the first kilobyte, where headers are.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis
from PIL import Image
from safetensors.torch import save_file
from scipy.io import savemat

from cortune.config.reading import read_yaml
from cortune.data.algonauts_files import read_coco_ids
from cortune.data.cifti import map_cifti
from cortune.data.hdf5 import hdf5_array
from cortune.data.images import open_rgb, read_size
from cortune.data.nod_files import load_areas, load_parcels
from cortune.data.nod_trials import read_events
from cortune.data.npy import load_array
from cortune.data.nsd_files import (
    load_surface,
    load_volume,
    open_surface_betas,
    open_volume_betas,
    read_colour_table,
    read_design,
)
from cortune.data.unpickle import load_names
from cortune.errors import CortuneError
from cortune.networks.weights import read_checkpoint

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
COLUMNS = np.array([0, 3])
EXAMPLES = 60


def picture(path: Path) -> None:
    Image.fromarray(PIXELS).save(path)


def read_picture(path: Path) -> None:
    width, height = read_size(path)
    assert open_rgb(path).size == (width, height)


def mgh(n_trials: int) -> Callable[[Path], None]:
    values = np.zeros((163_842, 1, 1, n_trials)[: 3 if n_trials == 1 else 4], np.float32)
    return lambda path: nibabel.MGHImage(values, np.eye(4)).to_filename(path)


def nifti(path: Path) -> None:
    volume = RNG.integers(0, 5, (5, 4, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)


def cifti(path: Path) -> None:
    cortex = BrainModelAxis.from_surface(np.arange(5), 9, "cortex_left")
    maps = ScalarAxis(["a.png", "b.png"])
    nibabel.save(Cifti2Image(RNG.random((2, 5), np.float32), (maps, cortex)), path)


def hdf5(name: str, values: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset(name, data=values, chunks=(1, *values.shape[1:]))

    return write


def read_brick(path: Path) -> None:
    with hdf5_array(path, "imgBrick", kind="uint8", ndim=4) as brick:
        assert brick.shape


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content) and None


def design(path: Path) -> None:
    savemat(path, {"masterordering": [[1.0, 2.0]], "subjectim": [[5.0, 6.0], [7.0, 8.0]]})


def parcels(path: Path) -> None:
    left, right = RNG.integers(181, 361, 29_696), RNG.integers(1, 181, 29_716)
    savemat(path, {"glasser_MMP": [np.concatenate([left, right]).astype(float)]})


def weights() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}


BETAS = RNG.integers(-300, 300, (4, 3, 2, 5)).astype(np.int16)
AREAS = "\n".join(["L,R", *(f"L_A{i}_ROI,R_A{i}_ROI" for i in range(180))])
FILES: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], object]]] = {
    "responses": (
        "x.npy",
        lambda path: np.save(path, RNG.random((4, 6), np.float32)),
        lambda path: load_array(path, kind="float32", ndim=2),
    ),
    "mapping": ("x.npy", lambda path: np.save(path, {0: "Unknown", 1: "V1v"}), load_names),
    **{name: (f"x.{name}", picture, read_picture) for name in ("png", "jpg", "gif", "bmp", "ppm")},
    **{name: (f"x.{name}", picture, read_picture) for name in ("tif", "webp")},
    "surface": ("x.mgh", mgh(1), load_surface),
    "compressed surface": ("x.mgz", mgh(1), load_surface),
    "surface betas": ("x.mgh", mgh(4), lambda path: open_surface_betas(path).read(COLUMNS)),
    "volume": ("x.nii", nifti, load_volume),
    "compressed volume": ("x.nii.gz", nifti, load_volume),
    "volume betas": (
        "x.hdf5",
        hdf5("betas", BETAS),
        lambda path: open_volume_betas(path).read(COLUMNS),
    ),
    "brick": ("x.hdf5", hdf5("imgBrick", PIXELS[None]), read_brick),
    "grayordinates": ("x.dscalar.nii", cifti, map_cifti),
    "design": ("x.mat", design, read_design),
    "parcels": ("x.mat", parcels, load_parcels),
    "areas": ("x.csv", text(AREAS), load_areas),
    "COCO ids": ("x.csv", text("nsdId,cocoId\n0,5\n1,7\n"), read_coco_ids),
    "colour table": ("x.ctab", text("0 Unknown 0 0 0 0\n1 V1v 9 9 9 0\n"), read_colour_table),
    "events": (
        "x.tsv",
        text("onset\tduration\ttrial_type\tstim_file\n0\t1\t3\ta/b.png\n"),
        read_events,
    ),
    "safetensors": ("x.safetensors", lambda path: save_file(weights(), path), read_checkpoint),
    "state dict": ("x.pth", lambda path: torch.save(weights(), path), read_checkpoint),
    "configuration": ("x.yaml", text("a: &x {b: [1, 2.5]}\nc: *x\n# end\n"), read_yaml),
}

EDITS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 1023), st.integers(0, 1 << 20)),
        st.sampled_from(["set", "set", "flip", "insert", "delete"]),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)
CUTS = st.one_of(st.none(), st.integers(0, 1 << 20))


def mutated(content: bytes, edits: list[tuple[int, str, int]], cut: int | None) -> bytes:
    data = bytearray(content)
    for position, kind, value in edits:
        place = position % max(1, len(data))
        if kind == "insert":
            data.insert(place, value)
        elif not data:
            continue
        elif kind == "delete":
            del data[place]
        else:
            data[place] = value if kind == "set" else data[place] ^ 1 << value % 8
    return bytes(data if cut is None else data[: cut % max(1, len(data))])


@pytest.mark.filterwarnings("ignore")  # libraries warn of what they find, and go on
@pytest.mark.parametrize("case", FILES.values(), ids=list(FILES))
def test_mutated_files_are_read_or_refused(tmp_path, case):
    name, write, read = case
    original = tmp_path / name
    write(original)
    content = original.read_bytes()
    path = tmp_path / f"mutated{name[1:]}"

    @settings(
        max_examples=EXAMPLES,
        deadline=10_000,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(EDITS, CUTS)
    def fuzz(edits: list[tuple[int, str, int]], cut: int | None) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(mutated(content, edits, cut))
        try:
            read(path)
        except CortuneError as error:
            assert path.name in str(error)

    fuzz()


@pytest.mark.parametrize("case", FILES.values(), ids=list(FILES))
def test_what_is_mutated_can_be_read(tmp_path, case):
    name, write, read = case
    write(tmp_path / name)
    read(tmp_path / name)


def test_pictures_are_what_was_saved(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    (tmp_path / "x.png").write_bytes(buffer.getvalue())
    assert np.array_equal(np.asarray(open_rgb(tmp_path / "x.png")), PIXELS)
