"""Submissions to the Algonauts 2023 challenge: responses to its test pictures, of every vertex.

Each vertex is predicted by the encoder whose network predicts it best in cross-validation.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cortune.address import Address
from cortune.artifacts import PathLike, atomic
from cortune.data.algonauts import AlgonautsReader
from cortune.data.npy import load_array
from cortune.data.rois import HEMISPHERES
from cortune.encoding.results import read_encoding
from cortune.errors import InputError
from cortune.export.encoder import Encoder
from cortune.export.hub import check_target
from cortune.exports import finished
from cortune.stages.export import units

if TYPE_CHECKING:
    from cortune.project import Project

FOLDER, ZIP, CHOICES = "algonauts_2023_challenge_submission", "submission.zip", "networks.csv"
SUBJECTS = 8
# Protocols whose scores are of images that no network saw, and then any other.
_UNTOUCHED = ("heldout_cv", "fit_test")
Array = NDArray[Any]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A unit of an encoder: the vertices that it could predict, and how well each."""

    encoder: Address
    unit: Address
    protocol: str
    vertices: Array
    r: Array


def write_submission(project: Project, out: PathLike, wanted: Mapping[str, str]) -> list[Path]:
    """Predict the responses to the challenge's test pictures, and zip them as it takes them.

    Parameters
    ----------
    project : Project
        A finished run, whose encoders together cover every vertex of a subject.
    out : path
        Folder to write: ``subj01/lh_pred_test.npy`` and so on, float32 of shape (n_pictures,
        n_vertices); all of them in ``submission.zip``; and ``networks.csv``, which says what
        predicts which vertices.
    wanted : mapping
        Entities of the encoders to choose from, such as a method; all if empty.

    Returns
    -------
    list of Path
        The zip and the table.

    Raises
    ------
    InputError
        If the data set is of another layout, test pictures are missing, or encoders are or do
        not cover a vertex.
    ResourceError
        If the disk is too full.
    """
    import pandas as pd

    target, dataset = Path(out), project.dataset
    reader = project.reader(dataset)
    if not isinstance(reader, AlgonautsReader):
        raise InputError(
            f"datasets.{dataset}.layout",
            project.config.datasets[dataset].layout,
            "algonauts2023, which has the challenge's test pictures",
            "Export another run, or another form.",
        )
    folders = finished(project, wanted)
    subjects = [s for s in project.subjects(dataset) if wanted.get("subject") in (None, s)]
    check_target(target, {*map(reader.subject, range(1, SUBJECTS + 1)), ZIP, CHOICES})
    pictures = {subject: reader.test_pictures(subject) for subject in subjects}
    chosen = {subject: _choose(project, reader, [*folders], subject) for subject in subjects}
    shapes = {
        f"{subject}/{side}_pred_test.npy": (len(pictures[subject]), len(owners))
        for subject in subjects
        for side, owners in chosen[subject][1].items()
    }
    needs = 8 * sum(rows * columns for rows, columns in shapes.values())
    with atomic(target, needs=needs) as folder:
        rows: list[dict[str, Any]] = []
        for subject in subjects:
            (folder / subject).mkdir(parents=True)
            candidates, owners = chosen[subject]
            values = _predict(project, folders, candidates, owners, pictures[subject])
            for side, array in values.items():
                np.save(folder / subject / f"{side}_pred_test.npy", array)
            rows += _stated(subject, candidates, owners, folders)
        pd.DataFrame(rows).to_csv(folder / CHOICES, index=False, float_format="%.4f")
        check_files(folder, shapes)
        with zipfile.ZipFile(folder / ZIP, "w") as packed:
            for name in shapes:
                info = zipfile.ZipInfo(f"{FOLDER}/{name}")  # without the time
                packed.writestr(info, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
    if len(subjects) < SUBJECTS:
        logger.warning(
            "The challenge takes all of its %d subjects; this has %s.",
            SUBJECTS,
            ", ".join(subjects),
        )
    return [target / ZIP, target / CHOICES]


def check_files(folder: Path, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Require the files of a submission, with their shapes and type, and finite values.

    Parameters
    ----------
    folder : Path
    shapes : mapping of str to tuple of int
        (n_pictures, n_vertices) of each file.

    Raises
    ------
    InputError
        Naming the file that does not fit.
    """
    cure = "Run the workflow again, and write the submission again."
    found = {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
    if found != shapes.keys():
        odd = ", ".join(sorted(found ^ shapes.keys()))
        raise InputError(folder, f"other files than those asked for ({odd})", "just these", cure)
    for name, shape in shapes.items():
        array = load_array(folder / name, kind="float", ndim=2)
        if array.shape != shape or array.dtype != np.float32:
            said = f"{array.dtype} of shape {array.shape}"
            raise InputError(folder / name, said, f"float32 of shape {shape}", cure)
        if not np.isfinite(array).all():
            bad = int(np.count_nonzero(~np.isfinite(array)))
            raise InputError(folder / name, f"{bad} values not finite", "finite values", cure)


def _choose(
    project: Project, reader: AlgonautsReader, encoders: Sequence[Address], subject: str
) -> tuple[list[_Candidate], dict[str, Array]]:
    """Return what could predict a subject, and which of it does for each vertex."""
    candidates = [
        _candidate(project, encoder, unit)
        for encoder in encoders
        for unit in units(project, encoder)
        if unit.subject == subject
    ]
    owners = {}
    for side in HEMISPHERES:
        n = reader.n_vertices(subject, side)
        best, owner = np.full(n, -np.inf), np.full(n, -1)
        for number, each in enumerate(candidates):
            if each.unit.hemisphere == side:
                better = each.r > best[each.vertices]
                best[each.vertices[better]] = each.r[better]
                owner[each.vertices[better]] = number
        if missing := int((owner < 0).sum()):
            raise InputError(
                "export",
                f"no encoder of {missing} of the {n} vertices of {subject} {side}",
                "an encoder of every vertex that the challenge scores",
                f"Add `whole` to datasets.{project.dataset}.rois, and a method that serves it "
                "(untuned, joint, regression) to export.methods.",
            )
        owners[side] = owner
    return candidates, owners


def _candidate(project: Project, encoder: Address, unit: Address) -> _Candidate:
    """Return a unit with its cross-validated r, below any other where there is none."""
    found = read_encoding(project.path("encode_roi", "encoding", unit))
    order = (*_UNTOUCHED, *project.config.encoding.protocols)
    protocol = next(name for name in order if name in found)
    scored = found[protocol]
    r = np.nan_to_num(scored.r, nan=-1.0)
    return _Candidate(encoder, unit, protocol, scored.vertices, r)


def _predict(
    project: Project,
    folders: Mapping[Address, Path],
    candidates: Sequence[_Candidate],
    owners: Mapping[str, Array],
    pictures: Sequence[Path],
) -> dict[str, NDArray[np.float32]]:
    """Return the responses of both hemispheres, each vertex by its encoder."""
    shapes = {side: (len(pictures), len(owner)) for side, owner in owners.items()}
    values = {side: np.full(shape, np.nan, np.float32) for side, shape in shapes.items()}
    numbers = {(c.encoder, c.unit.hemisphere, c.unit.roi): n for n, c in enumerate(candidates)}
    used = {int(number) for owner in owners.values() for number in np.unique(owner)}
    for place in dict.fromkeys(candidates[number].encoder for number in sorted(used)):
        own = [candidates[number].unit for number in used if candidates[number].encoder == place]
        encoder = Encoder(folders[place]).only(rois={unit.roi for unit in own})
        predicted = encoder.predict(pictures, device=project.config.device, progress=True)
        for (side, roi), columns in encoder.columns.groupby(["hemisphere", "roi"]):
            kept = columns[owners[side][columns["vertex"]] == numbers[place, side, roi]]
            values[side][:, kept["vertex"]] = predicted[:, kept.index]
    return values


def _stated(
    subject: str,
    candidates: Sequence[_Candidate],
    owners: Mapping[str, Array],
    folders: Mapping[Address, Path],
) -> list[dict[str, Any]]:
    """Return what predicts which vertices, a row for each unit that predicts any."""
    rows = []
    for number, each in enumerate(candidates):
        own = owners[each.unit.hemisphere][each.vertices] == number
        if own.any():
            rows.append(
                {
                    "subject": subject,
                    "hemisphere": each.unit.hemisphere,
                    "roi": each.unit.roi,
                    "method": each.unit.method,
                    "n_vertices": int(own.sum()),
                    "n_in_roi": len(own),
                    "r_mean": float(each.r[own].mean()),
                    "protocol": each.protocol,
                    "encoder": str(folders[each.encoder]),
                }
            )
    return rows
