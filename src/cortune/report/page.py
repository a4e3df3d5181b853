"""``results/latest/report.html``: figures, tables and methods of a run on one page.

The page is one file that needs no connection. Its figures and tables read without scripts;
a script sorts columns and shows the rows of one subject, hemisphere, ROI or method.
"""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cortune.artifacts import atomic, read_json
from cortune.config import Config
from cortune.errors import InputError
from cortune.reference import TABLES

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_ROWS = 1500
"""Rows of a table that are shown."""

# Columns by which rows are chosen, and the entities that they name.
_FILTERS = {
    "subject": "subject",
    "source_subject": "subject",
    "target_subject": "subject",
    "hemisphere": "hemisphere",
    "roi": "roi",
    "target_roi": "roi",
    "method": "method",
    "method_a": "method",
    "method_b": "method",
}
_OPTIONS = ("subject", "hemisphere", "roi", "method")

_SECTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Encoding": (
        ("encoding_by_roi", "encoding_by_layer", "encoding_by_voxel", "encoding_by_protocol"),
        ("encoding.csv", "comparison.csv", "encoding_layers.csv", "variance_partition.csv"),
    ),
    "Cortex": (("cortex",), ()),
    "Published": (("published",), ("published.csv",)),
    "Size curve": (("size_curve",), ("size_curve.csv",)),
    "Tuning": (("training_curves", "information_by_roi"), ("information.csv",)),
    "Transfer": (
        ("transfer_subjects", "transfer_datasets"),
        ("transfer_subjects.csv", "transfer_datasets.csv"),
    ),
    "Probes": (("probe_accuracy", "encoding_gain_against_forgetting"), ("probes.csv",)),
    "Landscape": (
        ("landscape_inpca", "landscape_spaces", "landscape_clusters"),
        ("landscape_tests.csv", "landscape.csv", "landscape_axes.csv", "dissimilarity.csv"),
    ),
    "Lateralization": (
        ("saliency_maps", "laterality", "laterality_distributions", "saliency_examples"),
        ("lateralization_tests.csv", "lateralization.csv"),
    ),
    "Left out": ((), ("skipped.csv",)),
}
"""Figures and tables under each heading; what a run has not made is not shown."""


@dataclass(frozen=True)
class ShownFigure:
    """A figure: its name, its picture as a URL, and its caption, HTML."""

    name: str
    url: str
    caption: str
    text: str


@dataclass(frozen=True)
class ShownTable:
    """A table: its columns with their meanings, and its first rows.

    Parameters
    ----------
    name, about : str
    columns : mapping of str to str
    rows : list of list of str
        As in the file.
    entities : list of mapping
        Of each row: what rows are chosen by.
    n_rows : int
        In the file.
    """

    name: str
    about: str
    columns: Mapping[str, str]
    rows: list[list[str]]
    entities: list[dict[str, str]]
    n_rows: int

    @property
    def lines(self) -> list[tuple[dict[str, str], list[str]]]:
        """Entities and cells of each row."""
        return list(zip(self.entities, self.rows, strict=True))


@dataclass(frozen=True)
class Section:
    """What is shown under a heading."""

    title: str
    figures: list[ShownFigure]
    tables: list[ShownTable]

    @property
    def anchor(self) -> str:
        """Where links lead."""
        return self.title.lower().replace(" ", "-")


def write_page(latest: Path, manifest: Mapping[str, Any] | None = None) -> Path:
    """Write the page of the tables and figures in a folder; return its path.

    Parameters
    ----------
    latest : Path
        ``results/latest``, with ``tables`` and ``figures``.
    manifest : mapping, optional
        Default: that of the folder.

    Raises
    ------
    InputError
        If the folder holds no complete run.
    """
    if manifest is None:
        path = latest / "manifest.json"
        if not path.is_file():
            raise InputError(
                latest, "no complete run", "tables and a manifest", "Run `snakemake --cores all`."
            )
        manifest = read_json(path)
    text = render(latest, manifest)
    with atomic(latest / "report.html") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return latest / "report.html"


def render(latest: Path, manifest: Any) -> str:
    """Return the page of a folder of tables and figures, HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    # In one order, whether it was just made or read.
    manifest = json.loads(json.dumps(manifest, sort_keys=True))
    config = Config.from_mapping(manifest["config"]).as_dict()
    shown = list(sections(latest, config))
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((_TEMPLATES / "page.js").read_text(encoding="utf-8")),
        methods=Markup(described("workflow", config)),
        sections=shown,
        options=_options(table for section in shown for table in section.tables),
        manifest=manifest,
    )


def sections(latest: Path, config: Mapping[str, Any]) -> Iterable[Section]:
    """Yield what a run has made, by heading; what no heading names comes last."""
    figures = {path.stem: path for path in sorted((latest / "figures").glob("*.png"))}
    tables = {path.name: path for path in sorted((latest / "tables").glob("*.csv"))}
    named = [*_SECTIONS.items(), ("More", (tuple(figures), tuple(tables)))]
    for title, (wanted_figures, wanted_tables) in named:
        found = Section(
            title,
            [_figure(figures.pop(name), config) for name in wanted_figures if name in figures],
            [_table(tables.pop(name)) for name in wanted_tables if name in tables],
        )
        filled = [table for table in found.tables if table.rows]
        if found.figures or filled:
            yield Section(title, found.figures, filled)


def described(name: str, config: Mapping[str, Any]) -> str:
    """Return a caption, or the methods paragraph, for a configuration, HTML.

    The texts are those of Snakemake's own report: reStructuredText, in which
    ``snakemake.config`` stands for the configuration.
    """
    from docutils.core import publish_parts
    from docutils.writers.html5_polyglot import Writer
    from jinja2 import Template

    path = _captions() / f"{name}.rst"
    if not path.is_file():
        return ""
    template = Template(path.read_text(encoding="utf-8"))
    text = template.render(snakemake=SimpleNamespace(config=config))
    options = {"raw_enabled": False, "file_insertion_enabled": False, "report_level": 4}
    parts = publish_parts(text, writer=Writer(), settings_overrides=options)
    return str(parts["body"])


def _captions() -> Path:
    """Return the folder of captions: in the checkout, or installed with the package."""
    installed = Path(__file__).parent / "captions"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "workflow" / "report"


def _figure(path: Path, config: Mapping[str, Any]) -> ShownFigure:
    caption = described(path.stem, config)
    picture = base64.b64encode(path.read_bytes()).decode()
    text = path.stem.replace("_", " ")
    return ShownFigure(path.name, f"data:image/png;base64,{picture}", caption, text)


def _table(path: Path) -> ShownTable:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        columns = next(reader, [])
        rows = list(islice(reader, _MOST_ROWS))
        n_rows = len(rows) + sum(1 for _ in reader)
    known = TABLES.get(path.name)
    return ShownTable(
        name=path.name,
        about=f"One row per {known.row}. {known.about}".strip().replace("`", "") if known else "",
        columns={
            name: known.meaning(name).replace("`", "") if known and name in known.columns else ""
            for name in columns
        },
        rows=rows,
        entities=[_entities(columns, row) for row in rows],
        n_rows=n_rows,
    )


def _entities(columns: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    """Return the entities of a row; several of one kind are separated by spaces."""
    found: dict[str, list[str]] = {}
    for name, value in zip(columns, row, strict=True):
        if name in _FILTERS and value:
            found.setdefault(_FILTERS[name], []).append(value)
    return {entity: " ".join(dict.fromkeys(values)) for entity, values in found.items()}


def _options(tables: Iterable[ShownTable]) -> dict[str, list[str]]:
    """Return the values that rows can be chosen by, in the order in which tables name them."""
    found: dict[str, dict[str, None]] = {entity: {} for entity in _OPTIONS}
    for table in tables:
        for row in table.entities:
            for entity, values in row.items():
                found[entity].update(dict.fromkeys(values.split()))
    return {entity: list(values) for entity, values in found.items() if len(values) > 1}
