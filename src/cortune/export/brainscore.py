"""A folder as Brain-Score takes models: a plugin with identifier, preprocessing, layers."""

from __future__ import annotations

import json
from pathlib import Path

from cortune.artifacts import PathLike, atomic
from cortune.export.encoder import NETWORK, Encoder
from cortune.export.hub import check_target
from cortune.networks.families import find_family
from cortune.networks.store import save_state

_REGIONS = {"V1": "V1", "V2": "V2", "V3": "V2", "hV4": "V4", "V4": "V4"}
"""Regions of Brain-Score by the start of an ROI's name; others are part of IT."""
_ORDER = ("V1", "V2", "V4", "IT")

_INIT = """\
from brainscore_vision import model_registry
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from .model import LAYERS, REGIONS, get_model

model_registry[{identifier!r}] = lambda: ModelCommitment(
    identifier={identifier!r},
    activations_model=get_model(),
    layers=LAYERS,
    region_layer_map=REGIONS,
)
"""
_MODEL = '''\
"""{about}"""

import functools
from pathlib import Path

from brainscore_vision.model_helpers.activations.pytorch import (
    PytorchWrapper,
    load_preprocess_images,
)
from safetensors.torch import load_file

{imports}
LAYERS = {layers!r}
# {source}
REGIONS = {regions!r}
BIBTEX = """{bibtex}"""


def get_model():
    model = {build}
    model.load_state_dict(load_file(Path(__file__).parent / "model.safetensors"))
    preprocessing = functools.partial(
        load_preprocess_images,
        image_size={size},
        normalize_mean={mean!r},
        normalize_std={std!r},
    )
    wrapper = PytorchWrapper(identifier={identifier!r}, model=model, preprocessing=preprocessing)
    wrapper.image_size = {size}
    return wrapper
'''
_TEST = """\
import brainscore_vision


def test_it_loads_with_the_layers_of_its_regions():
    model = brainscore_vision.load_model({identifier!r})
    assert model.identifier == {identifier!r}
"""
_BIBTEX = """\
@article{mulrooney2024contrastive,
  title = {Enhancing fMRI encoding models of the visual cortex by contrastive learning},
  author = {Mulrooney, Alex and Brockmeier, Austin J.},
  journal = {arXiv:2410.06067},
  year = {2024}
}"""


def region_layers(encoder: Encoder) -> tuple[dict[str, str], str]:
    """Return the layer of each of Brain-Score's regions, and in words where it is from.

    Of the units in a region that with the highest r says it; a region without units has the
    layer of the one before it on the way from V1 to IT, the first ones that of the next.
    """
    best: dict[str, tuple[float, str]] = {}
    for unit in encoder.units:
        region = next((r for start, r in _REGIONS.items() if unit.roi.startswith(start)), "IT")
        best[region] = max(best.get(region, (-2.0, "")), (unit.r or 0.0, unit.layer))
    known = [region for region in _ORDER if region in best]
    found, last = {}, known[0]
    for region in _ORDER:
        last = region if region in best else last
        found[region] = best[last][1]
    said = f"Chosen in responses of {', '.join(known)}"
    missing = [region for region in _ORDER if region not in best]
    return found, f"{said}; {', '.join(missing)} as its neighbour." if missing else f"{said}."


def plugin_folder(encoder: Encoder, out: PathLike, identifier: str) -> Path:
    """Write a model plugin of Brain-Score, version 2.

    Parameters
    ----------
    encoder : Encoder
    out : path
        Folder to write, named as the plugin.
    identifier : str
        Of the model.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If `out` holds other files.
    ResourceError
        If the disk is too full.
    """
    target = Path(out)
    check_target(target, {"__init__.py", "model.py", "test.py", NETWORK, *_MORE})
    saved = encoder.saved
    source = encoder.folder / encoder.config["network"]["file"]
    regions, said = region_layers(encoder)
    imports, build, requires = _building(encoder)
    shown = encoder.shown
    text = {
        "about": f"{saved.name}, tuned to fMRI responses by Cortune.",
        "imports": imports,
        "build": build,
        "layers": list(dict.fromkeys(regions.values())),
        "regions": regions,
        "source": said,
        "identifier": identifier,
        "size": encoder.input_size,
        "mean": tuple(shown.mean),
        "std": tuple(shown.std),
        "bibtex": _BIBTEX,
    }
    with atomic(target, needs=source.stat().st_size) as folder:
        folder.mkdir()
        with atomic(folder / NETWORK, sheltered=True) as path:
            save_state(path, source, saved)
        for name, template in (("__init__.py", _INIT), ("model.py", _MODEL), ("test.py", _TEST)):
            (folder / name).write_text(template.format(**text), encoding="utf-8")
        (folder / "requirements.txt").write_text("\n".join([*requires, "safetensors", ""]))
        (folder / "region_layer_map").mkdir()
        path = folder / "region_layer_map" / f"{identifier}.json"
        path.write_text(json.dumps(regions, indent=2) + "\n")
    return target


_MORE = ("requirements.txt", "region_layer_map", "__pycache__")


def _building(encoder: Encoder) -> tuple[str, str, list[str]]:
    """Return imports, the expression that builds the network, and what it requires."""
    name, options = encoder.saved.name, encoder.build_options
    family, known = find_family(name)
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    source = type(family).__module__.rpartition(".")[2]
    if source == "torchvision":
        build = f"torchvision.models.get_model({known!r}, weights=None{given})"
        return "import torchvision.models\n", build, ["torchvision"]
    if source == "timm":
        return "import timm\n", f"timm.create_model({known!r}{given})", ["timm"]
    imported = "from cortune.networks.backbones import build_backbone\n"
    return imported, f"build_backbone({name!r}{given})", ["cortune"]
