"""What is public: finished runs, encoders, their features and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.address import Address
from cortune.artifacts import PathLike, read_json
from cortune.data.problems import nearest
from cortune.errors import InputError
from cortune.tuning.methods import UNTUNED

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from cortune.export.encoder import Encoder, Pictures
    from cortune.networks.store import SavedNetwork


class Run:
    """A finished run: its tables, networks and encoders.

    Parameters
    ----------
    results : path
        Folder of the results, the one that holds ``latest``, or ``latest`` itself.

    Raises
    ------
    InputError
        If no run was completed there.
    """

    def __init__(self, results: PathLike = "results") -> None:
        self.results = _results(Path(results))
        manifest = self.results / "latest" / "manifest.json"
        if not manifest.is_file():
            raise InputError(
                self.results,
                "no complete run",
                "a folder with latest/manifest.json",
                "Run `snakemake --cores all`, or name another folder.",
            )
        self.manifest: dict[str, Any] = read_json(manifest)

    def __repr__(self) -> str:
        return f"<Run in {self.results}: {', '.join(self.tables)}>"

    @property
    def tables(self) -> list[str]:
        """Names of the tables."""
        folder = self.results / "latest" / "tables"
        return sorted(path.stem for path in folder.iterdir() if path.suffix != ".json")

    def table(self, name: str) -> pd.DataFrame:
        """Return a table as a data frame.

        Parameters
        ----------
        name : str
            Such as ``encoding``; see the reference of tables.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        import pandas as pd

        if name not in self.tables:
            cure = nearest(name, self.tables) or "Correct the name."
            raise InputError(self.results, f"no table {name!r}", ", ".join(self.tables), cure)
        path = self.results / "latest" / "tables" / name
        csv = path.with_suffix(".csv")
        return pd.read_csv(csv) if csv.is_file() else pd.read_parquet(path.with_suffix(".parquet"))

    @property
    def networks(self) -> pd.DataFrame:
        """A row for each network: dataset, subject, hemisphere, roi, method, replicate, file."""
        return _frame(self._found("network.safetensors"))

    @property
    def encoders(self) -> pd.DataFrame:
        """A row for each encoder (`export` in the configuration), as in :attr:`networks`."""
        return _frame(self._found("encoder.safetensors"))

    def network(self, **address: str) -> SavedNetwork:
        """Return a network: its ``backbone``, and the images that it was tuned on.

        Parameters
        ----------
        **address : str
            ``method``, and as far as networks of it differ ``subject``, ``hemisphere``, ``roi``,
            ``replicate``.

        Raises
        ------
        InputError
            If there is no such network, or more than one.
        """
        from cortune.networks.store import load_network

        # Of an adapted network there is only its difference from the untuned one.
        known = self._found("network.safetensors")
        base = next((path for path, place in known.items() if not place.method), None)
        return load_network(self._one("network.safetensors", address), base)

    def encoder(self, **address: str) -> Encoder:
        """Return an encoder of the run.

        Parameters
        ----------
        **address : str
            As for :meth:`network`; that of the untuned network serves all ROIs of a subject.

        Raises
        ------
        InputError
            If there is no such encoder, or more than one.
        """
        from cortune.export.encoder import Encoder

        return Encoder(self._one("encoder.safetensors", address).parent)

    def _found(self, name: str) -> dict[Path, Address]:
        """Return the files of a name in the versions of the run, with their addresses."""
        stages: dict[str, str | list[str]] = self.manifest["versions"]
        return {
            path: Address.parse(str(path.relative_to(self.results)))
            for stage, versions in stages.items()
            for version in ([versions] if isinstance(versions, str) else versions)
            for path in sorted((self.results / stage / version).rglob(name))
        }

    def _one(self, name: str, wanted: dict[str, str]) -> Path:
        known = {path: _label(place) for path, place in self._found(name).items()}
        found = [
            path
            for path, label in known.items()
            if all(label.get(key) in (value, "") for key, value in wanted.items())
            and label["method"] == wanted.get("method", label["method"])
        ]
        if len(found) != 1:
            some = [" ".join(filter(None, known[path].values())) for path in (found or known)]
            raise InputError(
                self.results,
                f"{len(found)} of {' '.join(wanted.values()) or 'no address'}",
                f"one {name}: there are {'; '.join(some[:8]) or 'none'}",
                "Name method, subject, hemisphere, roi and replicate as far as they differ.",
            )
        return found[0]


def _results(given: Path) -> Path:
    """Return the folder of the results, also where ``latest`` in it was given."""
    folder = given.absolute()  # "." has neither name nor parent
    is_latest = folder.name == "latest" and (folder / "manifest.json").is_file()
    return folder.parent if is_latest else given


def _label(place: Address) -> dict[str, str]:
    return {**place.label, "method": place.method or UNTUNED}


def _frame(found: dict[Path, Address]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([{**_label(place), "file": str(path)} for path, place in found.items()])


def open_run(results: PathLike = "results") -> Run:
    """Open a finished run.

    Parameters
    ----------
    results : path
        Folder of the results, the one that holds ``latest``, or ``latest`` itself.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If no run was completed there.
    """
    return Run(results)


def load(source: PathLike) -> Encoder:
    """Load an encoder.

    Parameters
    ----------
    source : path or str
        A folder that ``cortune export`` wrote, the folder of an encoder among results, or the
        name of a repository of the Hugging Face hub, ``owner/name``, which is downloaded.

    Returns
    -------
    Encoder

    Raises
    ------
    InputError
        If there is none, or it is damaged or of another version.
    """
    from cortune.export.encoder import Encoder
    from cortune.export.hub import fetched

    return Encoder(source if Path(source).is_dir() else fetched(source))


def features(
    model: Encoder | PathLike,
    pictures: Pictures,
    layers: Sequence[str] | None = None,
    **options: Any,
) -> dict[str, NDArray[np.float32]]:
    """Return the features of pictures by layer.

    Parameters
    ----------
    model : Encoder, or what :func:`load` takes
    pictures : path, sequence of paths, or array (n, s, s, 3) uint8
        A folder, picture files, or pictures at the network's input size.
    layers : sequence of str, optional
        Default is those that the encoder's maps use.
    **options
        ``device``, ``batch_size``, ``workers``, ``progress``: see :meth:`Encoder.predict`.

    Returns
    -------
    dict of str to ndarray of shape (n_pictures, n_features), float32
    """
    return _loaded(model).features(pictures, layers, **options)


def predict(model: Encoder | PathLike, pictures: Pictures, **options: Any) -> NDArray[np.float32]:
    """Predict the responses to pictures.

    Parameters
    ----------
    model : Encoder, or what :func:`load` takes
    pictures : path, sequence of paths, or array (n, s, s, 3) uint8
        A folder, picture files, or pictures at the network's input size.
    **options
        ``device``, ``batch_size``, ``workers``, ``progress``: see :meth:`Encoder.predict`.

    Returns
    -------
    ndarray of shape (n_pictures, n_voxels), float32
        In the units of the responses fitted; what its columns are, ``load(model).columns`` says.
    """
    return _loaded(model).predict(pictures, **options)


def _loaded(model: Encoder | PathLike) -> Encoder:
    from cortune.export.encoder import Encoder

    return model if isinstance(model, Encoder) else load(model)
