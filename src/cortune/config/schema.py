"""The schema of the configuration: keys, defaults, descriptions, and what violates it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_NUMBERS = (
    "Write it without quotes and with a point before e, as in 1.0e-4 (YAML reads 1e-4 as text), "
    "and in a file given with --configfile: --config makes text of numbers inside {}."
)


def schema_path() -> Path:
    """Return the path of the JSON schema: in the checkout, or installed with the package."""
    here = Path(__file__).resolve()
    checkout = here.parents[3] / "workflow" / "schemas" / "config.schema.yaml"
    return checkout if checkout.is_file() else here.parents[1] / "config.schema.yaml"


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration."""
    return dict(yaml.safe_load(schema_path().read_text(encoding="utf-8")))


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
                hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}."
                yield f"{'.'.join(filter(None, [where, str(key)]))}: unknown key; {hint}"
        return
    described = error.schema.get("description") if isinstance(error.schema, dict) else None
    message = f"{where or 'configuration'}: {_expected(error)}"
    if isinstance(error.instance, str) and error.validator == "type" and _is_number(error.instance):
        message += " " + _NUMBERS
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
