"""The pages of docs/reference, made from the schema and the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cortune.config.document import document
from cortune.reference.artifacts import ARTIFACTS, FIGURES, Artifact
from cortune.reference.tables import TABLES
from cortune.versions import STAGES

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

Everything a rule makes lies in `results/<stage>/<version>/`. The version is `<n>-<8 hex>`: `n` is
the stage's algorithm number, raised when the code gives other results for the same configuration;
the hex is a hash of the stage, `n`, the keys listed here as read, and the versions of the stages it
consumes.

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
_CONSUMED = {
    "backbone": "`prepare_backbone` or `pretrain_backbone`",
    "network": "the network, tuned or not",
    "recipe": "the method's section of the configuration",
    "transfer_targets": "`transfer_dataset` of every target",
    "every_probe": "`probe_network` of every probe",
}


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    return {
        "config.md": document(),
        "tables.md": "\n".join([*_tables(), ""]),
        "artifacts.md": "\n".join([*_artifacts(), ""]),
    }


def _tables() -> Iterator[str]:
    yield _ABOUT_TABLES
    for name, table in TABLES.items():
        yield from ("", f"## {name}", "", f"One row per {table.row}. {table.about}".strip(), "")
        yield from _rows("column", {column: table.meaning(column) for column in table.columns})


def _artifacts() -> Iterator[str]:
    yield _ABOUT_ARTIFACTS
    for stage, artifacts in ARTIFACTS.items():
        if not all(artifact.path in FIGURES for artifact in artifacts):
            yield from _stage(stage, artifacts)
    yield _ABOUT_FIGURES
    yield from _rows("figure", FIGURES)


def _stage(stage: str, artifacts: tuple[Artifact, ...]) -> Iterator[str]:
    definition = STAGES[stage]
    yield from ("", f"## {stage}", "", f"Algorithm number {definition.number}.")
    if definition.reads:
        keys = ", ".join(f"`{key.format(**_NAMES)}`" for key in definition.reads)
        yield f"Reads {keys}."
    if definition.consumes:
        names = ", ".join(_CONSUMED.get(name, f"`{name}`") for name in definition.consumes)
        yield f"Consumes {names}{', for every method' if definition.every else ''}."
    for artifact in artifacts:
        yield from ("", f"**`{artifact.path}`**: {artifact.about}")
        if artifact.holds:
            yield ""
            yield from _rows("inside", artifact.holds)


def _rows(heading: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield from (f"| {heading} | what |", "| --- | --- |")
    yield from (f"| `{name}` | {meaning} |" for name, meaning in rows.items())
