"""The validated configuration, as typed objects.

The schema (``workflow/schemas/config.schema.yaml``) is the single source of keys,
defaults and descriptions; the classes below give its values types.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from cortune.errors import CortuneError
from cortune.versions import RECIPES


class ConfigError(CortuneError):
    """The configuration is wrong; the message lists every problem by key."""


@dataclass(frozen=True)
class Dataset:
    """One data set: where it is and what of it is analysed."""

    layout: str
    root: str | None
    stim_info: str | None
    subjects: str | list[str]
    rois: str | list[str]
    space: str
    repeats: int
    top_vertices: int | None
    sessions: list[str] | None
    coco_of: str | None
    simulate: dict[str, Any] | None

    def reader_options(self) -> dict[str, Any]:
        """Return the options of the layout's reader."""
        keys = {"nsd": ("space", "repeats"), "nod": ("top_vertices", "sessions", "coco_of")}
        chosen = ("stim_info", *keys.get(self.layout, ()))
        return {key: getattr(self, key) for key in chosen}


@dataclass(frozen=True)
class Split:
    """Shares of images for tuning, validation and test."""

    tune: float
    validation: float
    test: float


@dataclass(frozen=True)
class Pretrain:
    """Training of the demo's backbone on labelled scenes."""

    n_images: int
    n_classes: int
    epochs: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True)
class Backbone:
    """The image network that is tuned."""

    name: str
    weights: str
    input_size: int
    layers: list[str]
    pretrain: Pretrain


@dataclass(frozen=True)
class Tuning:
    """Which networks are tuned, on what."""

    dataset: str
    methods: list[str]
    min_voxels: int
    precision: str
    workers: int


@dataclass(frozen=True)
class Contrastive:
    """The published recipe of contrastive tuning."""

    temperature: float
    batch_size: int
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class ContrastivePlus:
    """The improved recipe; each difference from the published one is a key."""

    temperature: float
    learn_temperature: bool
    symmetric: bool
    norm: str
    norm_per_modality: bool
    activation: str
    embedding_size: int | None
    image_layer: str | None
    batch_size: int
    drop_last: bool
    epochs: int
    learning_rate: float
    schedule: str
    weight_decay: float
    keep_best: bool
    augmentation: float


@dataclass(frozen=True)
class Regression:
    """The regression baseline."""

    batch_size: int
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class Features:
    """Feature extraction."""

    images: str
    batch_size: int
    memory_gb: float


@dataclass(frozen=True)
class Alphas:
    """Ridge penalties, evenly spaced in the exponent."""

    start: float
    stop: float
    num: int

    def values(self) -> list[float]:
        """Return the penalties."""
        step = (self.stop - self.start) / max(self.num - 1, 1)
        return [10.0 ** (self.start + step * i) for i in range(self.num)]


@dataclass(frozen=True)
class SizeCurve:
    """Accuracy against the number of images that encoding models are fitted on."""

    sizes: list[int]
    rois: list[str] | None
    methods: list[str] | None


@dataclass(frozen=True)
class AllLayers:
    """Banded ridge over all layers."""

    n_iter: int


@dataclass(frozen=True)
class Encoding:
    """Voxelwise ridge encoding models."""

    n_components: int
    alphas: Alphas
    folds: int
    protocols: list[str]
    min_noise_ceiling: float
    size_curve: SizeCurve
    memory_gb: float
    all_layers: AllLayers


@dataclass(frozen=True)
class Statistics:
    """Intervals and tests."""

    n_bootstrap: int
    n_permutations: int


@dataclass(frozen=True)
class TransferDataset:
    """Transfer to another data set: the source's ROIs that are tried on each of its ROIs."""

    source: str
    target: str
    rois: dict[str, list[str]]


@dataclass(frozen=True)
class Transfer:
    """Transfer of tuned networks to other subjects and data sets."""

    subjects: bool
    methods: list[str] | None
    rois: list[str] | None
    datasets: list[TransferDataset]


@dataclass(frozen=True)
class Probe:
    """Labelled images that linear probes of the networks classify."""

    kind: str
    root: str | None
    split: str
    layer: str
    images_per_class: int | None
    n_images: int | None
    n_classes: int | None
    penalty: float
    max_iter: int

    def source(self) -> dict[str, Any]:
        """Return what :class:`cortune.probes.ProbeSpec` is made of."""
        numbers = ("images_per_class", "n_images", "n_classes")
        found = {key: getattr(self, key) or 0 for key in numbers}
        return {"kind": self.kind, "root": self.root or "", "split": self.split, **found}


@dataclass(frozen=True)
class Landscape:
    """The landscape of networks by their predictions."""

    methods: list[str]
    n_permutations: int


@dataclass(frozen=True)
class Saliency:
    """Where networks look for their classes, and to which side."""

    probe: str | None
    methods: list[str] | None
    layer: str
    attribution: str
    n_images: int
    n_permutations: int


@dataclass(frozen=True)
class Cortex:
    """Maps on the cortical surface."""

    surface: str


@dataclass(frozen=True)
class Config:
    """The whole configuration.

    Build it with :meth:`from_mapping` or :meth:`from_file`, which validate.
    """

    seed: int
    device: str
    datasets: dict[str, Dataset]
    split: Split
    backbone: Backbone
    tuning: Tuning
    contrastive: Contrastive
    contrastive_plus: ContrastivePlus
    regression: Regression
    features: Features
    encoding: Encoding
    statistics: Statistics
    transfer: Transfer
    probes: dict[str, Probe]
    landscape: Landscape | None
    saliency: Saliency | None
    cortex: Cortex

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Config:
        """Validate a raw configuration and fill in the defaults.

        Parameters
        ----------
        mapping : mapping
            As read from YAML or handed over by Snakemake.

        Raises
        ------
        ConfigError
            Listing every problem: the dotted key, what was found, what was expected.
        """
        filled = _with_defaults(mapping, schema())
        problems = [*_schema_problems(filled)] or [*_cross_problems(filled)]
        if problems:
            raise ConfigError("\n".join(problems))
        return _build(cls, filled)  # type: ignore[no-any-return]

    @classmethod
    def from_file(cls, path: str | Path) -> Config:
        """Read and validate a YAML file."""
        try:
            mapping = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(
                f"{path}: no such file; give a configuration with --configfile."
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not readable as YAML: {error}") from error
        if not isinstance(mapping, dict):
            raise ConfigError(f"{path}: found {type(mapping).__name__}, expected keys and values.")
        return cls.from_mapping(mapping)

    def recipe(self, method: str) -> Any:
        """Return the section of the configuration that holds a tuning method's recipe."""
        return getattr(self, RECIPES[method][0])

    def as_dict(self) -> dict[str, Any]:
        """Return plain containers, defaults included."""
        return asdict(self)


def schema_path() -> Path:
    """Return the path of the JSON schema: in the checkout, or installed with the package."""
    here = Path(__file__).resolve()
    checkout = here.parents[2] / "workflow" / "schemas" / "config.schema.yaml"
    return checkout if checkout.is_file() else here.with_name("config.schema.yaml")


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration."""
    return dict(yaml.safe_load(schema_path().read_text(encoding="utf-8")))


def _with_defaults(value: Any, rule: Mapping[str, Any], layout: str | None = None) -> Any:
    """Copy `value` with the schema's defaults filled in and integers made numbers.

    Inside a ``simulate`` block, defaults depend on the layout, and keys of other layouts
    are not filled in.
    """
    if isinstance(value, Mapping) and ("properties" in rule or "additionalProperties" in rule):
        properties = rule.get("properties", {})
        filled = {}
        for key, item in properties.items():
            inside = str(value.get("layout")) if key == "simulate" else layout
            default = item.get("x-defaults", {}).get(layout, item.get("default"))
            if key in value:
                filled[key] = _with_defaults(value[key], item, inside)
            elif layout is not None and not _fits(item, layout):
                continue
            elif "default" in item:
                filled[key] = _with_defaults(default, item, inside)
            elif "properties" in item:
                filled[key] = _with_defaults({}, item, inside)
        other = rule.get("additionalProperties")
        for key in value:
            if key not in properties:
                filled[key] = (
                    _with_defaults(value[key], other, layout)
                    if isinstance(other, dict)
                    else value[key]
                )
        if rule is schema():
            _fill_names(filled)
        return filled
    if isinstance(value, list) and isinstance(rule.get("items"), dict):
        return [_with_defaults(item, rule["items"], layout) for item in value]
    if rule.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _fill_names(config: dict[str, Any]) -> None:
    """Fill in the names that the schema has no default for: the first data set and probe."""
    for section, key, names in (("tuning", "dataset", "datasets"), ("saliency", "probe", "probes")):
        known = config.get(names)
        unnamed = isinstance(config.get(section), dict) and config[section].get(key) is None
        if unnamed and isinstance(known, dict) and known:
            config[section][key] = next(iter(known))


def _fits(item: Mapping[str, Any], layout: str) -> bool:
    """Return whether a key of the schema belongs to a layout."""
    return layout in item.get("x-layouts", (layout,))


def _schema_problems(config: Mapping[str, Any]) -> Iterator[str]:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema())
    for error in sorted(validator.iter_errors(config), key=lambda e: [str(p) for p in e.path]):
        yield from _explain(error)


def _explain(error: Any) -> Iterator[str]:
    where = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in error.instance:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
                hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}."
                yield f"{'.'.join(filter(None, [where, str(key)]))}: unknown key; {hint}"
        return
    described = error.schema.get("description") if isinstance(error.schema, dict) else None
    message = f"{where or 'configuration'}: {_expected(error)}"
    if isinstance(error.instance, str) and error.validator == "type" and _is_number(error.instance):
        message += " Write it with a point, as in 1.0e-4: YAML reads 1e-4 as text."
    yield f"{message} ({' '.join(described.split())})" if described else message


def _expected(error: Any) -> str:
    found = repr(error.instance)
    if error.validator == "enum":
        options = [str(option) for option in error.validator_value]
        close = difflib.get_close_matches(str(error.instance), options, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"found {found}, expected one of {', '.join(options)}{hint}"
    if error.validator == "required":
        return f"{error.message}."
    if error.validator == "oneOf":
        return f"found {found}, which is not one of the forms this key takes."
    return f"found {found}: {error.message}."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cross_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a schema cannot say: relations between keys."""
    total = math.fsum(config["split"].values())
    if abs(total - 1) > 1e-6:
        yield f"split: found shares that sum to {total:g}, expected 1."
    if config["tuning"]["dataset"] not in config["datasets"]:
        yield (
            f"tuning.dataset: found {config['tuning']['dataset']!r}, expected one of "
            f"{', '.join(config['datasets'])}."
        )
    for name, dataset in config["datasets"].items():
        if (dataset["root"] is None) == (dataset["simulate"] is None):
            what = "neither" if dataset["root"] is None else "both"
            yield (
                f"datasets.{name}: found {what} of `root` and `simulate`, expected one of them. "
                "Give `root` for data on disk, or `simulate` to have it simulated."
            )
        if dataset["simulate"] is not None and dataset["subjects"] == "all":
            yield (
                f"datasets.{name}.subjects: found 'all', expected a list: the simulator needs "
                "names, such as [subj01, subj02]."
            )
        yield from _layout_problems(name, dataset)
    yield from _size_curve_problems(config)
    yield from _transfer_problems(config)
    yield from _probe_problems(config)
    if "tune_test" in config["encoding"]["protocols"] and config["features"]["images"] != "all":
        yield (
            "encoding.protocols: found tune_test with features.images = test, expected all: it "
            "fits on the tuning images. Set features.images: all."
        )


def _layout_problems(name: str, dataset: Mapping[str, Any]) -> Iterator[str]:
    """Yield keys that belong to another layout than the data set's."""
    rules = schema()["properties"]["datasets"]["additionalProperties"]["properties"]
    layout = dataset["layout"]
    given = {key: key for key, rule in rules.items() if dataset[key] != rule.get("default")}
    blocks = [(rules, given, f"datasets.{name}")]
    if dataset["simulate"] is not None:
        inside = dataset["simulate"]
        blocks.append((rules["simulate"]["properties"], inside, f"datasets.{name}.simulate"))
    for known, keys, where in blocks:
        for key in keys:
            if not _fits(known[key], layout):
                layouts = " and ".join(known[key]["x-layouts"])
                yield f"{where}.{key}: found under {layout}, expected under {layouts}. Remove it."


def _transfer_problems(config: Mapping[str, Any]) -> Iterator[str]:
    transfer, methods = config["transfer"], config["tuning"]["methods"]
    unknown = set(transfer["methods"] or ()) - set(methods) - {"untuned"}
    if unknown:
        yield (
            f"transfer.methods: found {min(unknown)}, expected some of tuning.methods = "
            f"{', '.join(methods)}."
        )
    if transfer["subjects"] and "untuned" not in methods:
        yield (
            "transfer.subjects: found true without `untuned` in tuning.methods, expected it: "
            "transfer is judged against the untuned network. Add it."
        )
    first = config["encoding"]["protocols"][0]
    if (transfer["subjects"] or transfer["datasets"]) and first not in ("heldout_cv", "published"):
        yield (
            f"encoding.protocols: found {first} first with transfer, expected heldout_cv or "
            "published first: targets are scored by it, on their test images alone. Reorder them."
        )
    for index, pair in enumerate(transfer["datasets"]):
        where = f"transfer.datasets.{index}"
        if pair["source"] != config["tuning"]["dataset"]:
            yield (
                f"{where}.source: found {pair['source']!r}, expected the data set that networks "
                f"are tuned on, {config['tuning']['dataset']!r} (tuning.dataset)."
            )
        others = [name for name in config["datasets"] if name != pair["source"]]
        if pair["target"] not in others:
            known = ", ".join(others) or "another data set, of which there is none"
            yield f"{where}.target: found {pair['target']!r}, expected one of {known}."


def _probe_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for name, probe in config["probes"].items():
        kind, own = probe["kind"], ("n_images", "n_classes")
        needed, foreign = (own, ("root",)) if kind == "scenes" else (("root",), own)
        for key in needed:
            if probe[key] is None:
                yield f"probes.{name}.{key}: found nothing, expected it with kind: {kind}. Set it."
        for key in foreign:
            if probe[key] is not None:
                other = "another kind" if kind == "scenes" else "kind: scenes"
                yield f"probes.{name}.{key}: found under kind: {kind}, expected under {other}."
    saliency, known = config["saliency"], list(config["probes"])
    unknown = set((saliency or {}).get("methods") or ()) - set(config["tuning"]["methods"])
    if unknown:
        yield (
            f"saliency.methods: found {min(unknown)}, expected some of tuning.methods = "
            f"{', '.join(config['tuning']['methods'])}."
        )
    if saliency and saliency["probe"] is not None and saliency["probe"] not in known:
        close = difflib.get_close_matches(saliency["probe"], known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        expected = f"one of {', '.join(known)}" if known else "a probe, of which there is none"
        yield f"saliency.probe: found {saliency['probe']!r}, expected {expected}.{hint}"


def _size_curve_problems(config: Mapping[str, Any]) -> Iterator[str]:
    curve, folds = config["encoding"]["size_curve"], config["encoding"]["folds"]
    least = 3 * folds
    if curve["sizes"] and min(curve["sizes"]) < least:
        yield (
            f"encoding.size_curve.sizes: found {min(curve['sizes'])}, expected at least {least}: "
            f"penalties are chosen in {folds} folds (encoding.folds)."
        )
    unknown = set(curve["methods"] or ()) - set(config["tuning"]["methods"])
    if unknown:
        yield (
            f"encoding.size_curve.methods: found {min(unknown)}, expected some of tuning.methods = "
            f"{', '.join(config['tuning']['methods'])}."
        )


def _build(kind: Any, value: Any) -> Any:
    """Turn validated plain containers into the dataclass `kind`."""
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, Mapping):
        hints = get_type_hints(kind)
        return kind(**{f.name: _build(hints[f.name], value[f.name]) for f in fields(kind)})
    if get_origin(kind) is UnionType and isinstance(value, Mapping):
        kinds = [each for each in get_args(kind) if is_dataclass(each)]
        return _build(kinds[0], value) if kinds else value
    if get_origin(kind) is dict and is_dataclass(get_args(kind)[1]):
        return {key: _build(get_args(kind)[1], item) for key, item in value.items()}
    if get_origin(kind) is list and is_dataclass(get_args(kind)[0]):
        return [_build(get_args(kind)[0], item) for item in value]
    return value


def document() -> str:
    """Return ``config/README.md``: every key with its meaning and default, from the schema."""
    lines = [
        "# Configuration",
        "",
        "Generated from `workflow/schemas/config.schema.yaml` by `python -m cortune.config`.",
        "",
        "- `config.yaml` is the demo and the default; `nsd.yaml` is the paper at full scale.",
        "- Another file is given with `--configfile my.yaml` and replaces the demo's; what it does",
        "  not say has the default below.",
        "- Unknown keys are refused, with the nearest known one. `cortune check` reports",
        "  everything wrong with a configuration and the inputs it names.",
        "- A changed key makes new result folders for the stages that read it and leaves the rest",
        "  alone; changing it back costs nothing.",
        "",
        "| key | default | meaning |",
        "| --- | --- | --- |",
        *_documented(schema(), ""),
        "",
    ]
    return "\n".join(lines)


def _documented(rule: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, item in rule.get("properties", {}).items():
        key = f"{prefix}{name}"
        default = f"`{_shown(item['default'])}`" if "default" in item else ""
        default += "".join(f" [`{_shown(value)}`]" for value in item.get("x-defaults", {}).values())
        meaning = " ".join(item["description"].split()).replace("|", r"\|")
        yield f"| `{key}` | {default} | {meaning}{_options(item)} |"
        yield from _documented(item, f"{key}.")
        if isinstance(item.get("additionalProperties"), dict):
            yield from _documented(item["additionalProperties"], f"{key}.<name>.")
        if isinstance(item.get("items"), dict):
            yield from _documented(item["items"], f"{key}.<n>.")


def _options(item: Mapping[str, Any]) -> str:
    options = item.get("enum") or item.get("items", {}).get("enum") or []
    return f" One of: {', '.join(f'`{option}`' for option in options)}." if options else ""


def _shown(value: Any) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
    )


if __name__ == "__main__":
    print(document(), end="")
