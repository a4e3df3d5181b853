"""Which encoders of a run are exported, and where to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cortune.address import ALL, Address
from cortune.artifacts import PathLike
from cortune.errors import InputError
from cortune.export.brainscore import plugin_folder
from cortune.export.encoder import Encoder
from cortune.export.hub import export_folder
from cortune.export.hub import push as upload
from cortune.stages.export import exported, units

if TYPE_CHECKING:
    from cortune.project import Project


def finished(project: Project, wanted: Mapping[str, str]) -> dict[Address, Path]:
    """Return the folders of a project's encoders whose addresses have some entities.

    Raises
    ------
    InputError
        If the configuration asks for none, none is wanted, or one is not there yet.
    """
    known = list(exported(project, Address()))
    if not known:
        raise InputError(
            "export", "nothing", "methods whose encoders are made", "Add it to the configuration."
        )
    found = [
        each
        for each in known
        if all(getattr(each, key) in (value, ALL) for key, value in wanted.items())
    ]
    if not found:
        asked = " ".join(wanted.values())
        models = "; ".join(each.model for each in known[:8])
        raise InputError(
            "export", f"no encoder of {asked}", f"one of {models}", "Correct the name."
        )
    paths = {each: Path(project.path("export_encoder", "config", each)) for each in found}
    for path in paths.values():
        if not path.is_file():
            raise InputError(
                path, "no file", "the encoder of a finished run", "Run `snakemake --cores all`."
            )
    return {each: path.parent for each, path in paths.items()}


def export_all(
    project: Project, out: Path, wanted: Mapping[str, str], *, form: str, push: str | None = None
) -> list[PathLike]:
    """Write encoders of a finished run for other places.

    Parameters
    ----------
    project : Project
    out : Path
        Folder: that of the encoder if one is meant by `wanted`, else of a folder for each.
    wanted : mapping
        Entities of the addresses that are meant.
    form : {"hub", "brainscore"}
    push : str, optional
        Repository of the hub that the one folder is uploaded to.

    Returns
    -------
    list of path
        What was written, and the address of the upload.

    Raises
    ------
    InputError
        If there is no such encoder, or `push` is given and there are several.
    """
    folders = finished(project, wanted)
    if push and (form != "hub" or len(folders) > 1):
        models = "; ".join(each.model for each in folders)
        raise InputError(
            "--push", models, "one encoder in a folder of the hub", "Name its subject, method, ROI."
        )
    written: list[PathLike] = []
    rois = [wanted["roi"]] if "roi" in wanted else None
    for place, made in folders.items():
        encoder = Encoder(made).only(hemisphere=wanted.get("hemisphere"), rois=rois)
        own = place.own
        parts = [own[key] for key in ("method", "subject", "hemisphere", "roi") if key in own]
        name = "-".join(parts)
        folder = out if len(folders) == 1 else out / name
        if form == "brainscore":
            network = encoder.saved.name.replace("/", "_")
            written.append(plugin_folder(encoder, folder, f"cortune_{network}_{name}"))
        else:
            layout = project.config.datasets[place.dataset].layout
            simulated = _is_simulated(project, place)
            written.append(export_folder(encoder, folder, layout=layout, simulated=simulated))
    if push:
        written.append(upload(written[0], push))
    return written


def _is_simulated(project: Project, encoder: Address) -> bool:
    """Return whether an encoder predicts a simulated subject, as far as raw data are at hand."""
    from cortune.simulate import is_simulated

    dataset = project.config.datasets[encoder.dataset]
    if dataset.root is None:
        return dataset.simulate is not None
    subjects = {unit.subject for unit in units(project, encoder)}
    root = Path(dataset.root).expanduser()
    return any(is_simulated(dataset.layout, root, subject) for subject in subjects)
