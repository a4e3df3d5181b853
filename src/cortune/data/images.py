"""Decoding pictures, and the cache that holds each of a subject's images once."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cortune.artifacts import atomic
from cortune.data.hdf5 import hdf5_array
from cortune.data.npy import map_array
from cortune.data.problems import AGAIN
from cortune.data.records import BrickRow, Images, PictureSource
from cortune.errors import InputError
from cortune.files import regular_file

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 1 << 26
MAX_BYTES = 1 << 28
_DECODED = 1000  # pictures that are compared by decoding them all
_BLOCK = 256
# Not every format PIL knows: some of them (EPS) run other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_ORIENTATION, _UPSIDE_DOWN = 0x0112, 4  # EXIF; values beyond turn it by a quarter
_PNG = b"\x89PNG\r\n\x1a\n"


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
        with regular_file(path).open("rb") as file:
            head = file.read(24)
            file.seek(max(0, file.seek(0, io.SEEK_END) - 1024))
            tail = file.read()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    if not (head.startswith(_PNG) and len(head) == 24):
        with _open(path, path) as picture:
            turned = picture.getexif().get(_ORIENTATION, 1) > _UPSIDE_DOWN
            return picture.size[::-1] if turned else picture.size
    width, height = struct.unpack(">II", head[16:24])
    _check_pixels(path, width, height)
    if b"IEND" not in tail:
        raise InputError(path, "a PNG without its end (truncated)", "a whole picture", AGAIN)
    return width, height


def check_picture(path: str | Path) -> None:
    """Decode a picture as coarsely as its format allows, to see that it is whole.

    Raises
    ------
    InputError
        As :func:`read_picture`.
    """
    path = Path(path)
    try:
        with _open(path, path) as picture:
            picture.draft("RGB", (32, 32))
            picture.load()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise _unreadable(path, f"a picture that cannot be decoded ({error})") from None


@dataclass(frozen=True)
class Framing:
    """How a picture becomes a square.

    Parameters
    ----------
    size : int
        Width and height of the square in pixels.
    interpolation : str
        ``bilinear``, ``bicubic`` or another of PIL's, with antialiasing.
    resize : int, optional
        Shorter edge that the picture is scaled to before its central square is cropped;
        None shows it whole, its aspect ratio not kept.
    squash : bool
        Whether both edges are scaled to `resize`.
    """

    size: int
    interpolation: str = "bilinear"
    resize: int | None = None
    squash: bool = False

    def __call__(self, picture: Image.Image, where: object) -> NDArray[np.uint8]:
        """Return a picture as a square (size, size, 3).

        Equal to torchvision's ``Resize((size, size))`` or, where it is cropped,
        ``Resize(resize)`` and ``CenterCrop(size)``, on PIL images.

        Raises
        ------
        InputError
            If it is so narrow that scaling would make it too large; `where` is its file.
        """
        from PIL import Image

        method = Image.Resampling[self.interpolation.upper()]
        if self.resize is None:
            return np.asarray(picture.resize((self.size, self.size), method))
        edges = self.resize, self.resize
        width, height = edges if self.squash else scaled_size(*picture.size, self.resize, where)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        scaled = picture.resize((width, height), method)
        return np.asarray(scaled.crop((left, top, left + self.size, top + self.size)))


def scaled_size(width: int, height: int, shorter: int, where: object) -> tuple[int, int]:
    """Return width and height scaled to a shorter edge.

    Raises
    ------
    InputError
        If the picture is so narrow that it would become too large; `where` is its file.
    """
    longer = int(shorter * max(width, height) / min(width, height))
    if longer * shorter > MAX_PIXELS:
        raise InputError(
            where,
            f"{width} x {height} pixels, {shorter} x {longer} when scaled",
            f"a picture of at most {MAX_PIXELS} pixels",
            "Remove it, or cut it to what it shows.",
        )
    return (shorter, longer) if width <= height else (longer, shorter)


def read_picture(path: str | Path, size: int) -> NDArray[np.uint8]:
    """Decode a picture to RGB and resize it to a square, bilinearly.

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
    return Framing(size)(open_rgb(path), path)


def open_rgb(path: str | Path) -> Image.Image:
    """Decode a picture to RGB at its own size, turned as its EXIF tag says.

    Greyscale, palette, 16-bit and CMYK pictures are converted; transparency is dropped.

    Raises
    ------
    InputError
        As :func:`read_picture`.
    """
    return _decode(Path(path), _read_bytes(Path(path)))


def build_cache(
    images: Images, framing: Framing, path: str | Path, *, workers: int = 1
) -> tuple[str, list[str]]:
    """Decode each identity once into a uint8 ``.npy`` file, in order of first appearance.

    The file is written picture by picture, so memory is bounded by `_BLOCK` pictures
    whatever their number.

    Parameters
    ----------
    images : Images
        Of one subject; an identity shown repeatedly is stored once.
    framing : Framing
    path : path
        The ``.npy`` to write, (n_identities, size, size, 3).
    workers : int
        Decoding threads.

    Returns
    -------
    digest : str
        SHA-256 over the identities and the bytes behind them: of a file, or of a row's
        pixels.
    contents : list of str
        :func:`content_digest` of every identity's picture.

    Raises
    ------
    InputError
        Naming the picture that cannot be decoded.
    ResourceError
        If the disk cannot hold the cache; the message says how much it needs.
    """
    from tqdm import tqdm

    unique = images.unique()
    shape = (len(unique), framing.size, framing.size, 3)
    digest, contents = hashlib.sha256(), []
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with (
        atomic(path, needs=math.prod(shape)) as temporary,
        temporary.open("wb") as out,
        _Pictures() as pictures,
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(unique), desc="decoding", unit="image", mininterval=5) as progress,
    ):
        npy_format.write_array_header_1_0(out, header)
        for start in range(0, len(unique), _BLOCK):
            block = slice(start, start + _BLOCK)
            decoded = pool.map(lambda file: pictures.load(file, framing), unique.files[block])
            for identity, (pixels, sha, content) in zip(
                unique.identities[block], decoded, strict=True
            ):
                out.write(pixels.tobytes())
                contents.append(content)
                digest.update(f"{identity}\x1f{sha}\n".encode())
                progress.update()
    return digest.hexdigest(), contents


def content_digest(picture: NDArray[np.uint8] | Image.Image) -> str:
    """Return a digest of a decoded RGB picture at its own size: what it shows, in any format."""
    pixels = np.ascontiguousarray(picture)
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()[:32]


def same_pictures(paths: Sequence[Path], workers: int = 8) -> list[list[Path]]:
    """Return the pictures that decode alike, a list for each image that is there repeatedly.

    All are decoded where there are few; of more than `_DECODED` only those that have their
    size and their last bytes in common, so that copies in another format are missed.
    Unreadable ones are passed over.
    """
    if len(paths) > _DECODED:
        with ThreadPoolExecutor(workers) as pool:
            sizes = list(pool.map(_n_bytes, paths))
            paths = [path for group in _alike(paths, sizes) for path in group]
            paths = [path for group in _alike(paths, list(pool.map(_end, paths))) for path in group]
    with ThreadPoolExecutor(workers) as pool:
        return _alike(paths, list(pool.map(_content, paths)))


def _alike(paths: Sequence[Path], keys: Sequence[object]) -> list[list[Path]]:
    groups: dict[object, list[Path]] = {}
    for path, key in zip(paths, keys, strict=True):
        if key is not None:
            groups.setdefault(key, []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _n_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _end(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            file.seek(-min(64, file.seek(0, io.SEEK_END)), io.SEEK_END)
            return file.read()
    except OSError:
        return None


def _content(path: Path) -> str | None:
    try:
        return content_digest(open_rgb(path))
    except InputError:
        return None


def open_cache(path: str | Path) -> NDArray[np.uint8]:
    """Memory-map a cache, (n_identities, size, size, 3), read only."""
    return map_array(path, kind="uint8", ndim=4, expected="(n, size, size, 3) uint8")


def read_index(path: str | Path) -> dict[str, int]:
    """Return the cache row of every identity from the index beside the cache.

    Pictures that are one image have one identity; the first stands for all.
    """
    rows: dict[str, int] = {}
    for row, line in enumerate(read_index_lines(path)):
        rows.setdefault(line["identity"], row)
    return rows


def read_index_lines(path: str | Path) -> list[dict[str, str]]:
    """Return the lines of the index beside the cache: ``identity, file, name, …``."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class _Pictures:
    """Pictures, their SHA-256 and their content, from files and from rows of HDF5 arrays.

    HDF5 serves one thread at a time, so rows are read one after the other; the threads
    share only the work of resizing them. A row is read alone, never its whole array.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._bricks: dict[tuple[Path, str], Any] = {}
        self._lock = Lock()

    def __enter__(self) -> _Pictures:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def load(self, source: PictureSource, framing: Framing) -> tuple[NDArray[np.uint8], str, str]:
        """Return a picture as a square, the SHA-256 of what it was read from, and its content."""
        from PIL import Image

        if isinstance(source, BrickRow):
            pixels = self._row(source)
            sha = hashlib.sha256(pixels.tobytes()).hexdigest()
            return framing(Image.fromarray(pixels), source.path), sha, content_digest(pixels)
        data = _read_bytes(source)
        picture = _decode(source, data)
        sha = hashlib.sha256(data).hexdigest()
        return framing(picture, source), sha, content_digest(picture)

    def _row(self, source: BrickRow) -> NDArray[np.uint8]:
        with self._lock:
            brick = self._brick(source)
            if not 0 <= source.row < len(brick):
                found = f"{len(brick)} pictures in {source.array!r}"
                raise InputError(source.path, found, f"a row {source.row}", AGAIN)
            try:
                row: NDArray[np.uint8] = brick[source.row]
            except OSError as error:
                found = f"row {source.row} of {source.array!r} unreadable ({error})"
                raise InputError(source.path, found, "a readable picture", AGAIN) from None
            return row

    def _brick(self, source: BrickRow) -> Any:
        key = (source.path, source.array)
        if key not in self._bricks:
            opened = hdf5_array(source.path, source.array, kind="uint8", ndim=4)
            brick = self._open.enter_context(opened)
            check_brick(source.path, brick.shape)
            self._bricks[key] = brick
        return self._bricks[key]


def check_brick(path: Path, shape: tuple[int, ...]) -> None:
    """Require the shape of an array of RGB pictures: (n, height, width, 3).

    Raises
    ------
    InputError
        Naming the shape, or the size of pictures with more than `MAX_PIXELS`.
    """
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(path, f"shape {shape}", "(n_pictures, height, width, 3)", AGAIN)
    _check_pixels(path, shape[2], shape[1])


def _read_bytes(path: Path) -> bytes:
    try:
        n_bytes = regular_file(path).stat().st_size
        if n_bytes > MAX_BYTES:
            cure = "Save the picture at a lower resolution."
            raise InputError(path, f"{n_bytes} bytes", f"at most {MAX_BYTES}", cure)
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None


def _decode(path: Path, data: bytes) -> Image.Image:
    from PIL import ImageOps

    try:
        with _open(path, io.BytesIO(data)) as picture:
            if picture.mode.startswith("I;16"):
                picture = _eight_bits(picture)
            # Upright, as every viewer shows it.
            return ImageOps.exif_transpose(picture).convert("RGB")
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
    return InputError(path, found, "a picture such as PNG or JPEG", AGAIN)
