"""The schema of the configuration: keys, defaults, descriptions, and what violates it."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_NUMBERS = (
    "Write it without quotes and with a point before e, as in 1.0e-4 (YAML reads 1e-4 as text), "
    "and in a file given with --configfile: --config makes text of numbers inside {}."
)


_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "nothing",
    "number": "a number",
    "object": "keys and values",
    "string": "text",
}
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "minLength": "text of a length of at least",
    "minItems": "a number of items of at least",
    "minProperties": "a number of keys of at least",
}
_TOO_LARGE = 1 << 63
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def schema_path() -> Path:
    """Return the path of the JSON schema: in the checkout, or installed with the package."""
    here = Path(__file__).resolve()
    checkout = here.parents[3] / "workflow" / "schemas" / "config.schema.yaml"
    return checkout if checkout.is_file() else here.parents[1] / "config.schema.yaml"


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration."""
    # The loader in C, where PyYAML has it: every job reads the schema.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(yaml.load(schema_path().read_text(encoding="utf-8"), loader))


def with_defaults(value: Any, rule: Mapping[str, Any], layout: str | None = None) -> Any:
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
                filled[key] = with_defaults(value[key], item, inside)
            elif layout is not None and not fits(item, layout):
                continue
            elif "default" in item:
                filled[key] = with_defaults(default, item, inside)
            elif "properties" in item:
                filled[key] = with_defaults({}, item, inside)
        other = rule.get("additionalProperties")
        for key in value:
            if key not in properties:
                filled[key] = (
                    with_defaults(value[key], other, layout)
                    if isinstance(other, dict)
                    else value[key]
                )
        if rule is schema():
            _fill_names(filled)
        return filled
    if isinstance(value, list) and isinstance(rule.get("items"), dict):
        return [with_defaults(item, rule["items"], layout) for item in value]
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


def fits(item: Mapping[str, Any], layout: str) -> bool:
    """Return whether a key of the schema belongs to a layout."""
    return layout in item.get("x-layouts", (layout,))


def number_problems(value: Any, where: str = "") -> Iterator[str]:
    """Yield the keys whose numbers no computation takes: NaN, infinity, integers of over 64 bits.

    YAML can write them, and a JSON schema cannot refuse them all.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from number_problems(item, _dotted(where, key))
    elif isinstance(value, list):
        for item in value:
            yield from number_problems(item, where)
    elif isinstance(value, int | float) and not abs(value) < _TOO_LARGE:
        yield f"{where}: found {_shown(value)}, expected a number of at most 64 bits. Correct it."


def schema_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield every violation of the schema: the dotted key, what was found and expected."""
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
                meant = f"did you mean {_dotted(where, close[0])}?" if close else ""
                hint = meant or f"known here: {', '.join(known)}."
                yield f"{_dotted(where, key)}: unknown key; {hint}"
        return
    described = error.schema.get("description") if isinstance(error.schema, dict) else None
    message = f"{where or 'configuration'}: {_expected(error)}"
    if isinstance(error.instance, str) and error.validator == "type" and _is_number(error.instance):
        message += " " + _NUMBERS
    yield f"{message} ({' '.join(described.split())})" if described else message


def _dotted(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _expected(error: Any) -> str:
    found, wanted = _shown(error.instance), error.validator_value
    match error.validator:
        case "enum":
            options = [str(option) for option in wanted]
            close = difflib.get_close_matches(str(error.instance), options, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            return f"found {found}, expected one of {', '.join(options)}{hint}"
        case "required":
            return f"{error.message}."
        case "oneOf":
            return f"found {found}, which is not one of the forms this key takes."
        case "type":
            kinds = [wanted] if isinstance(wanted, str) else wanted
            return f"found {found}, expected {' or '.join(_KINDS[kind] for kind in kinds)}."
    if error.validator in _BOUNDS:
        return f"found {found}, expected {_BOUNDS[error.validator]} {wanted}."
    # The library's own words repeat what was found, at any length.
    return f"found {found}: {error.message.replace(repr(error.instance), 'this')}."


def _shown(value: Any) -> str:
    """Return what was found, cut short."""
    return _SHORT.repr(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
