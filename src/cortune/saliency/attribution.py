"""Where in an image a network finds the evidence for its class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear

from cortune.errors import InputError
from cortune.networks.backbones import normalise, tokens_of
from cortune.networks.layers import as_maps, check_layers, features_of
from cortune.probes.linear import LinearProbe

IG_STEPS = 32


class ProbedNetwork(nn.Module):
    """A network up to the probe's layer, then the probe's linear map: images to logits.

    Parameters
    ----------
    backbone : nn.Module
        Its parameters are frozen: only gradients by layers and inputs are asked for.
    layer : str
        The layer that was probed.
    probe : LinearProbe
    """

    weights: Tensor
    bias: Tensor

    def __init__(self, backbone: nn.Module, layer: str, probe: LinearProbe) -> None:
        super().__init__()
        check_layers(backbone, [layer])
        self.backbone = backbone.eval().requires_grad_(False)
        self.layer = layer
        self.layout, self._tokens = tokens_of(backbone), probe.tokens
        self.register_buffer("weights", torch.from_numpy(probe.weights))
        self.register_buffer("bias", torch.from_numpy(probe.bias))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, 3, s, s), normalised, to logits (n, n_classes), float64."""
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            # Copied: a later in-place ReLU would change it.
            kept.append(features_of(output, self.layout, self._tokens).clone())

        handle = self.backbone.get_submodule(self.layer).register_forward_hook(keep)
        try:
            self.backbone(images)
        finally:
            handle.remove()
        return linear(kept[0].double(), self.weights, self.bias)


Attribution = Callable[[ProbedNetwork, str, Tensor, Tensor], Tensor]


def grad_cam(network: ProbedNetwork, layer: str, images: Tensor, labels: Tensor) -> Tensor:
    """Return Grad-CAM maps of the logits of `labels` (Selvaraju et al. 2017).

    Channels of the layer, weighted by the mean of their gradient over space, are summed,
    and what speaks against the class is dropped.

    Parameters
    ----------
    network : ProbedNetwork
    layer : str
        A layer of maps (n, channels, h, w) or of tokens, which are laid out as the patches are
        in the image; before the probed one.
    images : Tensor (n, 3, s, s)
        Normalised.
    labels : Tensor (n,), int64

    Returns
    -------
    Tensor (n, h, w)
        Non-negative.
    """
    maps, gradients = _maps(network, layer, images, labels)
    return (gradients.mean((2, 3), keepdim=True) * maps).sum(1).clamp(min=0)


def hires_cam(network: ProbedNetwork, layer: str, images: Tensor, labels: Tensor) -> Tensor:
    """Return HiResCAM maps of the logits of `labels` (Draelos & Carin 2020).

    Grad-CAM averages a channel's gradient over space, which hides where a network with
    fully connected layers reads the channel; here activations are weighted by the gradient
    of their own place.

    Parameters
    ----------
    network, layer, images, labels
        As for :func:`grad_cam`.

    Returns
    -------
    Tensor (n, h, w)
        Non-negative.
    """
    maps, gradients = _maps(network, layer, images, labels)
    return (gradients * maps).sum(1).clamp(min=0)


def integrated_gradients(
    network: ProbedNetwork, layer: str, images: Tensor, labels: Tensor, *, steps: int = IG_STEPS
) -> Tensor:
    """Return integrated gradients of the logits of `labels` (Sundararajan et al. 2017).

    The baseline is the mean colour of the network's preprocessing. Attributions are summed over the
    colours, and what speaks against the class is dropped.

    Parameters
    ----------
    network, images, labels
        As for :func:`grad_cam`.
    layer : str
        Unused: attributions are to pixels.
    steps : int
        Points of the integral.

    Returns
    -------
    Tensor (n, s, s)
        Non-negative.
    """
    from captum.attr import IntegratedGradients

    values = IntegratedGradients(network).attribute(
        images, target=labels, n_steps=steps, internal_batch_size=len(images)
    )
    return values.detach().sum(1).clamp(min=0)  # type: ignore[no-any-return]


ATTRIBUTIONS: dict[str, Attribution] = {
    "grad_cam": grad_cam,
    "hires_cam": hires_cam,
    "integrated_gradients": integrated_gradients,
}


def _maps(
    network: ProbedNetwork, layer: str, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a layer's maps (n, channels, h, w), and the gradient of the labels' logits by them.

    Raises
    ------
    InputError
        If the layer gives no maps, or the logits do not depend on them.
    """
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: object) -> object:
        if not isinstance(output, Tensor) or as_maps(output, network.layout) is None:
            return output
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # a later in-place ReLU would change it

    handle = network.backbone.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = network(images)
    finally:
        handle.remove()
    if not kept:
        raise _no_map(layer, "which gives no map of the image", network.layer)
    gradient = None
    if logits.requires_grad:
        chosen = logits.gather(1, labels[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, kept[0], allow_unused=True)
    if gradient is None:
        raise _no_map(layer, f"that {network.layer} does not see", network.layer)
    maps, gradients = (as_maps(each.detach(), network.layout) for each in (kept[0], gradient))
    assert maps is not None and gradients is not None
    return maps, gradients


def check_spatial_layer(network: ProbedNetwork, layer: str, image: Tensor) -> None:
    """Make sure that Grad-CAM or HiResCAM can look at a layer.

    Parameters
    ----------
    network : ProbedNetwork
    layer : str
    image : Tensor (1, 3, s, s)

    Raises
    ------
    InputError
        If there is no such layer, its output is no map wider than a place, or no place of it
        feeds the probed layer.
    """
    check_layers(network.backbone, [layer], "saliency.layer")
    maps, gradients = _maps(
        network, layer, image, torch.zeros(1, dtype=torch.int64).to(image.device)
    )
    if maps.shape[-1] < 2:
        raise _no_map(layer, f"whose map is {maps.shape[-2]} by {maps.shape[-1]}", network.layer)
    if not bool(gradients.any()):
        raise _no_map(layer, f"of whose places {network.layer} sees none", network.layer)


def _no_map(layer: str, why: str, probed: str) -> InputError:
    return InputError(
        "saliency.layer",
        f"{layer}, {why}",
        f"a layer of maps (channels, height, width) or of tokens of patches, before {probed}",
        "Name the last convolution, pooling or block before it, such as features.12 of alexnet or "
        "blocks.10 of a transformer with twelve; `cortune layers` lists them.",
    )


class Mapper:
    """Saliency maps of decoded images under one network.

    Parameters
    ----------
    network : ProbedNetwork
    labels : array (n_cached,), int64
        Classes of all images.
    layer, attribution : str
        As in :class:`cortune.saliency.SaliencySettings`.
    device : torch.device
    example : array (1, s, s, 3), uint8
        Any image, to try the layer on.

    Raises
    ------
    InputError
        If the attribution is unknown, or the layer unfit for it.
    """

    def __init__(
        self,
        network: ProbedNetwork,
        labels: NDArray[np.int64],
        *,
        layer: str,
        attribution: str,
        device: torch.device,
        example: NDArray[np.uint8],
    ) -> None:
        if attribution not in ATTRIBUTIONS:
            raise InputError(
                "saliency.attribution",
                repr(attribution),
                f"one of {', '.join(ATTRIBUTIONS)}",
                "Correct the name.",
            )
        self._network = network.to(device)
        self._labels = torch.from_numpy(labels)
        self._layer = layer
        self._attribute = ATTRIBUTIONS[attribution]
        self._device = device
        if attribution != "integrated_gradients":
            check_spatial_layer(network, layer, self._prepared(example))

    def __call__(self, pictures: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return maps (n, h, w) of pictures (n, s, s, 3) whose labels are those of `rows`."""
        return self._maps(pictures, rows).double().cpu().numpy()

    def upsampled(
        self, pictures: NDArray[np.uint8], rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return maps at the pictures' size (n, s, s), bilinearly interpolated."""
        maps = self._maps(pictures, rows)[:, None]
        large = interpolate(maps, size=pictures.shape[1:3], mode="bilinear")[:, 0]
        return large.double().cpu().numpy()

    def _maps(self, pictures: NDArray[np.uint8], rows: NDArray[np.int64]) -> Tensor:
        labels = self._labels[torch.from_numpy(rows)].to(self._device)
        return self._attribute(self._network, self._layer, self._prepared(pictures), labels)

    def _prepared(self, pictures: NDArray[np.uint8]) -> Tensor:
        images = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device)
        return normalise(images, self._network)
