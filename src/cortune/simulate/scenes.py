"""Labelled scenes: 1/f background, dead leaves, textured parametric objects.

A scene's composition is drawn in units of the picture and rendered at any size. Every
class has a shape, a texture, colours and a degree of likeness to faces, bodies, places and
words; objects are the only part of a scene that carries its label.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cortune.seeds import rng

GRID = 24
"""Edge of the coarse grid on which maps of a picture live (0.35 degrees per cell)."""
CATEGORIES = ("face", "body", "place", "word")

_SHADE = np.array([1.0, 0.1, 0.1], np.float32)
_N_OCTAVES = 6
_KINDS = (*CATEGORIES, "object")
# Luminance, red-green and yellow-blue to red, green and blue.
_TO_RGB = np.array([[1.0, 0.8, 0.3], [1.0, -0.5, 0.2], [1.0, -0.1, -0.9]], np.float32)


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Attributes
    ----------
    image : ndarray of uint8, shape (size, size, 3)
    label : int
        Class of the largest object; -1 for a photograph without a label.
    class_maps : ndarray of float32, shape (n_classes, GRID, GRID)
        Share of each cell that shows an object of the class.
    openness : float
        How open the place is, from 0 to 1.
    clutter : float
        Density of the clutter, from 0 to 1.
    """

    image: np.ndarray
    label: int
    class_maps: np.ndarray
    openness: float
    clutter: float


@dataclass(frozen=True)
class _Look:
    """How the objects of one class look."""

    kind: str
    aspect: float
    lobes: int
    lobe_depth: float
    frequency: float
    orientation: float
    texture: int
    accent: float
    hue: float


@dataclass(frozen=True)
class _Item:
    """One object of a scene; lengths in units of the picture."""

    label: int
    x: float
    y: float
    radius: float
    tilt: float
    phase: np.ndarray
    gain: float
    colour: np.ndarray


@lru_cache(maxsize=1024)
def _look(label: int) -> _Look:
    draw = rng(0, "scenes", "look", label)
    kind = _KINDS[label % len(_KINDS)]
    aspect = {"face": 1.25, "body": 1.9, "place": 0.8, "word": 0.42, "object": 1.0}[kind]
    lobes = {"face": 2, "body": 4, "place": 4, "word": 2, "object": 3 + label % 4}[kind]
    depth = {"face": 0.05, "body": 0.32, "place": 0.02, "word": 0.02, "object": 0.25}[kind]
    return _Look(
        kind=kind,
        aspect=float(aspect * draw.uniform(0.9, 1.1)),
        lobes=lobes,
        lobe_depth=float(depth * draw.uniform(0.8, 1.2)),
        frequency=float(draw.uniform(1.2, 3.6)),
        orientation=float(draw.uniform(0, np.pi)),
        texture=int(draw.integers(4)),
        accent=float(draw.uniform(0.3, 0.5)),
        hue=float(draw.uniform(0, 2 * np.pi)),
    )


@lru_cache(maxsize=64)
def category_likeness(n_classes: int) -> np.ndarray:
    """Return how much each class resembles each category, from 0 to 1.

    Returns
    -------
    ndarray of float32, shape (n_classes, 4)
        Columns in the order of :data:`CATEGORIES`.
    """
    likeness = np.empty((n_classes, len(CATEGORIES)), np.float32)
    for label in range(n_classes):
        draw = rng(0, "scenes", "likeness", label)
        likeness[label] = draw.uniform(0, 0.25, len(CATEGORIES))
        if _look(label).kind in CATEGORIES:
            likeness[label, CATEGORIES.index(_look(label).kind)] = draw.uniform(0.7, 1.0)
    likeness.setflags(write=False)
    return likeness


def render_scene(nsd_id: int, *, size: int, n_classes: int, seed: int) -> Scene:
    """Render the scene of one data set image.

    Parameters
    ----------
    nsd_id : int
        0-based identity; every subject sees the same picture under it.
    size : int
        Edge of the picture, pixels.
    n_classes : int
    seed : int
    """
    return _render(rng(seed, "scenes", "nsd", nsd_id), size, n_classes)


def labelled_scenes(
    n: int, *, size: int, n_classes: int, seed: int, stream: str = "pretrain"
) -> tuple[np.ndarray, np.ndarray]:
    """Render scenes that no data set shows, to train a network on.

    Parameters
    ----------
    n : int
    size, n_classes, seed : int
        As in :func:`render_scene`.
    stream : str
        Another name gives other scenes.

    Returns
    -------
    images : ndarray of uint8, shape (n, size, size, 3)
    labels : ndarray of int64, shape (n,)
    """
    images = np.empty((n, size, size, 3), np.uint8)
    labels = np.empty(n, np.int64)
    for index in range(n):
        scene = _render(rng(seed, "scenes", "labelled", stream, index), size, n_classes)
        images[index], labels[index] = scene.image, scene.label
    return images, labels


def _render(draw: np.random.Generator, size: int, n_classes: int) -> Scene:
    openness, clutter = (float(value) for value in draw.uniform(0, 1, 2))
    items = _compose(draw, n_classes)
    canvas = _background(draw, size, openness)
    _paint_leaves(draw, canvas, clutter)
    for item in items:
        _paint_item(canvas, item)
    class_maps = np.zeros((n_classes, GRID, GRID), np.float32)
    centres = _centres(GRID)
    for item in items:
        alpha = _cover(item, *_object_frame(item, centres, centres), 1 / GRID)
        class_maps *= 1 - alpha
        class_maps[item.label] += alpha
    rgb = canvas.reshape(-1, 3) @ _TO_RGB.T
    image = np.clip(rgb * 128 + 128, 0, 255).astype(np.uint8).reshape(size, size, 3)
    return Scene(image, items[-1].label, class_maps, openness, clutter)


def _compose(draw: np.random.Generator, n_classes: int) -> list[_Item]:
    """Draw one to three objects; the last is the largest, in front, and the label."""
    n_items = int(draw.integers(1, 4))
    labels = draw.integers(0, n_classes, n_items)
    radii = np.sort(draw.uniform(0.09, 0.15, n_items))
    radii[-1] = draw.uniform(0.19, 0.32)
    return [
        _Item(
            label=int(label),
            x=float(draw.uniform(0.6 * radius, 1 - 0.6 * radius)),
            y=float(draw.uniform(0.6 * radius, 1 - 0.6 * radius)),
            radius=float(radius),
            tilt=float(draw.normal(0, 0.25)),
            phase=draw.uniform(0, 2 * np.pi, 2).astype(np.float32),
            gain=float(draw.uniform(0.6, 1.1)),
            colour=_colour(draw, _look(int(label)).hue),
        )
        for label, radius in zip(labels, radii, strict=True)
    ]


def _colour(draw: np.random.Generator, hue: float) -> np.ndarray:
    """Draw a colour about the class's hue; lightness tells nothing about the class."""
    hue += draw.normal(0, 0.7)
    return np.array([draw.uniform(-0.35, 0.35), 0.15 * np.cos(hue), 0.15 * np.sin(hue)], np.float32)


def _centres(size: int) -> np.ndarray:
    """Return the pixel centres in units of the picture."""
    return ((np.arange(size) + 0.5) / size).astype(np.float32)


@lru_cache(maxsize=8)
def _bands(size: int) -> np.ndarray:
    """Return 1/f amplitudes of each octave times 1, cos and sin of twice the orientation.

    Shape (3 * n_octaves, size, size // 2 + 1); octaves overlap and sum to 1/f.
    """
    fy, fx = np.meshgrid(np.fft.fftfreq(size) * size, np.fft.rfftfreq(size) * size, indexing="ij")
    radius, double = np.hypot(fy, fx), 2 * np.arctan2(fy, fx)
    radius[0, 0] = np.inf
    octave = np.clip(np.log2(radius), 0, _N_OCTAVES - 1)
    window = np.maximum(1 - np.abs(octave - np.arange(_N_OCTAVES)[:, None, None]), 0)
    waves = np.stack([np.ones_like(double), np.cos(double), np.sin(double)])
    bands = window[:, None] * waves / radius**1.1
    return np.asarray(bands.reshape(-1, *radius.shape), np.float32)


def _background(draw: np.random.Generator, size: int, openness: float) -> np.ndarray:
    """Return 1/f noise, its octaves unlike in contrast and orientation, with a horizon."""
    bands = _bands(size)
    contrast = 0.15 * np.exp(draw.normal(0, 0.3) + draw.normal(0, 0.5, _N_OCTAVES))
    skew, peak = draw.uniform(0, 1, _N_OCTAVES), draw.uniform(0, 2 * np.pi, _N_OCTAVES)
    waves = np.stack([np.ones(_N_OCTAVES), skew * np.cos(peak), skew * np.sin(peak)], axis=1)
    weights = (contrast[:, None] * waves).ravel().astype(np.float32)
    amplitude = np.tensordot(weights, bands, 1) * np.float32(size**2 / np.sqrt(2 * np.pi * 4))
    noise = draw.standard_normal((2, 3, *amplitude.shape), dtype=np.float32)
    spectrum = amplitude * (noise[0] + 1j * noise[1])
    canvas = np.fft.irfft2(spectrum, s=(size, size)).transpose(1, 2, 0)
    canvas = canvas * np.array([1.0, 0.25, 0.25], np.float32)  # chroma is weaker
    height = np.tanh((draw.uniform(0.4, 0.65) - _centres(size)) * 12)
    sky = np.array([0.30, -0.05, -0.10], np.float32) * np.float32(openness)
    return np.ascontiguousarray(canvas + height[:, None, None] * sky)


def _paint_leaves(draw: np.random.Generator, canvas: np.ndarray, clutter: float) -> None:
    """Paint shaded ellipses, the front ones first in the list (dead leaves)."""
    size = len(canvas)
    n_leaves = int(4 + 30 * clutter)
    # Radii with density ~ r^-3, as in natural images (Lee, Mumford & Huang 2001).
    radius = 0.03 / np.sqrt(1 - draw.uniform(0, 0.97, n_leaves))
    semi = radius[:, None] * np.exp(draw.normal(0, 0.25, (n_leaves, 2)))
    centre = draw.uniform(0, 1, (n_leaves, 2))
    colour = draw.normal(0, (0.3, 0.05, 0.05), (n_leaves, 3)).astype(np.float32)
    offset = (_centres(size)[None, None] - centre[..., None]) / semi[..., None]
    square = (offset**2).astype(np.float32)  # (n_leaves, 2, size)
    if size <= 128:
        covers = square[:, 0, :, None] + square[:, 1, None, :] < 1
        hit, front = covers.any(0), covers.argmax(0)
        canvas[hit] = 0.4 * canvas[hit] + colour[front[hit]]
        return
    free = np.ones((size, size), bool)
    for (row, column), tint in zip(square, colour, strict=True):
        rows, columns = _span(row), _span(column)
        region = row[rows, None] + column[None, columns] < 1
        region &= free[rows, columns]
        free[rows, columns] &= ~region
        canvas[rows, columns][region] = 0.4 * canvas[rows, columns][region] + tint


def _span(square: np.ndarray) -> slice:
    inside = np.flatnonzero(square < 1)
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


def _object_frame(
    item: _Item, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates in the object's own frame, where its radius is about 1."""
    y = (rows[:, None] - np.float32(item.y)) / np.float32(item.radius)
    x = (columns[None, :] - np.float32(item.x)) / np.float32(item.radius)
    cos, sin = np.float32(np.cos(item.tilt)), np.float32(np.sin(item.tilt))
    root = np.float32(np.sqrt(_look(item.label).aspect))
    return (cos * x + sin * y) * root, (cos * y - sin * x) / root


def _cover(item: _Item, u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
    """Return the share of each pixel that the object covers."""
    look = _look(item.label)
    if look.kind in ("place", "word"):
        distance = np.sqrt(np.sqrt(u**4 + v**4))
        edge: np.ndarray | float = 1.0
    else:
        distance = np.sqrt(u**2 + v**2)
        angle = np.arctan2(v, u)
        edge = 1 - look.lobe_depth * (1 - np.cos(look.lobes * angle))
    softness = np.float32(pixel / item.radius)
    return np.asarray(np.clip((edge - distance) / softness + 0.5, 0, 1), np.float32)


def _paint_item(canvas: np.ndarray, item: _Item) -> None:
    size = len(canvas)
    reach = item.radius * 1.5
    rows = slice(max(0, int((item.y - reach) * size)), int((item.y + reach) * size) + 1)
    columns = slice(max(0, int((item.x - reach) * size)), int((item.x + reach) * size) + 1)
    centres = _centres(size)
    u, v = _object_frame(item, centres[rows], centres[columns])
    alpha = _cover(item, u, v, 1 / size)[..., None]
    look = _look(item.label)
    shade = _texture(look, item, u, v) * np.float32(look.accent * item.gain)
    surface = shade[..., None] * _SHADE + item.colour
    canvas[rows, columns] += alpha * (surface - canvas[rows, columns])


def _texture(look: _Look, item: _Item, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the class's texture with its kind's inner features, about -1 to 1."""
    weave = _weave(look, item, u, v)
    if look.kind == "face":
        eyes = np.exp(-((np.abs(u) - 0.38) ** 2 + (v + 0.25) ** 2) / 0.025)
        mouth = np.exp(-(u**2 / 0.12 + (v - 0.45) ** 2 / 0.012))
        weave = 0.3 * weave - 2 * (eyes + mouth)
    elif look.kind == "body":
        weave = 0.6 * weave - 0.8 * v
    elif look.kind == "place":
        windows = np.sin(7 * u + item.phase[0]) * np.sin(7 * v + item.phase[1])
        weave = 0.5 * weave + 0.7 * np.sign(windows)
    elif look.kind == "word":
        stroke = np.sin(9 * u + 2.5 * np.sin(4 * u + item.phase[1]) + item.phase[0])
        weave = np.sign(stroke + 0.3 * weave) * (np.abs(v) < 0.6)
    return np.asarray(weave, np.float32)


def _weave(look: _Look, item: _Item, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return stripes, plaid, rings or checks."""
    turn = np.float32(2 * np.pi * look.frequency)
    cos, sin = np.float32(np.cos(look.orientation)), np.float32(np.sin(look.orientation))
    along = np.sin(turn * (cos * u + sin * v) + item.phase[0])
    if look.texture == 0:
        return np.asarray(along)
    if look.texture == 1:
        return np.asarray(np.sin(turn * np.sqrt(u**2 + v**2) + item.phase[0]))
    across = np.sin(turn * (cos * v - sin * u) + item.phase[1])
    return np.asarray(1.4 * along * across if look.texture == 2 else np.clip(along + across, -1, 1))
