"""The report of a run in a real browser: headless Chromium, without a connection."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape

import numpy as np
import pytest

from cortune.report.interactive import interactive_page
from cortune.report.surfaces import SIDES

pytestmark = pytest.mark.workflow
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
# Does what a reader would, and writes down what is seen.
READER = """
<script>
window.addEventListener("load", () => {
  const cells = (id, column) => [...document.getElementById(id).querySelectorAll("tbody tr")]
    .filter(row => !row.hidden).map(row => row.cells[column].textContent);
  const head = (id, name) => [...document.getElementById(id).querySelectorAll("th")]
    .findIndex(head => head.textContent === name);
  const click = (id, column) =>
    document.getElementById(id).querySelectorAll("th button")[column].click();
  const choose = (name, value) => {
    const select = document.querySelector(`select[name=${name}]`);
    select.value = value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const found = {};
  found.pictures = [...document.images].map(one => [one.alt, one.complete && one.naturalWidth]);
  const id = "encoding.csv";
  const [r, subject, roi] = ["r_mean", "subject", "roi"].map(name => head(id, name));
  found.before = cells(id, r);
  click(id, r);
  found.ascending = cells(id, r);
  click(id, r);
  found.descending = cells(id, r);
  found.subjects = cells(id, subject);
  choose("subject", "subj02");
  found.chosen = cells(id, subject);
  found.count = document.querySelector(`[id="${id}"] .count`).textContent;
  found.address = location.search;
  document.querySelector("#filters button").click();
  setTimeout(() => {
    found.all = cells(id, subject);
    const seen = document.createElement("pre");
    seen.id = "found";
    seen.textContent = JSON.stringify(found);
    document.body.append(seen);
  }, 100);
});
</script>
"""


# Moves the pointer over both hemispheres, and presses what there is to press.
POINTER = """
<script>
window.addEventListener("load", async () => {
  const plot = document.getElementById("cortex"), found = { notes: [], views: [] };
  const wait = time => new Promise(done => setTimeout(done, time));
  const press = async (menu, label) => {
    const all = plot.layout.updatemenus[menu].buttons;
    await Plotly.update(plot, ...all.find(button => button.label === label).args);
    await wait(200);
  };
  const sweep = async scene => {
    const canvas = document.querySelector(`#${scene} canvas`), box = canvas.getBoundingClientRect();
    for (const share of [.25, .4, .6, .75]) {
      const before = found.notes.length;
      // Software draws slowly: the pointer stays until something is picked, if anything is there.
      for (let k = 0; k < 8 && found.notes.length === before; k++) {
        canvas.dispatchEvent(new MouseEvent("mousemove", { bubbles: true,
          clientX: box.x + box.width * share + k % 3, clientY: box.y + box.height / 2 }));
        await wait(150);
      }
    }
  };
  plot.on("plotly_hover", event => found.notes.push(event.points[0].text));
  await wait(1000);
  for (let k = 0; k < 8 && new Set(found.notes).size < 2; k++) await sweep("scene");
  await press(0, "noise ceiling (r)");
  found.bar = plot.layout.coloraxis.colorbar.title.text;
  await press(1, "flat");
  found.visible = plot.data.map(trace => trace.visible);
  await sweep("scene2");
  const seen = document.createElement("pre");
  seen.id = "found";
  seen.textContent = JSON.stringify(found);
  document.body.append(seen);
});
</script>
"""


def browse(page, tmp_path):
    """Return what a browser makes of a page, and what it wrote to the console."""
    options = (
        *("--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", "--no-first-run", "--dump-dom"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--enable-logging=stderr", "--virtual-time-budget=60000", "--window-size=1400,900"),
        f"--user-data-dir={tmp_path / 'profile'}",
    )
    done = subprocess.run(
        [CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, timeout=120
    )
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_the_report_works_in_a_browser(tiny, tmp_path):
    text = (tiny.folder / "results" / "latest" / "report.html").read_text()
    page = tmp_path / "report.html"
    page.write_text(text.replace("</body>", READER + "</body>"))
    dom, console = browse(page, tmp_path)
    assert console == []
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', dom)[1])
    figures = list((tiny.folder / "results" / "latest" / "figures").glob("*.png"))
    assert len(found["pictures"]) == len(figures) > 10
    assert all(width for _, width in found["pictures"])
    for link in re.findall(r'href="(figures/[^"]*)"', text):
        assert (tiny.folder / "results" / "latest" / link).stat().st_size < 15e6
    assert 'href="figures/cortex.html"' in text

    before, ascending, descending = (
        [float(value) for value in found[key]] for key in ("before", "ascending", "descending")
    )
    assert before != ascending == sorted(before) and descending == sorted(before, reverse=True)
    assert found["chosen"] == ["subj02"] * found["subjects"].count("subj02") != []
    assert len(found["subjects"]) > len(found["chosen"])
    expected = f"{len(found['chosen'])} of {len(found['subjects'])} rows"
    assert found["count"] == expected and found["address"] == "?subject=subj02"
    assert sorted(found["all"]) == sorted(found["subjects"])


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_the_cortex_turns_and_names_what_is_under_the_pointer(tmp_path):
    maps = {
        "r, contrastive": {side: np.full(10_242, 0.25) for side in SIDES},
        "noise ceiling (r)": {side: np.full(10_242, 0.5) for side in SIDES},
    }
    from nilearn.datasets import load_fsaverage

    # The pointer goes from front to back.
    mesh = load_fsaverage("fsaverage5")["inflated"].parts["left"]
    rois = {side: {"V1v": np.flatnonzero(mesh.coordinates[:, 1] < 0)} for side in SIDES}
    text = interactive_page(maps, rois, "maps")
    page = tmp_path / "cortex.html"
    page.write_text(text.replace("</body>", POINTER + "</body>"))
    dom, console = browse(page, tmp_path)
    assert [line for line in console if "willReadFrequently" not in line] == []
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', unescape(dom))[1])
    values = "<br>r: 0.250<br>noise ceiling (r): 0.500"
    assert set(found["notes"]) == {f"V1v{values}", f"outside the ROIs{values}"}
    assert found["bar"] == "noise ceiling (r)"
    assert found["visible"][:4] == found["visible"][4:8] == [False, False, True, True]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_the_browser_test_sees_errors_and_missing_pictures(tmp_path):
    page = tmp_path / "broken.html"
    page.write_text('<img src="none.png"><script>absent()</script>')
    _, console = browse(page, tmp_path)
    assert any("absent is not defined" in line for line in console)
