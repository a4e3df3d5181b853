"""The validated configuration, as one typed object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, create_model, model_validator

from cortune.config.problems import number_problems, problems
from cortune.config.reading import read_yaml
from cortune.config.relations import relation_problems
from cortune.config.sections import (
    Cortex,
    Dataset,
    Encoding,
    Export,
    Features,
    Landscape,
    Name,
    Probe,
    Saliency,
    Similarity,
    Split,
    Statistics,
    Transfer,
    Tuning,
)
from cortune.errors import CortuneError, InputError
from cortune.section import Section
from cortune.tuning.methods import METHODS, recipes
from cortune.tuning.pretrain import Backbone


class ConfigError(CortuneError):
    """The configuration is wrong; the message lists every problem by key."""


class _First(Section):
    """What stands before the recipes of tuning methods."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of every random choice. Change it to see how much a result owes to chance."""
    device: Annotated[str, Field(pattern="^(auto|cpu|cuda(:[0-9]+)?)$")] = "auto"
    """Where networks run: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`. Of several
    GPUs, `auto` and `cuda` take one that no other job has. Not part of any version; recorded in
    the provenance of what was computed."""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    """Data sets by name. The name is yours; it appears as `dataset` in the tables."""
    split: Split = Field(default_factory=Split)
    backbone: Backbone = Field(default_factory=Backbone)
    tuning: Tuning = Field(default_factory=Tuning)


if TYPE_CHECKING:

    class _WithRecipes(_First):
        def __getattr__(self, name: str) -> Any: ...

else:
    _WithRecipes = create_model(
        "_WithRecipes",
        __base__=_First,
        **{
            section: (recipe, Field(default_factory=recipe))
            for section, recipe in recipes().items()
        },
    )


class Config(_WithRecipes):
    """Cortune configuration.

    Build it with :meth:`from_mapping` or :meth:`from_file`, which say what is wrong by key.
    """

    features: Features = Field(default_factory=Features)
    encoding: Encoding = Field(default_factory=Encoding)
    statistics: Statistics = Field(default_factory=Statistics)
    transfer: Transfer = Field(default_factory=Transfer)
    probes: dict[Name, Probe] = Field(default={})
    """Labelled images by name; the name is yours and appears as `probe` in the tables. What every
    network still tells of their classes is probed by logistic regression on one layer, 85 % of
    the images to train and 15 % to test on. The landscape and saliency are made from probes:
    without one there are none."""
    landscape: Landscape | None = None
    saliency: Saliency | None = None
    similarity: Similarity | None = None
    cortex: Cortex = Field(default_factory=Cortex)
    export: Export | None = None

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
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            raise ConfigError("\n".join(problems(error, cls, mapping))) from None

    @classmethod
    def from_file(cls, path: str | Path, *over: str | Path) -> Config:
        """Read and validate a YAML file, with others laid over it as Snakemake does."""
        mapping = _read(path)
        if over:
            from snakemake.utils import update_config

            for other in over:
                update_config(mapping, _read(other))
        return cls.from_mapping(mapping)

    @model_validator(mode="before")
    @classmethod
    def _fill_names(cls, mapping: Any) -> Any:
        """Fill in the names of the first data set and probe where none is given."""
        if not isinstance(mapping, Mapping):
            return mapping
        filled: dict[str, Any] = {"tuning": {}, **mapping}
        names = (("tuning", "dataset", "datasets"), ("saliency", "probe", "probes"))
        for section, key, known in names:
            here, there = filled.get(section), filled.get(known)
            unnamed = isinstance(here, dict) and here.get(key) is None
            if unnamed and isinstance(there, dict) and there:
                filled[section] = {**filled[section], key: next(iter(there))}
        return filled

    @model_validator(mode="after")
    def _relate(self) -> Config:
        if wrong := [*relation_problems(self)]:
            raise ConfigError("\n".join(wrong))
        return self

    def recipe(self, method: str) -> Any:
        """Return the section of the configuration that holds a tuning method's recipe."""
        return getattr(self, METHODS[method].section or "")

    def as_dict(self) -> dict[str, Any]:
        """Return plain containers, defaults included."""
        return self.model_dump()


def _read(path: str | Path) -> dict[str, Any]:
    try:
        mapping = read_yaml(path)
    except InputError as error:
        raise ConfigError(str(error)) from None
    if not isinstance(mapping, dict):
        found = "nothing" if mapping is None else type(mapping).__name__
        raise ConfigError(f"{path}: found {found}, expected keys and values.")
    return mapping
