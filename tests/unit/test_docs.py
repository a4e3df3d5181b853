"""The documentation: it builds without a warning, reads without a connection, says what is."""

from __future__ import annotations

import logging
import re

import pytest

from cortune import fingerprints
from cortune.address import Address
from cortune.reference.document import placed
from cortune.stages import STAGES

PAGES = [
    "index",
    "tutorial",
    "own-data",
    "troubleshooting",
    "architecture",
    "extending",
    "method",
    "reference/tables",
]


@pytest.fixture(scope="module")
def site(repository, tmp_path_factory):
    for name in ("mkdocs", "material", "latex2mathml"):
        pytest.importorskip(name, reason=f"{name} is not installed (pip install '.[docs]')")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(repository / "mkdocs.yml"), strict=True, site_dir=str(folder))
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    build(config)  # ends with an error after any warning
    return folder


def page(site, name):
    path = site / "index.html" if name == "index" else site / name / "index.html"
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_pages_load_nothing_from_elsewhere(site, name):
    loaded = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(https?:[^"]+)"', page(site, name))
    assert [url for url in loaded if "canonical" not in url] == []


def test_equations_need_no_script(site):
    html = page(site, "method")
    assert html.count("<math") > 20
    assert "arithmatex" not in html and r"\frac" not in html


@pytest.mark.parametrize("name", ["README.md", "results/README.md", "config/README.md"])
def test_links_of_readmes_lead_to_files(repository, name):
    path = repository / name
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert not [link for link in local if not (path.parent / link).exists()]


def test_the_path_that_shows_what_an_address_is_has_the_form_of_its_stage(repository):
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^results/encode_roi/[^/]+/(.+)$", page, flags=re.MULTILINE)
    stage = STAGES["encode_roi"]
    assert example == placed(stage, stage.outputs["encoding"]).format(
        **vars(Address.parse(example))
    )


def test_what_fingerprints_read_is_said_as_it_is(repository):
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert f"Files of up to {fingerprints.WHOLE >> 20} MB are read whole" in page
    assert f"{fingerprints.BLOCKS} blocks of {fingerprints.BLOCK >> 10} KiB" in page


def test_both_tables_of_files_per_addition_agree(repository):
    files = []
    for name in ("extending", "architecture"):
        page = (repository / "docs" / f"{name}.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (.+?) \| (\d)(?: each)? \|", page, flags=re.MULTILINE)
        names = [(kind, number) for kinds, number in rows for kind in kinds.split(", ")]
        files.append(
            {
                re.sub(r"[\[\]]|\(.*?\)", "", kind)
                .split(" of ")[0]
                .split(" with ")[0]
                .strip(): number
                for kind, number in names
            }
        )
    assert files[0] == files[1]


def test_no_page_speaks_of_what_is_gone(repository):
    pages = [repository / "README.md", *(repository / "docs").rglob("*.md")]
    for page in [*pages, repository / "results" / "README.md"]:
        text = page.read_text(encoding="utf-8")
        assert "snakemake --report" not in text, page
        assert "cortune.versions.STAGES" not in text, page
