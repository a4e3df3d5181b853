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
from typing import Any

from cortune.artifacts import PathLike, atomic
from cortune.report.columns import TABLES
from cortune.report.opening import opening

Headings = Mapping[str, Sequence[tuple[PathLike, str]]]
"""Tables and figures by heading, each with its caption: reStructuredText, with ``config``."""

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


@dataclass(frozen=True)
class ShownFigure:
    """A figure: its name, picture as a URL, caption (HTML), alternative, and width, inches."""

    name: str
    url: str
    caption: str
    text: str
    inches: float


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
    """What is shown under a heading; `linked` are names and captions of interactive figures."""

    title: str
    figures: list[ShownFigure]
    linked: list[tuple[str, str]]
    tables: list[ShownTable]

    @property
    def anchor(self) -> str:
        """Where links lead."""
        return self.title.lower().replace(" ", "-")


def write_page(path: PathLike, headings: Headings, manifest: Mapping[str, Any]) -> None:
    """Write the page of some tables and figures.

    Parameters
    ----------
    path : path
    headings : mapping of str to sequence of (path, str)
        CSV tables, PNG figures and interactive ones (HTML), which are linked, with their
        captions; other files are passed over.
    manifest : mapping
        Of the run.
    """
    text = render(headings, manifest)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(headings: Headings, manifest: Any) -> str:
    """Return the page of some tables and figures, HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    # In one order, whether it was just made or read.
    manifest = json.loads(json.dumps(manifest, sort_keys=True))
    config = manifest["config"]
    found = list(sections(headings, config))
    tables = {Path(path).name: path for shown in headings.values() for path, _ in shown}
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    methods = (_TEMPLATES / "methods.rst").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((_TEMPLATES / "page.js").read_text(encoding="utf-8")),
        methods=Markup(described(methods, config, scored=_scored(found))),
        opening=opening(tables, config),
        sections=found,
        options=_options(table for section in found for table in section.tables),
        manifest=manifest,
    )


def sections(headings: Headings, config: Mapping[str, Any]) -> Iterable[Section]:
    """Yield what is shown under each heading; one without figures and rows is left out."""
    for title, shown in headings.items():
        paths = [(Path(path), caption) for path, caption in shown]
        figures = [_figure(path, text, config) for path, text in paths if path.suffix == ".png"]
        linked = [
            (path.name, described(text, config)) for path, text in paths if path.suffix == ".html"
        ]
        tables = [_table(path) for path, _ in paths if path.suffix == ".csv"]
        filled = [table for table in tables if table.rows]
        if figures or linked or filled:
            yield Section(title, figures, linked, filled)


def _scored(shown: Iterable[Section]) -> str:
    """Return how many images scored encoding models: a number, or the least and the most."""
    found: set[int] = set()
    for table in (table for section in shown for table in section.tables):
        if table.name == "encoding.csv" and "n_images_scored" in table.columns:
            at = list(table.columns).index("n_images_scored")
            found |= {int(row[at]) for row in table.rows}
    return " to ".join(map(str, sorted({min(found), max(found)}))) if found else ""


def described(text: str, config: Mapping[str, Any], **known: Any) -> str:
    """Return a caption, or the methods paragraph, for a configuration, HTML.

    Parameters
    ----------
    text : str
        reStructuredText, in which ``config`` stands for the configuration.
    config : mapping
    **known
        What else the text names.
    """
    from docutils.core import publish_parts
    from docutils.writers.html5_polyglot import Writer
    from jinja2 import Template

    options = {"raw_enabled": False, "file_insertion_enabled": False, "report_level": 4}
    parts = publish_parts(
        Template(text).render(config=config, **known), writer=Writer(), settings_overrides=options
    )
    return str(parts["body"])


def _figure(path: Path, caption: str, config: Mapping[str, Any]) -> ShownFigure:
    from PIL import Image

    with Image.open(path) as image:
        inches = image.width / float(image.info.get("dpi", (96, 96))[0])
    url = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    text = path.stem.replace("_", " ")
    return ShownFigure(path.name, url, described(caption, config), text, round(inches, 2))


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
