"""Data sets: where they are, whom and what they hold."""

from __future__ import annotations

from pathlib import Path

from cortune.config import Config
from cortune.data.readers import Reader, open_dataset
from cortune.errors import InputError
from cortune.project.records import SHARED
from cortune.simulate.grayordinates import nod_roi_sizes
from cortune.simulate.layout import roi_sizes
from cortune.simulate.nod_spec import NodSpec
from cortune.simulate.spec import SimulationSpec
from cortune.versions import Versions, entity_path


class DataSets:
    """Data sets of a configuration, and the paths of what is made of them."""

    def __init__(self, config: Config, results: str = "results") -> None:
        self.config = config
        self.results = results
        self.versions = Versions(config.as_dict())
        self._sizes: dict[tuple[str, str, str], dict[str, int]] = {}
        self._readers: dict[str, Reader] = {}

    @property
    def dataset(self) -> str:
        """Name of the data set that networks are tuned on."""
        return self.config.tuning.dataset

    def root(self, dataset: str) -> Path:
        """Return the folder of a data set, where the simulator writes it or as configured."""
        settings = self.config.datasets[dataset]
        if settings.root is not None:
            return Path(settings.root).expanduser()
        return Path(self.path("simulate_dataset", settings.layout, dataset=dataset))

    def simulated(self, dataset: str, subject: str) -> list[str]:
        """Return the records of what the simulator writes for a subject; [] for real data."""
        settings = self.config.datasets[dataset]
        if settings.simulate is None:
            return []
        names = [subject] if settings.layout == "algonauts2023" else [subject, SHARED]
        return [
            self.path("simulate_dataset", f"{settings.layout}-{name}.json", dataset=dataset)
            for name in names
        ]

    def reader(self, dataset: str) -> Reader:
        """Return the reader of a data set's layout."""
        if dataset not in self._readers:
            settings = self.config.datasets[dataset]
            self._readers[dataset] = open_dataset(
                settings.layout, self.root(dataset), **settings.reader_options()
            )
        return self._readers[dataset]

    def simulation(self, dataset: str) -> SimulationSpec | NodSpec | None:
        """Return the simulator's specification of a data set, or None for real data."""
        settings = self.config.datasets[dataset]
        if settings.simulate is None:
            return None
        kind = NodSpec if settings.layout == "nod" else SimulationSpec
        return kind.from_mapping(settings.simulate)

    def subjects(self, dataset: str) -> list[str]:
        """Return the subjects to analyse."""
        wanted = self.config.datasets[dataset].subjects
        return self.reader(dataset).subjects() if wanted == "all" else list(wanted)

    def roi_sizes(self, dataset: str, subject: str, hemisphere: str) -> dict[str, int]:
        """Return the number of vertices of every ROI, before any job has run."""
        key = (dataset, subject, hemisphere)
        if key not in self._sizes:
            spec = self.simulation(dataset)
            if spec is None:
                sizes = self.reader(dataset).roi_sizes(subject, hemisphere)
            elif isinstance(spec, NodSpec):
                sizes = nod_roi_sizes(hemisphere, self.config.datasets[dataset].top_vertices)
            else:
                sizes = roi_sizes(spec, subject, hemisphere)
            self._sizes[key] = sizes
        return self._sizes[key]

    def path(
        self,
        stage: str,
        name: str,
        *,
        dataset: str | None = None,
        subject: str | None = None,
        hemisphere: str | None = None,
        roi: str | None = None,
        method: str | None = None,
        probe: str | None = None,
    ) -> str:
        """Return ``results/<stage>/<version>/sub-…/…/<name>``.

        The method decides version and folder, data set and probe the version alone.
        """
        version = self.versions.of(stage, dataset, method, probe)
        entities = entity_path(subject=subject, hemisphere=hemisphere, roi=roi, method=method)
        return (Path(self.results) / stage / version / entities / name).as_posix()

    def dataset_of(self, stage: str, version: str) -> str:
        """Return the data set whose `stage` has this version.

        Raises
        ------
        InputError
            If no data set of the configuration has.
        """
        for dataset in self.config.datasets:
            if self.versions.of(stage, dataset) == version:
                return dataset
        raise InputError(
            f"{self.results}/{stage}/{version}",
            "a version that this configuration does not make",
            " or ".join(self.versions.of(stage, dataset) for dataset in self.config.datasets),
            "Ask for the files of the current configuration.",
        )
