"""What is wrong with a configuration, in words: the key, what was found, what was expected."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_NUMBERS = (
    "Write it without quotes and with a point before e, as in 1.0e-4 (YAML reads 1e-4 as text), "
    "and in a file given with --configfile: --config makes text of numbers inside {}."
)
_KINDS = {
    "bool_type": "true or false",
    "dict_type": "keys and values",
    "float_type": "a number",
    "int_type": "an integer",
    "list_type": "a list",
    "model_type": "keys and values",
    "string_type": "text",
}
_BOUNDS = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "a number of items of at least {min_length}",
}
_UNKNOWN = ("extra_forbidden", "invalid_key")
_TOO_LARGE = 1 << 63
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def number_problems(value: Any, where: str = "") -> Iterator[str]:
    """Yield the keys whose numbers no computation takes: NaN, infinity, integers of over 64 bits.

    YAML can write them.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from number_problems(item, dotted(where, key))
    elif isinstance(value, list):
        for item in value:
            yield from number_problems(item, where)
    elif isinstance(value, int | float) and not abs(value) < _TOO_LARGE:
        yield f"{where}: found {shown(value)}, expected a number of at most 64 bits. Correct it."


def problems(error: ValidationError, model: type[BaseModel], raw: Any) -> list[str]:
    """Return what pydantic found wrong with `raw`, a line for each key.

    Parameters
    ----------
    error : ValidationError
    model : type
        What `raw` was validated against.
    raw : mapping
    """
    found = (_problem(each, model, raw) for each in error.errors(include_url=False))
    return list(dict.fromkeys(found))  # a key of several forms has an error for each


def _problem(error: ErrorDetails, model: type[BaseModel], raw: Any) -> str:
    keys, kind, about = _follow(model, error["loc"])
    where, rest = ".".join(map(str, keys)), error["loc"][len(keys) :]
    if error["type"] in _UNKNOWN:
        return _unknown(where, error["loc"][-1], list(_inner(kind).model_fields))
    value, about = error["input"], f" ({_first_sentence(about)})" if about else ""
    if error["type"] == "missing":
        return f"{where}: found nothing, expected it to be given.{about}"
    if rest and rest != ("[key]",):  # a branch of a union
        value = _value(raw, keys)
        meant = _meant(value, kind) or _subjects(raw, keys)
        expected = f", {meant}" if meant else ", which is not one of the forms this key takes."
        return f"{where}: found {shown(value)}{expected}{about}"
    if rest:
        where = ".".join(map(str, keys[:-1]))
    expected = _expected(error, kind)
    if error["type"] in ("int_type", "float_type") and _is_number(value):
        expected += f" {_NUMBERS}"
    return f"{where or 'configuration'}: found {shown(value)}, {expected}{about}"


def _expected(error: ErrorDetails, kind: Any) -> str:
    form, context = error["type"], error.get("ctx", {})
    if form == "literal_error":
        options = re.findall("'([^']*)'", context["expected"])
        close = difflib.get_close_matches(str(error["input"]), options, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        return f"expected one of {', '.join(options)}{hint}"
    if form == "list_type" and (meant := _meant(error["input"], kind)):
        return meant
    if form in _KINDS:
        nothing = " or nothing" if NoneType in get_args(kind) else ""
        return f"expected {_KINDS[form]}{nothing}."
    if form in _BOUNDS:
        return f"expected {_BOUNDS[form].format(**context)}."
    return f"{error['msg']}."


def _meant(value: Any, kind: Any) -> str:
    """Return what was expected where text stands alone that could stand in a list."""
    if not isinstance(value, str):
        return ""
    inner = _inner(kind)
    is_union = get_origin(inner) in (Union, UnionType)
    branches = get_args(inner) if is_union else (inner,)
    if not any(get_origin(_inner(branch)) is list for branch in branches):
        return ""
    literals = [branch for branch in branches if get_origin(branch) is Literal]
    known = [word for branch in literals for word in get_args(branch)]
    meant = next(iter(difflib.get_close_matches(value, known, n=1)), "")
    if not meant:
        try:
            TypeAdapter(kind).validate_python([value])
        except ValidationError:
            return ""
        meant = f"[{value}]"
    words = f"{', '.join(known)} or a list" if known else "a list"
    return f"expected {words}; did you mean {meant}?"


def _subjects(raw: Any, keys: Sequence[int | str]) -> str:
    """Return what subjects of a data set's layout are called, for the key of subjects."""
    from cortune.data import LAYOUTS

    if len(keys) != 3 or (keys[0], keys[2]) != ("datasets", "subjects"):
        return ""
    layout = _value(raw, keys[:2]).get("layout")
    if not isinstance(layout, str) or layout not in LAYOUTS:
        return ""
    return f"expected all or a list of {LAYOUTS[layout].example} and so on."


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.]) ", " ".join(text.split()), maxsplit=1)[0]


def _unknown(where: str, key: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    hint = (
        f"did you mean {dotted(where, close[0])}?" if close else f"known here: {', '.join(known)}."
    )
    return f"{dotted(where, key)}: unknown key; {hint}"


def _follow(kind: Any, loc: Sequence[int | str]) -> tuple[list[int | str], Any, str]:
    """Return the keys of a location, the type at its end, and what is said of it there.

    What comes after the keys names a branch of a union, an unknown key, or a key itself.
    """
    keys: list[int | str] = []
    about = ""
    for part in loc:
        inner = _inner(kind)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            if part not in inner.model_fields:
                break
            field = inner.model_fields[str(part)]
            kind = field.annotation
            about = field.description or getattr(_inner(kind), "__doc__", "") or ""
        elif get_origin(inner) is dict and part != "[key]":
            kind, about = get_args(inner)[1], ""
        elif get_origin(inner) is list and isinstance(part, int):
            kind, about = get_args(inner)[0], ""
        else:
            break
        keys.append(part)
    return keys, kind, about


def _inner(kind: Any) -> Any:
    """Return a type without annotations and None."""
    if get_origin(kind) is Annotated:
        return _inner(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        kinds = [each for each in get_args(kind) if each is not NoneType]
        return _inner(kinds[0]) if len(kinds) == 1 else kind
    return kind


def _value(raw: Any, keys: Sequence[int | str]) -> Any:
    for key in keys:
        raw = raw[key]
    return raw


def _is_number(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def dotted(where: str, key: object) -> str:
    """Return a dotted key."""
    return f"{where}.{key}" if where else str(key)


def shown(value: Any) -> str:
    """Return what was found, cut short."""
    return _SHORT.repr(value)
