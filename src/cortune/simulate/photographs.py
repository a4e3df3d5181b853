"""Photographs as stimuli: what the simulated brain makes of pictures it did not render.

Retinotopic regions compute on pixels, so any picture will do. Higher regions respond to
what is in a scene. For a photograph that is taken from its label, if there is one (a
``labels.csv`` with the columns ``file`` and ``category``, or the folder it lies in), and
otherwise from a fixed random projection of its coarse layout, so that similar pictures
still drive them alike.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cortune.data.images import check_picture, open_rgb
from cortune.errors import InputError
from cortune.seeds import rng
from cortune.simulate.scenes import CATEGORIES, GRID, Scene, category_likeness
from cortune.simulate.spec import list_photographs

LABELS = "labels.csv"
_COARSE = 8
_WORDS = {
    "face": ("face", "portrait", "head"),
    "body": ("body", "person", "people", "animal", "human"),
    "place": ("place", "scene", "building", "house", "landscape", "room", "street"),
    "word": ("word", "text", "letter", "sign"),
}


def photograph_scenes(
    folder: Path, ids: np.ndarray, *, size: int, n_classes: int
) -> Iterator[Scene]:
    """Yield the photographs with these identities as scenes.

    Parameters
    ----------
    folder : path
    ids : ndarray of int64, shape (n_images,)
        Positions in :func:`cortune.simulate.spec.list_photographs`.
    size : int
        Edge of the pictures, pixels; they are cropped to their central square.
    n_classes : int

    Raises
    ------
    InputError
        If a picture cannot be decoded or ``labels.csv`` lacks a column.
    """
    photographs = list_photographs(folder)
    labels = read_labels(folder, photographs, n_classes)
    for index in ids:
        image = shown_as(photographs[index], size)
        coarse = _coarse(image)
        if labels[index] < 0:
            class_maps = _proxy(coarse, n_classes)
        else:
            class_maps = np.zeros((n_classes, GRID, GRID), np.float32)
            class_maps[labels[index]] = _salience(coarse)
        openness = float(np.clip(coarse[: _COARSE // 2].mean() - coarse.mean() + 0.5, 0, 1))
        clutter = float(np.clip(4 * coarse.std(), 0, 1))
        yield Scene(image, labels[index], class_maps, openness, clutter)


def shown_as(path: Path, size: int) -> np.ndarray:
    """Return a photograph, cropped to its central square and scaled: (size, size, 3) of uint8."""
    from PIL import ImageOps

    return np.asarray(ImageOps.fit(open_rgb(path), (size, size)))


def write_photographs(folder: Path, path: Path) -> None:
    """Write which photograph has which number, so that nobody takes it for NSD's."""
    rows = enumerate(photo.relative_to(folder).as_posix() for photo in list_photographs(folder))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("number", "file"), *rows])


def photograph_problems(folder: Path, n_classes: int) -> Iterator[str]:
    """Yield what is wrong with photographs and their labels, each in one message."""
    try:
        photographs = list_photographs(folder)
        read_labels(folder, photographs, n_classes)
    except InputError as error:
        yield str(error)
        return
    for path in photographs:
        try:
            check_picture(path)
        except InputError as error:
            yield str(error)


def read_labels(folder: Path, photographs: list[Path], n_classes: int) -> list[int]:
    """Return the class of each photograph, -1 where nothing says.

    Categories become classes that resemble what their names say (faces, bodies, places,
    words), as far as there are such classes.
    """
    table = _read_table(folder)
    names = {path.relative_to(folder).as_posix() for path in photographs}
    if table and not names.intersection(table):
        raise InputError(
            folder / LABELS,
            f"{next(iter(table))!r} and other names, none of which is a photograph",
            f"names such as {min(names)!r}",
            "Correct the column `file`: paths relative to the folder.",
        )
    categories = [_category(folder, path, table) for path in photographs]
    known = sorted({category for category in categories if category})
    classes = _assign(known, n_classes)
    return [classes[category] if category else -1 for category in categories]


def _read_table(folder: Path) -> dict[str, str]:
    """Return the category of each file, from a table as any spreadsheet writes it."""
    path = folder / LABELS
    if not path.is_file():
        return {}
    head, *rows = csv.reader(lines := _text(path).splitlines(), delimiter=_delimiter(lines))
    columns = [name.strip().lower() for name in head]
    if not {"file", "category"} <= set(columns):
        raise InputError(
            path,
            f"the columns {', '.join(head)}",
            "`file` and `category` among the columns",
            "Correct the header, or remove the file.",
        )
    filled = [dict(zip(columns, row, strict=False)) for row in rows if any(row)]
    return {
        row["file"].strip().replace("\\", "/"): row.get("category", "").strip() for row in filled
    }


def _text(path: Path) -> str:
    """Return the text of a table: Unicode, or what older spreadsheets write."""
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            if text := content.decode(encoding).strip():
                return text
    raise InputError(
        path,
        "no readable text",
        "a CSV table with the columns `file` and `category`",
        "Save it as CSV (UTF-8), or remove it.",
    )


def _delimiter(lines: list[str]) -> str:
    return max(",;\t", key=lines[0].count)


def _category(folder: Path, path: Path, table: dict[str, str]) -> str:
    name = path.relative_to(folder)
    if table:
        return table.get(name.as_posix(), "")
    return name.parts[0] if len(name.parts) > 1 else ""


def _assign(categories: list[str], n_classes: int) -> dict[str, int]:
    """Give each category an unused class that most resembles its name."""
    likeness = category_likeness(n_classes)
    free = list(range(n_classes))
    assigned = {}
    for category in categories:
        wanted = [
            column
            for column, kind in enumerate(CATEGORIES)
            if any(word in category.lower() for word in _WORDS[kind])
        ][:1]
        scores = likeness[:, wanted].sum(1) if wanted else -likeness.max(1)
        candidates = free or list(range(n_classes))
        chosen = max(candidates, key=lambda label: float(scores[label]))
        if chosen in free:
            free.remove(chosen)
        assigned[category] = chosen
    return assigned


def _coarse(image: np.ndarray) -> np.ndarray:
    """Return mean luminance on a coarse grid, 0 to 1: (_COARSE, _COARSE)."""
    edges = np.linspace(0, len(image), _COARSE + 1).astype(int)[:-1]
    grey = image.mean(2, dtype=np.float64) / 255
    sums = np.add.reduceat(np.add.reduceat(grey, edges, 0), edges, 1)
    area = np.diff(np.append(edges, len(image)))
    return np.asarray(sums / np.outer(area, area))


def _salience(coarse: np.ndarray) -> np.ndarray:
    """Return where a photograph differs from its border, 0 to 1: (GRID, GRID)."""
    from scipy.ndimage import zoom

    border = np.concatenate([coarse[0], coarse[-1], coarse[:, 0], coarse[:, -1]])
    difference = np.abs(coarse - np.median(border))
    peak = difference.max()
    map_ = difference / peak if peak > 0 else np.ones_like(coarse)
    return np.asarray(np.clip(zoom(map_, GRID / _COARSE, order=1), 0, 1), np.float32)


def _proxy(coarse: np.ndarray, n_classes: int) -> np.ndarray:
    """Return class maps of an unlabelled photograph: (n_classes, GRID, GRID)."""
    projection = rng(0, "simulate", "photographs").normal(size=(n_classes, coarse.size))
    score = projection @ (coarse - coarse.mean()).ravel() / max(float(coarse.std()), 1e-6)
    weight = np.exp(score / 4 - (score / 4).max())
    maps = (weight / weight.sum())[:, None, None] * _salience(coarse)
    return np.asarray(maps, np.float32)
