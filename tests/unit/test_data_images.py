"""Pictures decode as torchvision would, once per identity, and hostile ones are named."""

from __future__ import annotations

import hashlib
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cortune.data import images as module
from cortune.data.images import Framing, build_cache, open_cache, open_rgb, read_picture, read_size
from cortune.data.records import Images
from cortune.errors import InputError, ResourceError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray = PIXELS, mode: str | None = None) -> Path:
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims any size in 57 bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """Five rows, three identities: one shown twice, one under two file names."""
    files = [save(tmp_path / f"{i}.png", np.roll(PIXELS, i, axis=0)) for i in range(4)]
    rows = [("b", 0), ("a", 1), ("b", 0), ("c", 2), ("a", 3)]
    return Images(tuple(name for name, _ in rows), tuple(files[i] for _, i in rows))


@pytest.mark.parametrize("size", [8, 37, 64, 224])
def test_same_as_torchvision(tmp_path: Path, size: int) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    path = save(tmp_path / "p.png")
    expected = np.asarray(transforms.Resize((size, size))(Image.open(path).convert("RGB")))
    np.testing.assert_array_equal(read_picture(path, size), expected)


def test_large_uniform_areas_keep_their_colour(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = (200, 100, 50)
    found = read_picture(save(tmp_path / "p.png", pixels), 8)
    np.testing.assert_array_equal(found[:, 0], np.zeros((8, 3)))
    np.testing.assert_array_equal(found[:, -1], np.tile([200, 100, 50], (8, 1)))


@pytest.mark.parametrize(
    "suffix, mode",
    [
        ("png", "L"),
        ("png", "P"),
        ("png", "RGBA"),
        ("png", "1"),
        ("png", "LA"),
        ("jpg", "CMYK"),
        ("jpg", "L"),
        ("gif", "P"),
        ("webp", "RGB"),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, suffix: str, mode: str) -> None:
    path = save(tmp_path / f"p.{suffix}", mode=mode)
    found = read_picture(path, 16)
    assert found.shape == (16, 16, 3) and found.dtype == np.uint8
    assert open_rgb(path).size == read_size(path) == (53, 37)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    path = save(tmp_path / "p.png", grey)
    np.testing.assert_array_equal(read_picture(path, 8)[..., 0], grey >> 8)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda p: p.write_text("no picture"), "no picture in its 10 bytes"),
    "empty": (lambda p: p.write_bytes(b""), "no picture in its 0 bytes"),
    "bomb": (lambda p: p.write_bytes(png_header(60_000, 60_000)), "60000 x 60000|3600000000"),
    "large": (lambda p: p.write_bytes(png_header(9000, 9000)), "9000 x 9000 pixels"),
    "truncated": (
        lambda p: p.write_bytes(save(p.with_suffix(".whole.png")).read_bytes()[:2000]),
        "truncated",
    ),
    "folder": (lambda p: p.mkdir(), "no regular file"),
    "missing": (lambda p: None, "No such file"),
    "postscript": (
        lambda p: p.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "no",
    ),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("make, found", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_picture_is_named(
    tmp_path: Path, make: Callable[[Path], object], found: str
) -> None:
    path = tmp_path / "p.png"
    make(path)
    for read in (read_size, lambda file: read_picture(file, 8)):
        with pytest.raises(InputError, match=found) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))


def test_a_file_too_large_to_read(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    with path.open("wb") as file:
        file.truncate(module.MAX_BYTES + 1)
    with pytest.raises(InputError, match=f"{module.MAX_BYTES + 1} bytes; expected at most"):
        read_picture(path, 8)


def test_cache_holds_each_identity_once(images: Images, tmp_path: Path) -> None:
    digest, _ = build_cache(images, Framing(16), tmp_path / "cache.npy", workers=2)
    cache = open_cache(tmp_path / "cache.npy")
    assert isinstance(cache, np.memmap) and cache.dtype == np.uint8
    first = [images.files[row] for row in (0, 1, 3)]
    assert images.unique() == Images(("b", "a", "c"), tuple(first))
    np.testing.assert_array_equal(cache, np.stack([read_picture(file, 16) for file in first]))
    lines = [
        f"{name}\x1f{hashlib.sha256(file.read_bytes()).hexdigest()}\n"
        for name, file in zip("bac", first, strict=True)
    ]
    assert digest == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_cache_is_the_same_whatever_the_threads_and_blocks(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = build_cache(images, Framing(16), tmp_path / "one.npy")
    monkeypatch.setattr(module, "_BLOCK", 2)
    two = build_cache(images, Framing(16), tmp_path / "two.npy", workers=3)
    assert one == two
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()


def test_an_unreadable_picture_leaves_no_cache(images: Images, tmp_path: Path) -> None:
    images.files[3].write_bytes(b"broken")
    with pytest.raises(InputError, match=r"2.png"):
        build_cache(images, Framing(16), tmp_path / "out" / "cache.npy", workers=2)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_said_before_any_work(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ResourceError, match=r"left on the disk, 1 kB; expected the .* kB that it"):
        build_cache(images, Framing(16), tmp_path / "cache.npy")


def test_a_truncated_cache_is_named(images: Images, tmp_path: Path) -> None:
    path = tmp_path / "cache.npy"
    build_cache(images, Framing(16), path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="truncated"):
        open_cache(path)
