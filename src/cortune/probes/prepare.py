"""The stage that decodes a probe's images once and splits them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cortune.artifacts import PathLike, atomic, sha256, write_csv, write_json_beside
from cortune.data.images import Framing, content_digest, open_cache, open_rgb
from cortune.data.splits import position_of
from cortune.errors import CortuneError, InputError
from cortune.probes.sources import (
    SCENES,
    LabelledFiles,
    ProbeSpec,
    class_problems,
    list_images,
    probe_problems,
)
from cortune.seeds import rng
from cortune.simulate.scenes import labelled_scenes
from cortune.versions import Provenance

TEST_FRACTION = 0.15
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class ProbeImages:
    """Prepared images of a probe.

    Parameters
    ----------
    cache : array (n_images, s, s, 3), uint8
        Memory map.
    names : tuple of str
    labels : array (n_images,), int64
        Positions in `classes`.
    classes : tuple of str
    test : array (n_images,), bool
        Whether an image scores the probe; the others train it.
    """

    cache: NDArray[np.uint8]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    test: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)


def prepare_probe(
    spec: ProbeSpec,
    framing: Framing,
    cache_path: PathLike,
    index_path: PathLike,
    provenance: Provenance,
    *,
    test_fraction: float = TEST_FRACTION,
    workers: int = 1,
) -> None:
    """Decode a probe's images into a uint8 memory map and give each its class and set.

    Photographs are framed; scenes are rendered at the size s. Memory is bounded by a block
    of pictures.

    Parameters
    ----------
    spec : ProbeSpec
    framing : Framing
    cache_path : path
        ``.npy`` to write, (n_images, s, s, 3).
    index_path : path
        CSV to write: ``image, label, class, set``, one line per row of the cache; set is
        ``train`` or ``test``.
    provenance : Provenance
        Its seed draws the split; completed with a SHA-256 over all pictures.
    test_fraction : float
    workers : int
        Decoding threads.

    Raises
    ------
    InputError
        As :func:`cortune.probes.probe_problems` says, and if a picture cannot be decoded.
    ResourceError
        If the disk cannot hold the cache.
    """
    import pandas as pd

    if spec.kind == SCENES:
        if problems := probe_problems(spec):
            raise CortuneError(problems[0])
        files = _render_scenes(spec, framing.size, Path(cache_path), provenance.seed)
        raw, contents = {}, None
    else:
        files = _limited(list_images(spec), spec.images_per_class, provenance.seed)
        _raise_first(files)
        digest, contents = _decode_files(files, framing, Path(cache_path), workers)
        raw = {"pictures": digest}
    _raise_first(files)
    provenance = replace(provenance, raw={**provenance.raw, **raw})
    write_json_beside(cache_path, provenance)
    test = stratified_test(files.labels, files.classes, test_fraction, provenance.seed, contents)
    index = {
        "image": files.names(),
        "label": files.labels,
        "class": [files.classes[label] for label in files.labels],
        "set": np.where(test, "test", "train"),
    }
    write_csv(index_path, pd.DataFrame(index), provenance)


def read_probe(cache_path: PathLike, index_path: PathLike) -> ProbeImages:
    """Open what :func:`prepare_probe` wrote.

    Raises
    ------
    InputError
        If the two do not belong together.
    """
    import pandas as pd

    cache = open_cache(str(cache_path))
    index = pd.read_csv(index_path, dtype=str, keep_default_na=False)
    if len(index) != len(cache):
        raise InputError(
            index_path,
            f"{len(index)} images",
            f"{len(cache)}, as in {cache_path}",
            "Remove both and run the workflow again: they will be rebuilt.",
        )
    labels = index["label"].to_numpy().astype(np.int64)
    names = dict(zip(labels.tolist(), index["class"], strict=True))
    return ProbeImages(
        cache,
        tuple(index["image"]),
        labels,
        tuple(names[label] for label in sorted(names)),
        (index["set"] == "test").to_numpy(),
    )


def stratified_test(
    labels: NDArray[np.int64],
    classes: Sequence[str],
    fraction: float,
    seed: int,
    contents: Sequence[str] | None = None,
) -> NDArray[np.bool_]:
    """Draw test images, the same share of every class.

    Parameters
    ----------
    labels : array (n_images,)
    classes : sequence of str
        A class is drawn from by its name, so that another class changes nothing.
    fraction : float
        Of n images of a class, ``fraction · n`` rounded half up are tested on, and at
        least one is on either side.
    seed : int
    contents : sequence of str, optional
        Digest of each picture. It decides instead of the order, so that pictures that decode
        alike are drawn together, whatever they are called, and copies move no other.

    Returns
    -------
    array (n_images,), bool
    """
    test = np.zeros(len(labels), bool)
    keys = np.array(contents if contents is not None else np.arange(len(labels)).astype(str))
    _, first = np.unique(keys, return_index=True)
    once = np.isin(np.arange(len(labels)), first)
    for label, name in enumerate(classes):
        rows = np.flatnonzero(once & (labels == label))
        n_test = min(max(math.floor(fraction * len(rows) + 0.5), 1), max(len(rows) - 1, 0))
        if contents is None:
            order = rng(seed, "probe split", name).permutation(rows)
        else:
            order = np.array(sorted(rows, key=lambda row: position_of(seed, str(keys[row]))), int)
        test[order[:n_test]] = True
    return np.isin(keys, keys[test])


def _render_scenes(spec: ProbeSpec, size: int, path: Path, seed: int) -> LabelledFiles:
    """Render scenes that no data set and no pretraining shows."""
    labels: list[int] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, spec.n_images, _BLOCK):
            n = min(_BLOCK, spec.n_images - start)
            images, classes = labelled_scenes(
                n, size=size, n_classes=spec.n_classes, seed=seed, stream=f"probe {start}"
            )
            labels.extend(classes.tolist())
            yield from images

    _write_cache(path, spec.n_images, size, pictures())
    return LabelledFiles(
        Path(SCENES),
        tuple(Path(SCENES, f"{index:06d}") for index in range(spec.n_images)),
        np.array(labels, np.int64),
        tuple(f"class {label:03d}" for label in range(spec.n_classes)),
    )


def _raise_first(files: LabelledFiles) -> None:
    for problem in class_problems(files):
        raise problem


def _limited(listed: LabelledFiles, images_per_class: int, seed: int) -> LabelledFiles:
    """Keep at most so many images of each class."""
    if not images_per_class:
        return listed
    kept: list[int] = []
    for label, name in enumerate(listed.classes):
        rows = np.flatnonzero(listed.labels == label)
        drawn = rng(seed, "probe images", name).permutation(rows)[:images_per_class]
        kept += np.sort(drawn).tolist()
    files = tuple(listed.files[row] for row in kept)
    return LabelledFiles(listed.root, files, listed.labels[kept], listed.classes)


def _decode_files(
    files: LabelledFiles, framing: Framing, path: Path, workers: int
) -> tuple[str, list[str]]:
    """Write the cache; return a SHA-256 over names and bytes, and what each picture shows."""
    digest, contents = hashlib.sha256(), []

    def load(file: Path) -> tuple[NDArray[np.uint8], str, str]:
        picture = open_rgb(file)
        return framing(picture, file), sha256(file), content_digest(picture)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        names = files.names()
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(names), _BLOCK):
                block = slice(start, start + _BLOCK)
                decoded = pool.map(load, files.files[block])
                for name, (pixels, sha, content) in zip(names[block], decoded, strict=True):
                    digest.update(f"{name}\x1f{sha}\n".encode())
                    contents.append(content)
                    yield pixels

    _write_cache(path, len(files.files), framing.size, pictures())
    return digest.hexdigest(), contents


def _write_cache(
    path: Path, n_images: int, size: int, pictures: Iterable[NDArray[np.uint8]]
) -> None:
    from tqdm import tqdm

    shape = (n_images, size, size, 3)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    needs = math.prod(shape)
    with atomic(path, needs=needs) as temporary, temporary.open("wb") as out:
        npy_format.write_array_header_1_0(out, header)
        for picture in tqdm(pictures, total=n_images, desc="decoding", unit="image", mininterval=5):
            out.write(picture.tobytes())
