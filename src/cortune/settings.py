"""The slice of the configuration that a job sees: what its stage declares, and no more.

A value that a job could read without its version covering it would be a stale number in
waiting; so reading one raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cortune.address import Address
from cortune.errors import CortuneError
from cortune.tuning.methods import METHODS

if TYPE_CHECKING:
    from cortune.stages import Stage


class UndeclaredKey(CortuneError):
    """A job reads a configuration key that its stage does not declare."""


class Settings:
    """A part of the configuration, of which only some keys can be read.

    Attributes are the sections and keys of the configuration; data sets and probes are
    taken by name, ``settings.datasets["nsd"].layout``.

    Parameters
    ----------
    value : object
        The configuration, or a section of it.
    keys : iterable of str
        Dotted keys that can be read, with all below them. ``*`` is all.
    stage : str
        Whom an error names.
    """

    def __init__(self, value: Any, keys: Iterable[str], stage: str, _prefix: str = "") -> None:
        self._value, self._keys = value, frozenset(keys)
        self._stage, self._prefix = stage, _prefix

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._get(name, lambda: getattr(self._value, name))

    def __getitem__(self, name: str) -> Any:
        return self._get(name, lambda: self._value[name])

    def _get(self, name: str, find: Any) -> Any:
        key = f"{self._prefix}{name}"
        if "*" in self._keys or any(key == k or key.startswith(f"{k}.") for k in self._keys):
            return find()
        if any(k.startswith(f"{key}.") for k in self._keys):
            value = find()
            return value if value is None else Settings(value, self._keys, self._stage, f"{key}.")
        raise UndeclaredKey(
            f"{self._stage}: found a job that reads {key}, expected only keys that the stage "
            f"declares ({', '.join(sorted(self._keys))}). Add it to `reads` of the stage."
        )


def look_up(config: Mapping[str, Any], key: str) -> Any:
    """Return the value at a dotted key, or None where the configuration has none."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def keys_of(config: Any, keys: Iterable[str], address: Address) -> list[str]:
    """Return configuration keys of a stage for the address of a job.

    ``{dataset}``, ``{target}`` and ``{probe}`` are those of the address, by default the data
    set that networks are tuned on and the probe of saliency; ``{recipe}`` is the section of
    the tuning method.
    """
    saliency = config.saliency
    names = {
        "dataset": address.dataset or config.tuning.dataset,
        "target": address.target,
        "probe": address.probe or (saliency.probe if saliency else "") or "",
        "recipe": METHODS[address.method].section or "" if address.method in METHODS else "",
    }
    return [key for each in keys if (key := each.format(**names))]


def values_of(
    config: Any, plain: Mapping[str, Any], stage: Stage, address: Address
) -> dict[str, Any]:
    """Return the configuration values that a stage's version covers, by dotted key.

    Of keys that say where raw files lie, only whether they are given.

    Parameters
    ----------
    config : Config
    plain : mapping
        The same as plain containers.
    stage : Stage
    address : Address
    """
    from cortune.stages import RUNTIME, STAGES

    keys = keys_of(config, stage.reads, address)
    if "*" in keys:
        keys = list(plain)
        every = dict.fromkeys(key for each in STAGES.values() for key in each.places)
        names = [*config.datasets, *config.probes]
        places = [key.format(dataset=name, probe=name) for key in every for name in names]
        places += RUNTIME
    else:
        places = keys_of(config, stage.places, address)
    found = {key: look_up(plain, key) for key in keys}
    for place in places:
        for key in found:
            if place.startswith(f"{key}."):
                found[key] = _blanked(found[key], place[len(key) + 1 :].split("."))
            elif place == key:
                found[key] = found[key] is not None
    return found


def _blanked(value: Any, parts: list[str]) -> Any:
    """Return containers in which one value, where there is one, says only that it is given."""
    if not isinstance(value, Mapping) or parts[0] not in value:
        return value
    name, *rest = parts
    inner = _blanked(value[name], rest) if rest else value[name] is not None
    return {**value, name: inner}


def settings_of(config: Any, stage: Stage, address: Address) -> Settings:
    """Return the configuration as a job of a stage sees it."""
    from cortune.stages import RUNTIME

    keys = keys_of(config, (*stage.reads, *stage.places, *stage.checks, *RUNTIME), address)
    return Settings(config, keys, stage.name)
