"""The documentation: it builds without a warning, reads without a connection, links to what is."""

from __future__ import annotations

import logging
import re

import pytest

PAGES = ["index", "tutorial", "own-data", "troubleshooting", "method", "reference/tables"]


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
