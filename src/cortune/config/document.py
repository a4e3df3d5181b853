"""The reference of all keys, written from the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from cortune.config.schema import schema


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
        "- Of several files, `--configfile my.yaml over.yaml`, later ones win, key by key;",
        "  `quick.yaml` is to be laid over any other, to see it run through in minutes.",
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
