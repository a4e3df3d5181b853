"""Reading YAML that a user wrote: what is ambiguous or without end is refused, by name and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cortune.errors import InputError
from cortune.files import regular_file

MAX_VALUES = 100_000
_EXPECTED = "a configuration in YAML"
_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file of plain containers; no object of Python is made.

    Raises
    ------
    InputError
        If it is missing, no regular file, no UTF-8, no YAML, says a key twice, or holds
        more than `MAX_VALUES` values when its aliases are written out.
    """
    try:
        text = regular_file(path).read_text(encoding="utf-8")
    except OSError as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise InputError(path, found, _EXPECTED, "Give one with --configfile.") from None
    except UnicodeDecodeError as error:
        raise InputError(
            path, f"what is not readable as YAML ({error})", _EXPECTED, "Save it as UTF-8."
        ) from None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(path, node)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        found = f"what is not readable as YAML: {' '.join(str(error).split())}"
        raise InputError(path, found, _EXPECTED, "Correct it there.") from None
    except RecursionError:
        found = "what is not readable as YAML: values nested too deep"
        raise InputError(path, found, _EXPECTED, "Write it with fewer levels.") from None


def _check(path: str | Path, root: yaml.Node) -> None:
    if _size(path, root, {}) > MAX_VALUES:
        found = f"more than {MAX_VALUES} values once its aliases are written out"
        raise InputError(path, found, _EXPECTED, "Remove the aliases (*name).")


def _size(path: str | Path, node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Count values with aliases written out, visiting each once; None marks those under way."""
    known = sizes.get(id(node), 0)
    if known is None:
        found = f"an alias of what it is part of, in line {node.start_mark.line + 1}"
        raise InputError(path, found, _EXPECTED, "Remove the alias (*name).")
    if known:
        return known
    sizes[id(node)] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _check_keys(path, node)
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    size = 1 + sum(_size(path, child, sizes) for child in children)
    sizes[id(node)] = size
    return size


def _check_keys(path: str | Path, node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        if (name := (key.tag, key.value)) in seen:
            found = f"the key {key.value} twice, again in line {key.start_mark.line + 1}"
            raise InputError(path, found, "each key once", "Remove one of them.")
        seen.add(name)
