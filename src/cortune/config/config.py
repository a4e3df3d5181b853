"""The validated configuration, as one typed object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from cortune.config.reading import read_yaml
from cortune.config.relations import relation_problems
from cortune.config.schema import number_problems, schema, schema_problems, with_defaults
from cortune.config.sections import (
    Backbone,
    Contrastive,
    ContrastivePlus,
    Cortex,
    Dataset,
    Encoding,
    Features,
    Landscape,
    Probe,
    Regression,
    Saliency,
    Split,
    Statistics,
    Transfer,
    Tuning,
)
from cortune.errors import CortuneError, InputError
from cortune.versions import RECIPES


class ConfigError(CortuneError):
    """The configuration is wrong; the message lists every problem by key."""


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
        if wrong := [*number_problems(mapping)]:
            raise ConfigError("\n".join(wrong))
        filled = with_defaults(mapping, schema())
        problems = [*schema_problems(filled)] or [*relation_problems(filled)]
        if problems:
            raise ConfigError("\n".join(problems))
        return _build(cls, filled)  # type: ignore[no-any-return]

    @classmethod
    def from_file(cls, path: str | Path, *over: str | Path) -> Config:
        """Read and validate a YAML file, with others laid over it as Snakemake does."""
        mapping = _read(path)
        if over:
            from snakemake.utils import update_config

            for other in over:
                update_config(mapping, _read(other))
        return cls.from_mapping(mapping)

    def recipe(self, method: str) -> Any:
        """Return the section of the configuration that holds a tuning method's recipe."""
        return getattr(self, RECIPES[method][0])

    def as_dict(self) -> dict[str, Any]:
        """Return plain containers, defaults included."""
        return asdict(self)


def _read(path: str | Path) -> dict[str, Any]:
    try:
        mapping = read_yaml(path)
    except InputError as error:
        raise ConfigError(str(error)) from None
    if not isinstance(mapping, dict):
        found = "nothing" if mapping is None else type(mapping).__name__
        raise ConfigError(f"{path}: found {found}, expected keys and values.")
    return mapping


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
