"""A project of one's own: the workflow's Snakefile, configuration and profiles in a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from cortune.artifacts import PathLike
from cortune.errors import InputError

_PACKAGED = Path(__file__).parent / "workflow_files"
_SNAKEFILE = """\
# A project of its own: the workflow is that of the installed package, configuration and profiles
# are here. Run `snakemake --cores all`; config/README.md lists every key.
from cortune.initial import workflow_folder


include: str(workflow_folder() / "Snakefile")


workflow.default_target = "all"  # an included file has no say in it
"""


def workflow_folder() -> Path:
    """Return the folder of the workflow's Snakefile: inside the wheel, or the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parents[2]


def init(folder: PathLike) -> list[Path]:
    """Lay out a project: Snakefile, config and profiles.

    Parameters
    ----------
    folder : path
        New, or without any of these.

    Returns
    -------
    list of Path
        What was made.

    Raises
    ------
    InputError
        If one of them is there already; nothing is changed then.
    """
    target, source = Path(folder), workflow_folder()
    made = [target / name for name in ("Snakefile", "config", "profiles")]
    if there := [path for path in made if path.exists()]:
        raise InputError(
            there[0], "something there already", "a new folder", "Name another folder."
        )
    target.mkdir(parents=True, exist_ok=True)
    for name in ("config", "profiles"):
        shutil.copytree(source / name, target / name)
    (target / "Snakefile").write_text(_SNAKEFILE, encoding="utf-8")
    return made
