"""The pages of docs/reference, made from the configuration's models and the stages."""

from __future__ import annotations

import inspect
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import cortune
from cortune.address import ENTITIES
from cortune.config.document import document
from cortune.report.columns import TABLES
from cortune.stages import STAGES, From, Output, Stage

_ABOUT_TABLES = """\
# Tables

Generated from the code by `python -m cortune.reference`; tests compare it with the tables of a
finished run.

Tables of the last complete run are in `results/latest/tables/`. They are tidy, CSV but for one
parquet, with 7 significant digits; what is unknown or does not apply is an empty cell. Beside
each table a `.json` says what it was made of. A table whose rows were not asked for has its header
alone.\
"""
_ABOUT_ARTIFACTS = """\
# Artifacts

Generated from the code by `python -m cortune.reference`; tests compare it with the outputs of the
rules and the files of a finished run.

Everything a rule makes lies in `results/<stage>/<version>/`, in the folders of its address:
`ds-<data set>/sub-<subject>/hemi-<hemisphere>/roi-<ROI>/method-<method>/rep-<replicate>`, those of
them that it has; `all` stands for what a file does not tell apart. The version is `<n>-<8 hex>`:
`n` is the stage's algorithm number, raised when the code gives other results for the same
configuration; the hex is a hash of the stage, `n`, the keys listed here as read, the content of the
raw files that it reads, and the versions of what it consumes.

HDF5, safetensors and parquet files hold their provenance (attribute or metadata `cortune`, JSON);
CSV, PNG and npy files have it in `<name>.json` beside them. The SHA-256 of a file or folder is in
`.<name>.sha256` beside it. No file is a pickle.

In shapes, V is the number of voxels, L of layers, F of folds, n of images, s the input size.
`@` marks an attribute.\
"""
_ABOUT_FIGURES = """\

## Figures

PNG, 200 dots per inch, in `results/plot_…/<version>/`, copied to `results/latest/figures/`.
"""
_NAMES = {"dataset": "<name>", "probe": "<name>"}
_RECIPE = "the method's section of the configuration"


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    return {
        "config.md": document(),
        "tables.md": "\n".join([*_tables(), ""]),
        "artifacts.md": "\n".join([*_artifacts(), ""]),
        "../api.md": "\n".join([*_interface(), ""]),
    }


def _interface() -> Iterator[str]:
    yield _ABOUT_INTERFACE
    for name in sorted(cortune.__all__, key=str.lower):
        thing = getattr(cortune, name)
        yield from _described(f"## cortune.{name}", thing)
        members = vars(thing).items() if inspect.isclass(thing) else ()
        for member, value in members:
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                yield from _described(f"### {name}.{member}", value)


def _described(heading: str, thing: Any) -> Iterator[str]:
    """Yield a docstring as markdown; its sections become lists."""
    called = f"`{inspect.signature(thing)}`" if callable(thing) else ""
    yield from ("", heading, "", *filter(None, [called]))
    if called:
        yield ""
    lines = inspect.cleandoc(thing.__doc__ or "").replace(".. math::", "").splitlines()
    inside = False
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if after and not set(after) - {"-"} and line:
            yield from (f"**{line}**", "")
            inside = True
        elif not line or set(line) - {"-"}:
            item = inside and line and not line.startswith(" ")
            yield f"- `{line}`" if item else f"    {line.strip()}" if inside and line else line


_ABOUT_INTERFACE = """\
# Python

Generated from the code by `python -m cortune.reference`.

`import cortune` is light: what is used is imported then. [The notebook](notebooks/encoders.ipynb)
shows it at work.\
"""


def _tables() -> Iterator[str]:
    yield _ABOUT_TABLES
    for name, table in TABLES.items():
        yield from ("", f"## {name}", "", f"One row per {table.row}. {table.about}".strip(), "")
        yield from _rows("column", {column: table.meaning(column) for column in table.columns})


def _artifacts() -> Iterator[str]:
    yield _ABOUT_ARTIFACTS
    for stage in STAGES.values():
        if not all(output.is_figure for output in stage.outputs.values()):
            yield from _stage(stage)
    yield _ABOUT_FIGURES
    outputs = (output for stage in STAGES.values() for output in stage.outputs.values())
    yield from _rows("figure", {each.path: each.about for each in outputs if each.is_figure})


def _stage(stage: Stage) -> Iterator[str]:
    yield from ("", f"## {stage.name}", "", f"{stage.about} Algorithm number {stage.number}.")
    if stage.reads:
        yield f"Reads {', '.join(_key(key) for key in stage.reads)}."
    if stage.sources is not None:
        yield f"Reads raw files, found by {', '.join(_key(key) for key in stage.places)}."
    if stage.gathers:
        yield "Consumes every table and figure."
    elif stage.inputs:
        yield f"Consumes {', '.join(dict.fromkeys(map(_consumed, stage.inputs.values())))}."
    for output in stage.outputs.values():
        yield from ("", f"**`{placed(stage, output)}`**: {output.about}")
        if output.holds:
            yield ""
            yield from _rows("inside", output.holds)


def placed(stage: Stage, output: Output) -> str:
    """Return the path of an output in the folder of its version, with the wildcards of rules."""
    entities = (f"{key}-{{{name}}}" for name, key in ENTITIES.items() if name in stage.entities)
    return posixpath.normpath("/".join(filter(None, (*entities, output.path))))


def _key(key: str) -> str:
    named = {"{recipe}": _RECIPE, "*": "everything but where raw files lie and how jobs run"}
    return named[key] if key in named else f"`{key.format(**_NAMES)}`"


def _consumed(given: From) -> str:
    return " or ".join(f"`{name}`" for name in given.stages)


def _rows(heading: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield from (f"| {heading} | what |", "| --- | --- |")
    yield from (f"| `{name}` | {meaning} |" for name, meaning in rows.items())
