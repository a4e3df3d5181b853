from __future__ import annotations

import base64
import csv
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from example import EXAMPLE
from PIL import Image

from cortune.artifacts import read_json, write_json
from cortune.cli import main
from cortune.config import Config
from cortune.report.columns import TABLES
from cortune.report.page import _MOST_ROWS, _TEMPLATES, described, render, write_page
from cortune.stages import SECTIONS, STAGES
from cortune.stages.publish import headings

ENCODING = [
    ["nsd", "subj01", "lh", "V1v", "untuned", "heldout_cv", "0.31"],
    ["nsd", "subj02", "rh", "PPA", "contrastive", "heldout_cv", "-0.02"],
    ["nsd", "<script>alert(1)</script>", "rh", "PPA", "contrastive", "heldout_cv", ""],
]
COLUMNS = ["dataset", "subject", "hemisphere", "roi", "method", "protocol", "r_mean"]


class Page(HTMLParser):
    """What a page holds: links, anchors, pictures, scripts, and the cells of tables by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.pictures, self.elements = [], [], [], []
        self.tables: dict[str, list[list[str]]] = {}
        self.rows: list[dict[str, str]] = []
        self.table, self.inside = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "details":
            self.table = attributes["id"]
            self.tables[self.table] = []
        elif tag == "a":
            self.links.append(attributes["href"])
        elif tag == "img":
            self.pictures.append(attributes)
        elif tag == "tr" and self.table:
            self.tables[self.table].append([])
            self.rows.append(attributes)
        elif tag in ("td", "th") and self.table:
            self.tables[self.table][-1].append("")
        self.inside = tag

    def handle_endtag(self, tag):
        if tag == "details":
            self.table = ""
        self.inside = ""

    def handle_data(self, data):
        if self.table and self.inside in ("td", "button"):
            self.tables[self.table][-1][-1] += data


def table(path, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


@pytest.fixture
def latest(tmp_path):
    folder = tmp_path / "results" / "latest"
    for name in ("tables", "figures"):
        (folder / name).mkdir(parents=True)
    table(folder / "tables" / "encoding.csv", COLUMNS, ENCODING)
    table(folder / "tables" / "published.csv", list(TABLES["published.csv"].columns), [])
    distances = [[f"a{i}", f"b{i}", str(i)] for i in range(_MOST_ROWS + 7)]
    table(folder / "tables" / "dissimilarity.csv", ["model_a", "model_b", "distance"], distances)
    table(folder / "tables" / "novel.csv", ["x"], [["1"]])
    for name in ("encoding_by_roi", "unheard_of"):
        pixels = np.zeros((4, 6, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "figures" / f"{name}.png")
    config = Config.from_mapping(EXAMPLE).as_dict()
    manifest = {
        "cortune": "0.1.0",
        "libraries": {"numpy": "2.4", "umap-learn": None},
        "config": config,
        "versions": {"encode_roi": "1-0123abcd"},
        "tables": {"encoding.csv": "f" * 64},
        "rules": {"encode_roi": {"jobs": 3, "seconds": 1.5}},
    }
    write_json(folder / "manifest.json", manifest)
    return folder


@pytest.fixture
def page(latest):
    shown = [path for name in ("tables", "figures") for path in (latest / name).iterdir()]
    write_page(latest / "report.html", headings(shown), read_json(latest / "manifest.json"))
    return Page((latest / "report.html").read_text(encoding="utf-8"))


def test_cells_are_those_of_the_tables(page):
    assert page.tables["encoding.csv"] == [COLUMNS, *ENCODING]
    assert "published.csv" not in page.tables, "a table without rows"
    assert "novel.csv" not in page.tables, "a table of no stage"


def test_of_a_long_table_the_first_rows_are_shown_and_it_is_said(page, latest):
    assert len(page.tables["dissimilarity.csv"]) == 1 + _MOST_ROWS
    text = (latest / "report.html").read_text()
    assert f"The first {_MOST_ROWS} of {_MOST_ROWS + 7} rows are shown" in text


def test_every_link_leads_somewhere_and_ids_are_single(page):
    anchors = [link.removeprefix("#") for link in page.links]
    assert set(anchors) <= set(page.ids)
    assert {"encoding", "landscape", "methods", "versions", "time"} <= set(anchors)
    assert len(set(page.ids)) == len(page.ids)


def test_pictures_are_inside_and_described(page):
    assert len(page.pictures) == 1, "the other is of no stage"
    for picture in page.pictures:
        content = base64.b64decode(picture["src"].removeprefix("data:image/png;base64,"))
        assert Image.open(io.BytesIO(content)).size == (6, 4)
        assert picture["alt"]


def test_nothing_is_fetched(page):
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            if tag != "a":
                assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)


def test_rows_and_choices_name_their_entities(page):
    by_subject = [row.get("data-subject") for row in page.rows]
    assert "subj01" in by_subject and "subj02" in by_subject
    selects = [attributes["name"] for tag, attributes in page.elements if tag == "select"]
    assert selects == ["subject", "hemisphere", "roi", "method"]


def test_values_are_text_and_never_markup(latest, page):
    assert "<script>alert" not in (latest / "report.html").read_text()
    assert page.tables["encoding.csv"][3][1] == "<script>alert(1)</script>"


def test_methods_versions_and_hashes_are_those_of_the_run(latest, page):
    text = (latest / "report.html").read_text()
    assert "1-0123abcd" in text and "f" * 64 in text and "numpy 2.4" in text
    config = Config.from_mapping(EXAMPLE)
    text_of_methods = (_TEMPLATES / "methods.rst").read_text()
    methods = described(text_of_methods, read_json(latest / "manifest.json")["config"])
    assert methods in text
    assert f"{config.encoding.n_components} principal components" in methods
    assert f"{config.contrastive.epochs} epochs" in methods.replace("\n", " ")
    assert "from 10^-1 to 10^7 (" in methods.replace("\n", " ")


@pytest.mark.parametrize("methods", [["untuned"], ["untuned", "contrastive"]])
def test_gains_are_shown_only_where_networks_were_tuned(latest, methods):
    columns = [*COLUMNS, "n_images_fit", "ceiling_r_mean"]
    rows = [
        ["nsd", "s", "lh", "V1v", method, "heldout_cv", "0.3", "9", "0.8"] for method in methods
    ]
    table(latest / "tables" / "encoding.csv", columns, rows)
    manifest = read_json(latest / "manifest.json")
    manifest["config"]["tuning"]["methods"] = methods
    shown = headings([latest / "tables" / "encoding.csv"])
    tuned = len(methods) > 1
    text = " ".join(render(shown, manifest).split())
    assert ("gain over untuned, mean" in text) == tuned
    assert ("Networks were tuned on data set nsd" in text) == tuned
    assert ("The untuned network was evaluated on data set nsd" in text) != tuned
    answer = text.partition('<section id="answer">')[2].partition("</table>")[0]
    assert answer.count("<th ") - len(methods) == 3 + tuned
    assert answer.count("<td>") == (2 + tuned) * len(methods)


def test_every_caption_is_plain_text_of_a_figure():
    config = Config.from_mapping(EXAMPLE).as_dict()
    captions = {out.path: out.caption for stage in STAGES.values() for out in stage.shown}
    drawn = {
        name: caption for name, caption in captions.items() if name.endswith((".png", ".html"))
    }
    assert len(drawn) > 15 and not any(captions[name] for name in captions.keys() - drawn.keys())
    for name, caption in drawn.items():
        text = described(caption, config)
        assert text.startswith("<p>") and "system-message" not in text and "{{" not in text, name


def test_headings_come_in_the_order_that_is_declared():
    names = [out.path for stage in STAGES.values() for out in stage.shown]
    found = headings([f"results/latest/tables/{name}" for name in reversed(names)])
    assert tuple(found)[: len(SECTIONS)] == SECTIONS
    assert sorted(path.rsplit("/", 1)[1] for each in found.values() for path, _ in each) == sorted(
        names
    )
    assert set(headings([])) == set(SECTIONS) and not any(headings([]).values())


def test_the_command_writes_the_page_again(latest, capsys, tmp_path):
    assert main(["report", "--results", str(latest.parent)]) == 0
    assert (latest / "report.html").is_file()
    assert main(["report", "--results", str(tmp_path / "none")]) == 1
    assert "no complete run" in capsys.readouterr().err
