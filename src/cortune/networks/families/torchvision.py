"""Torchvision's classification models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.errors import InputError
from cortune.networks.families import (
    PUBLISHED,
    BackboneFamily,
    Preprocessing,
    Tokens,
    backbone_family,
    not_at_hand,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

_AUXILIARY = ("googlenet", "inception_v3")  # have classifiers that only training uses
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


@cache
def _names() -> list[str]:
    from torchvision import models

    return list(models.list_models(module=models))


@backbone_family("torchvision")
class Torchvision(BackboneFamily):
    """Torchvision's classification models, built as its own builders do."""

    def names(self) -> list[str]:
        """Return the names of all classification models."""
        return _names()

    def build(self, name: str, **options: Any) -> nn.Module:
        """Build a model with random weights, without auxiliary classifiers."""
        from torchvision.models import get_model

        if name in _AUXILIARY:
            options = {"aux_logits": False, "init_weights": True, **options}
        return get_model(name, weights=None, **options)  # type: ignore[no-any-return]

    def options(self, name: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return what torchvision's builders set with weights."""
        options: dict[str, Any] = {"transform_input": True} if name in _AUXILIARY else {}
        if "encoder.pos_embedding" in state and "conv_proj.weight" in state:
            n_patches = state["encoder.pos_embedding"].shape[1] - 1
            size = round(n_patches**0.5) * state["conv_proj.weight"].shape[-1]
            options |= {} if size == 224 else {"image_size": int(size)}
        return options

    def key(self, key: str) -> str:
        """Return the parameter's name with DenseNet's old ``norm.1`` as ``norm1``."""
        return _OLD_DENSENET.sub(r"\1\2", key)

    def is_auxiliary(self, key: str) -> bool:
        """Return whether a parameter is of GoogLeNet's or Inception's auxiliary classifiers."""
        return key.startswith(("aux1.", "aux2.", "AuxLogits."))

    def weights_entry(self, name: str, weights: str) -> Any:
        """Return torchvision's entry of published weights."""
        from torchvision.models import get_model_weights

        entries = get_model_weights(name)
        if weights == PUBLISHED:
            return next(iter(entries))
        if weights not in entries.__members__:
            raise InputError(
                "backbone.weights",
                repr(weights),
                f"one of {', '.join([*entries.__members__, 'random', 'pretrain'])}, or a file",
                "Correct the name, or give the path of a local file.",
            )
        return entries[weights]

    def published(self, name: str, weights: str) -> Mapping[str, Tensor]:
        """Return published weights from torch's cache, or downloaded into it."""
        from torch.hub import get_dir

        entry = self.weights_entry(name, weights)
        try:
            return entry.get_state_dict(progress=False, check_hash=True)  # type: ignore[no-any-return]
        except OSError as error:
            where = Path(get_dir(), "checkpoints", entry.url.rpartition("/")[2])
            raise not_at_hand(weights, error, entry.url, where) from error

    def tokens(self, model: nn.Module) -> Tokens:
        """Return that ViT has a class token, and Swin maps with channels last."""
        from torchvision.models import SwinTransformer, VisionTransformer

        vit = isinstance(model, VisionTransformer)
        return Tokens(int(vit), vit, isinstance(model, SwinTransformer))

    def sized(self, name: str, makers: int, size: int) -> dict[str, Any]:
        """Return the image size that a ViT is built for: its makers', whatever it is shown."""
        return {"image_size": makers} if name.startswith("vit_") else {}

    def preprocessing(self, name: str, weights: str) -> Preprocessing:
        """Return the transforms of the published weights, the model's first ones otherwise."""
        from torchvision.models import get_model_weights

        entries = get_model_weights(name)
        entry = entries.__members__.get(weights, next(iter(entries)))
        shown = entry.transforms()
        return Preprocessing(
            tuple(shown.mean),
            tuple(shown.std),
            shown.interpolation.value,
            int(shown.crop_size[0]),
            int(shown.resize_size[0]),
        )
