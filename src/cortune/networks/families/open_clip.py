"""Image towers of CLIP and its kin: ``open_clip/<architecture>/<tag>``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.errors import InputError
from cortune.extras import extra
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

_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)


@backbone_family("open_clip")
class OpenClip(BackboneFamily):
    """Image towers of OpenCLIP, of which the text is not built."""

    by_prefix = True

    def names(self) -> list[str]:
        """Return every architecture with each of its tags."""
        return ["/".join(pair) for pair in _library().list_pretrained()]

    def has(self, name: str) -> bool:
        """Return whether there is such an architecture and tag; without a tag it is random."""
        architecture, _, tag = name.partition("/")
        known = _library().get_model_config(architecture) is not None
        return known and (not tag or bool(_library().get_pretrained_cfg(architecture, tag)))

    def build(self, name: str, **options: Any) -> nn.Module:
        """Build the image tower with random weights, as its makers trained it.

        A tag that was trained with the quick form of GELU has it, whatever the architecture
        says.
        """
        _library()
        from open_clip.model import _build_vision_tower

        if "num_classes" in options:
            raise InputError(
                "backbone.weights",
                f"a classifier for open_clip/{name}",
                "weights of its makers, `random` or a file",
                "Image towers of CLIP have no classes to train on or to load.",
            )
        configuration, published = self._configuration(name)
        quick = configuration.get("quick_gelu", False) or published.get("quick_gelu", False)
        vision = {**configuration["vision_cfg"], **options, "timm_model_pretrained": False}
        model = _build_vision_tower(configuration["embed_dim"], vision, quick)
        if getattr(model, "output_tokens", False):
            model.output_tokens = False  # of the tokens beside its output
        return model  # type: ignore[no-any-return]

    def readout(self, name: str) -> str:
        """Return that it is the space that images share with text."""
        return "projection"

    def tokens(self, model: nn.Module) -> Tokens:
        """Return that a transformer has a class token; timm's say themselves."""
        from cortune.networks.families import families

        if hasattr(model, "trunk"):
            return families()["timm"].tokens(model.trunk)  # type: ignore[arg-type]
        prefix = int(hasattr(model, "class_embedding"))
        return Tokens(prefix, bool(prefix))

    def sized(self, name: str, makers: int, size: int) -> dict[str, Any]:
        """Return the image size that the tower is built for."""
        return {"image_size": size}

    def adapted(self, model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights with position embeddings for the model's input size."""
        from types import SimpleNamespace

        from open_clip.model import resize_pos_embed

        if not hasattr(model, "grid_size"):
            return state
        prefixed = {f"visual.{key}": value for key, value in state.items()}
        resize_pos_embed(prefixed, SimpleNamespace(visual=model))
        return {key.removeprefix("visual."): value for key, value in prefixed.items()}

    def weights_entry(self, name: str, weights: str) -> Any:
        """Return OpenCLIP's configuration of the weights that the name states."""
        entry = self._configuration(name)[1]
        if weights != PUBLISHED or not entry:
            tags = _library().list_pretrained_tags_by_model(name.partition("/")[0])
            raise InputError(
                "backbone.weights",
                repr(weights),
                "none where backbone.name ends with the tag of its weights, `random`, `pretrain` "
                "or a file",
                f"Remove the key, and end the name with a tag: {', '.join(tags) or 'it has none'}.",
            )
        return entry

    def published(self, name: str, weights: str) -> Path:
        """Return the file of the weights, from a cache or downloaded into it."""
        entry = self.weights_entry(name, weights)
        if hub := entry.get("hf_hub"):
            repo, _, file = hub.rpartition("/")
            return hub_file(repo, (file,) if file else _FILES)
        from open_clip import download_pretrained_from_url

        url, where = entry["url"], Path("~/.cache/clip").expanduser()
        try:
            return Path(download_pretrained_from_url(url, str(where)))
        except OSError as error:
            raise not_at_hand(f"open_clip/{name}", error, url, where) from error

    def preprocessing(self, name: str, weights: str) -> Preprocessing:
        """Return what OpenCLIP evaluates the weights with."""
        configuration, published = self._configuration(name)
        _library()
        from open_clip.transform import PreprocessCfg, merge_preprocess_dict

        size = configuration["vision_cfg"].get("image_size", 224)
        shown = merge_preprocess_dict(PreprocessCfg(size=size), published)
        return Preprocessing(
            tuple(shown["mean"]),
            tuple(shown["std"]),
            shown["interpolation"],
            size,
            size,
            shown["resize_mode"] == "squash",
        )

    @staticmethod
    def _configuration(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what OpenCLIP knows of the architecture and of the weights."""
        architecture, _, tag = name.partition("/")
        library = _library()
        return library.get_model_config(architecture), library.get_pretrained_cfg(architecture, tag)


def _library() -> Any:
    return extra("open_clip", "open-clip", "backbone.name")
