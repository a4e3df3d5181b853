"""The stage that bounds the information between the test images and their responses."""

from __future__ import annotations

import numpy as np

from cortune.data.splits import assert_disjoint
from cortune.errors import InputError
from cortune.information.bounds import Floats, InformationBound, cross_fitted_bound
from cortune.tuning.embeddings import Embedding


def bound_information(embedding: Embedding, seed: int) -> InformationBound:
    """Bound the information between held-out images and one ROI's responses.

    The critic is the cosine similarity that the network was tuned with.

    Parameters
    ----------
    embedding : Embedding
        Test images and responses, as the tuned network and its head embed them.
    seed : int
        Draws the halves that the temperature is fitted and evaluated on.

    Raises
    ------
    LeakageError
        If the network was tuned on a test image.
    InputError
        If the network does not say what it was tuned on, there are fewer than four test
        images, or the embeddings do not fit together or are not finite.
    """
    if not embedding.tuned_on:
        raise InputError(
            "embeddings",
            "no record of the images that the network was tuned on",
            "their identities, to compare with the test images",
            "Tune the network again; an untuned network has no head to bound with.",
        )
    assert_disjoint(embedding.tuned_on, embedding.identities, "the embedded test images")
    similarities = cosine_similarities(embedding.image_z, embedding.response_z)
    return cross_fitted_bound(similarities, seed)


def cosine_similarities(image_z: Floats, response_z: Floats) -> Floats:
    """Return the cosine of every image with every response.

    Parameters
    ----------
    image_z, response_z : array of shape (n_images, z)
        Row i of one belongs to row i of the other.

    Returns
    -------
    array of shape (n_images, n_images), float64
        Row: image; column: response. NaN where an embedding is all zero.

    Raises
    ------
    InputError
        If the two differ in shape.
    """
    images, responses = (np.asarray(z, dtype=np.float64) for z in (image_z, response_z))
    if images.shape != responses.shape or images.ndim != 2:
        raise InputError(
            "embeddings of images and responses",
            f"arrays of shape {images.shape} and {responses.shape}",
            "two arrays of one shape (n_images, z)",
            "Embed the images and the responses of the same unit.",
        )
    similarities: Floats = _unit_length(images) @ _unit_length(responses).T
    return similarities


def _unit_length(z: Floats) -> Floats:
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    scaled: Floats = z / np.where(norm > 0, norm, np.nan)
    return scaled
