"""Screenshots of a report by headless Chromium, written beside this file.

``python docs/screenshots.py results/latest/report.html``
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=8000",
    "--window-size=1400,850",
)
# One section, from its top: a page that is scrolled to an anchor is not drawn before it is caught.
ALONE = "<style>main > section:not(#{section}), h1 {{display: none}}</style>"


@dataclass(frozen=True)
class Shot:
    """A section of the report, with the rows chosen by a query."""

    name: str
    section: str
    query: str = ""


SHOTS = (
    Shot("report_encoding", "encoding"),
    Shot("report_cortex", "cortex"),
    Shot("report_lateralization", "lateralization"),
)


def browser() -> str:
    """Return the path of Chromium."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    sys.exit(f"found none of {', '.join(BROWSERS)}; expected one on the PATH. Install chromium.")


def take(report: Path, shot: Shot, folder: Path) -> Path:
    """Open the report in a browser of its own and save what it shows."""
    with tempfile.TemporaryDirectory() as scratch:
        page, picture = Path(scratch) / "report.html", Path(scratch) / "shot.png"
        text = report.read_text(encoding="utf-8")
        alone = ALONE.format(section=shot.section)
        page.write_text(text.replace("</head>", f"{alone}</head>"), encoding="utf-8")
        command = [browser(), *FLAGS, f"--user-data-dir={scratch}/profile"]
        command += [f"--screenshot={picture}", page.as_uri() + shot.query]
        environment = os.environ | {"HOME": scratch}
        subprocess.run(command, check=True, capture_output=True, timeout=180, env=environment)
        path = folder / f"{shot.name}.png"
        shown = Image.open(picture).convert("RGB")
        # Coverage keeps small patches of colour, such as those of legends.
        shown.quantize(256, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
    return path


if __name__ == "__main__":
    for shot in SHOTS:
        print(take(Path(sys.argv[1]), shot, Path(__file__).parent))
