"""Rendered scenes: reproducible, labelled, with the statistics they promise."""

from __future__ import annotations

import numpy as np
import pytest

from cortune.simulate import labelled_scenes, render_scene
from cortune.simulate.scenes import CATEGORIES, GRID, category_likeness


def test_a_scene_depends_on_its_identity_and_seed_alone() -> None:
    first = render_scene(7, size=64, n_classes=20, seed=0)
    render_scene(8, size=48, n_classes=10, seed=0)
    again = render_scene(7, size=64, n_classes=20, seed=0)
    np.testing.assert_array_equal(first.image, again.image)
    for other in (
        render_scene(8, size=64, n_classes=20, seed=0),
        render_scene(7, size=64, n_classes=20, seed=1),
    ):
        assert np.abs(first.image.astype(int) - other.image).mean() > 10


def test_the_label_is_the_largest_object() -> None:
    for identity in range(30):
        scene = render_scene(identity, size=32, n_classes=20, seed=0)
        assert scene.class_maps.shape == (20, GRID, GRID)
        assert scene.class_maps.min() >= 0 and scene.class_maps.sum(0).max() <= 1 + 1e-5
        assert scene.class_maps.sum((1, 2)).argmax() == scene.label


def test_objects_stand_where_the_maps_say() -> None:
    """Where an object covers a scene, pictures with one background differ; elsewhere not."""
    scene = next(
        scene
        for scene in (render_scene(i, size=240, n_classes=20, seed=0) for i in range(20))
        if np.count_nonzero(scene.class_maps.sum((1, 2))) == 1
    )
    inside = np.kron(scene.class_maps.sum(0) > 0.99, np.ones((10, 10), bool))
    outside = np.kron(scene.class_maps.sum(0) < 0.01, np.ones((10, 10), bool))
    chroma = scene.image.astype(float) - scene.image.mean(2, keepdims=True)
    assert np.linalg.norm(chroma[inside].mean(0) - chroma[outside].mean(0)) > 5


def test_labelled_scenes_are_balanced_and_apart_from_the_data_set() -> None:
    images, labels = labelled_scenes(400, size=32, n_classes=8, seed=0)
    assert (images.shape, images.dtype) == ((400, 32, 32, 3), np.uint8)
    assert labels.dtype == np.int64
    assert np.bincount(labels, minlength=8).min() > 25
    data = {render_scene(i, size=32, n_classes=8, seed=0).image.tobytes() for i in range(400)}
    assert not data & {image.tobytes() for image in images}
    other, _ = labelled_scenes(4, size=32, n_classes=8, seed=0, stream="other")
    assert not np.array_equal(images[:4], other)


def test_classes_can_be_told_apart() -> None:
    """A nearest-neighbour rule on the object's own pixels does better than chance."""
    images, labels = labelled_scenes(1500, size=32, n_classes=5, seed=0)
    x = images.reshape(len(images), -1).astype(np.float32)
    x -= x.mean(1, keepdims=True)
    spectra = np.abs(np.fft.fft2(x.reshape(-1, 32, 32, 3).mean(3))).reshape(len(x), -1)
    spectra = np.log(spectra + 1)
    spectra -= spectra[:1200].mean(0)
    one_hot = np.eye(5)[labels[:1200]] - 0.2
    gram = spectra[:1200] @ spectra[:1200].T
    weights = np.linalg.solve(gram + 0.3 * np.trace(gram) / 1200 * np.eye(1200), one_hot)
    guess = (spectra[1200:] @ spectra[:1200].T @ weights).argmax(1)
    assert (guess == labels[1200:]).mean() > 0.3


def test_pictures_have_natural_spectra() -> None:
    """Amplitude falls about as 1/f (Field 1987)."""
    pictures = [render_scene(i, size=128, n_classes=20, seed=0).image.mean(2) for i in range(40)]
    power = np.mean([np.abs(np.fft.fft2(p - p.mean())) ** 2 for p in pictures], axis=0)
    frequency = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(128) * 128]))
    band = (frequency > 3) & (frequency < 40)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]) / 2, 1)[0]
    assert -1.5 < slope < -0.8


@pytest.mark.parametrize("n_classes", [4, 20, 40])
def test_each_category_has_classes_alike(n_classes: int) -> None:
    likeness = category_likeness(n_classes)
    assert likeness.shape == (n_classes, len(CATEGORIES))
    assert np.all(likeness.max(0) > 0.7)
    assert len(np.unique(likeness, axis=0)) == n_classes
