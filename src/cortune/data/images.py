"""Decoding pictures, and the cache that holds each of a subject's images once."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cortune.artifacts import atomic
from cortune.data.npy import check_header
from cortune.data.records import Images
from cortune.errors import InputError, ResourceError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 1 << 26
MAX_BYTES = 1 << 28
_BLOCK = 256
# Not every format PIL knows: some of them (EPS) run other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_PNG = b"\x89PNG\r\n\x1a\n"
_AGAIN = "Copy or download the file again."


def read_size(path: str | Path) -> tuple[int, int]:
    """Return width and height of a picture from its header alone.

    A PNG must also have its end mark, so that a truncated file is found without decoding.

    Raises
    ------
    InputError
        If the file is missing, no picture, truncated or has more than `MAX_PIXELS`.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(24)
            file.seek(max(0, file.seek(0, io.SEEK_END) - 1024))
            tail = file.read()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    if not (head.startswith(_PNG) and len(head) == 24):
        with _open(path, path) as picture:
            return picture.size
    width, height = struct.unpack(">II", head[16:24])
    _check_pixels(path, width, height)
    if b"IEND" not in tail:
        raise InputError(path, "a PNG without its end (truncated)", "a whole picture", _AGAIN)
    return width, height


def read_picture(path: str | Path, size: int) -> NDArray[np.uint8]:
    """Decode a picture to RGB and resize it to a square.

    Equal to torchvision's ``Resize((size, size))`` on the PIL image: bilinear with
    antialiasing, the aspect ratio not kept.

    Parameters
    ----------
    path : path
    size : int
        Width and height of the result in pixels.

    Returns
    -------
    array (size, size, 3), uint8

    Raises
    ------
    InputError
        If the file is missing, not a picture, truncated, or has more than `MAX_PIXELS`.
    """
    return _square(open_rgb(path), size)


def open_rgb(path: str | Path) -> Image.Image:
    """Decode a picture to RGB at its own size.

    Greyscale, palette, 16-bit and CMYK pictures are converted; transparency is dropped.

    Raises
    ------
    InputError
        As :func:`read_picture`.
    """
    return _decode(Path(path), _read_bytes(Path(path)))


def build_cache(images: Images, size: int, path: str | Path, *, workers: int = 1) -> str:
    """Decode each identity once into a uint8 ``.npy`` file, in order of first appearance.

    The file is written picture by picture, so memory is bounded by `_BLOCK` pictures
    whatever their number.

    Parameters
    ----------
    images : Images
        Of one subject; an identity shown repeatedly is stored once.
    size : int
        Width and height in pixels.
    path : path
        The ``.npy`` to write, (n_identities, size, size, 3).
    workers : int
        Decoding threads.

    Returns
    -------
    str
        SHA-256 over the identities and the bytes of the files behind them.

    Raises
    ------
    InputError
        Naming the picture that cannot be decoded.
    ResourceError
        If the disk cannot hold the cache; the message says how much it needs.
    """
    from tqdm import tqdm

    unique = images.unique()
    shape = (len(unique), size, size, 3)
    _require_space(Path(path), math.prod(shape))
    digest = hashlib.sha256()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with (
        atomic(path) as temporary,
        temporary.open("wb") as out,
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(unique), desc="decoding", unit="image", mininterval=5) as progress,
    ):
        npy_format.write_array_header_1_0(out, header)
        for start in range(0, len(unique), _BLOCK):
            block = slice(start, start + _BLOCK)
            decoded = pool.map(lambda file: _load(file, size), unique.files[block])
            for identity, (pixels, sha) in zip(unique.identities[block], decoded, strict=True):
                out.write(pixels.tobytes())
                digest.update(f"{identity}\x1f{sha}\n".encode())
                progress.update()
    return digest.hexdigest()


def open_cache(path: str | Path) -> NDArray[np.uint8]:
    """Memory-map a cache, (n_identities, size, size, 3), read only."""
    check_header(path, kind="uint8", ndim=4, expected="(n, size, size, 3) uint8")
    cache: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return cache


def read_index(path: str | Path) -> dict[str, int]:
    """Return the cache row of every identity from the index beside the cache."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return {line["identity"]: row for row, line in enumerate(csv.DictReader(file))}


def _load(path: Path, size: int) -> tuple[NDArray[np.uint8], str]:
    data = _read_bytes(path)
    return _square(_decode(path, data), size), hashlib.sha256(data).hexdigest()


def _read_bytes(path: Path) -> bytes:
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_BYTES:
            cure = "Save the picture at a lower resolution."
            raise InputError(path, f"{n_bytes} bytes", f"at most {MAX_BYTES}", cure)
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None


def _square(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))


def _decode(path: Path, data: bytes) -> Image.Image:
    try:
        with _open(path, io.BytesIO(data)) as picture:
            if picture.mode.startswith("I;16"):
                return _eight_bits(picture)
            return picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise _unreadable(path, f"a picture that cannot be decoded ({error})") from None


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Keep the upper byte of 16-bit greyscale, which PIL would clip to white."""
    from PIL import Image

    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")


def _open(path: Path, source: Path | io.BytesIO) -> Image.Image:
    """Open a picture lazily and check its size; `path` is for the message."""
    from PIL import Image

    try:
        picture = Image.open(source, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, str(error)) from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error):
        found = f"no picture in its {path.stat().st_size} bytes"
        raise _unreadable(path, found) from None
    _check_pixels(path, *picture.size)
    return picture


def _check_pixels(path: Path, width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise _too_large(path, f"{width} x {height} pixels")


def _too_large(path: Path, found: str) -> InputError:
    cure = "Save it at a lower resolution, or remove it if it is not what you expected."
    return InputError(path, found, f"a picture of at most {MAX_PIXELS} pixels", cure)


def _unreadable(path: Path, found: str) -> InputError:
    return InputError(path, found, "a picture such as PNG or JPEG", _AGAIN)


def _require_space(path: Path, n_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < n_bytes:
        raise ResourceError(
            f"{path}: the image cache needs {n_bytes / 1e6:.0f} MB and {free / 1e6:.0f} MB are "
            "free. Free some space or point the results folder elsewhere, then run again."
        )
