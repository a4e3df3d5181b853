"""Losses of tuning."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cosine_similarities(image_z: Tensor, response_z: Tensor) -> Tensor:
    """Return the cosine similarity of every image (row) with every response (column)."""
    return functional.normalize(image_z.float()) @ functional.normalize(response_z.float()).T


def infonce(
    image_z: Tensor, response_z: Tensor, temperature: float | Tensor, *, symmetric: bool = False
) -> Tensor:
    r"""InfoNCE: tell the response to each image from the other responses of the batch.

    .. math:: L = -\frac1K \sum_i \left[ s_{ii}/\tau - \log \sum_j \exp(s_{ij}/\tau) \right]

    with :math:`s_{ij}` the cosine similarity of image i and response j. Its value is at
    least log K minus the mutual information (van den Oord et al. 2018).

    Parameters
    ----------
    image_z : Tensor of shape (n, z)
    response_z : Tensor of shape (m n, z)
        Responses of m units to the images, one unit after another; their losses are averaged.
    temperature : float or scalar Tensor
    symmetric : bool
        Average with the loss of telling images apart for each response (Radford et al.
        2021).

    Returns
    -------
    Tensor
        Scalar, in nats.
    """
    target = torch.arange(len(image_z), device=image_z.device)
    losses = []
    for of_unit in torch.split(response_z, len(image_z)):
        scores = cosine_similarities(image_z, of_unit) / temperature
        losses.append(functional.cross_entropy(scores, target))
        if symmetric:
            losses.append(functional.cross_entropy(scores.T, target))
    return torch.stack(losses).mean()
