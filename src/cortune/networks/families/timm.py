"""PyTorch Image Models: ``timm/<model>.<tag>``, the tag that of its weights."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.errors import InputError
from cortune.networks.families import (
    PUBLISHED,
    BackboneFamily,
    Preprocessing,
    Tokens,
    backbone_family,
    hub_file,
    not_at_hand,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

_FILES = ("model.safetensors", "pytorch_model.bin")


@backbone_family("timm")
class Timm(BackboneFamily):
    """Timm's image models, as its own builders and configurations have them."""

    by_prefix = True

    def names(self) -> list[str]:
        """Return the names of all models, and those with a tag."""
        from timm import list_models, list_pretrained

        return [*list_models(), *list_pretrained()]

    def has(self, name: str) -> bool:
        """Return whether there is such a model and tag."""
        from timm.models import is_model, is_model_pretrained

        return bool(is_model_pretrained(name) if "." in name else is_model(name))

    def build(self, name: str, **options: Any) -> nn.Module:
        """Build a model with random weights."""
        from timm import create_model

        return create_model(name, pretrained=False, **options)  # type: ignore[no-any-return]

    def readout(self, name: str) -> str:
        """Return ``logits``, or ``pooled`` where the model has no classes."""
        return "logits" if self._configuration(name).num_classes else "pooled"

    def tokens(self, model: nn.Module) -> Tokens:
        """Return what the model says of its prefix tokens and of its maps."""
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        has_class = prefix > 0 and getattr(model, "cls_token", None) is not None
        return Tokens(prefix, has_class, str(getattr(model, "output_fmt", "")) == "NHWC")

    def sized(self, name: str, makers: int, size: int) -> dict[str, Any]:
        """Return the image size of models that are built for one."""
        return {"img_size": size} if self._configuration(name).fixed_input_size else {}

    def adapted(self, model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights as timm's own loader gives them to the model.

        Names of other authors are translated and position embeddings resized to the model's
        input by the filter of the model's module; a class for the background is cut off.
        """
        convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
        if convert is not None:
            takes_model = len(inspect.signature(convert).parameters) > 1
            state = convert(state, model) if takes_model else convert(state)
        given: Any = model.pretrained_cfg
        offset, own = given.get("label_offset") or 0, model.state_dict()
        named = given.get("classifier") or ()
        for name in [named] if isinstance(named, str) else named:
            for key in (f"{name}.weight", f"{name}.bias"):
                if key in state and key in own and len(state[key]) == len(own[key]) + offset:
                    state[key] = state[key][offset:]
        return state

    def weights_entry(self, name: str, weights: str) -> Any:
        """Return timm's configuration of the weights that the name states."""
        entry = self._configuration(name)
        if weights != PUBLISHED or not entry.has_weights:
            raise InputError(
                "backbone.weights",
                repr(weights),
                f"none (timm/{name} states its weights), `random`, `pretrain` or a file"
                if entry.has_weights
                else f"`random`, `pretrain` or a file: none are published of timm/{name}",
                "Remove the key, or correct the tag in backbone.name.",
            )
        return entry

    def published(self, name: str, weights: str) -> Path:
        """Return the file of the weights, from a cache or downloaded into it."""
        entry = self.weights_entry(name, weights)
        if entry.hf_hub_id:
            named = (entry.hf_hub_filename,) if entry.hf_hub_filename else _FILES
            return hub_file(entry.hf_hub_id, named)
        from timm.models._hub import download_cached_file, get_cache_dir

        try:
            return Path(download_cached_file(entry.url, check_hash=True))
        except OSError as error:
            raise not_at_hand(f"timm/{name}", error, entry.url, get_cache_dir()) from error

    def preprocessing(self, name: str, weights: str) -> Preprocessing:
        """Return timm's configuration of data for evaluation."""
        from timm.data import resolve_data_config

        shown = resolve_data_config(pretrained_cfg=self._configuration(name).to_dict())
        size = int(shown["input_size"][-1])
        interpolation = {"random": "bilinear"}.get(shown["interpolation"], shown["interpolation"])
        if shown["crop_mode"] == "border":
            raise InputError(
                "backbone.name",
                f"timm/{name}, whose images are padded",
                "a network whose images are cropped or squeezed",
                "Name another network.",
            )
        return Preprocessing(
            tuple(shown["mean"]),
            tuple(shown["std"]),
            interpolation,
            size,
            int(size / shown["crop_pct"]),
            shown["crop_mode"] == "squash",
        )

    @staticmethod
    def _configuration(name: str) -> Any:
        from timm.models import get_pretrained_cfg
        from timm.models._pretrained import PretrainedCfg

        return get_pretrained_cfg(name) or PretrainedCfg()
