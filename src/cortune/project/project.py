"""The whole project: what a complete run leaves."""

from __future__ import annotations

from pathlib import Path

from cortune.project.predictions import Predictions
from cortune.versions import STAGES


class Project(Predictions):
    """The units, versions and paths of one configuration.

    Each base class knows one part of the workflow and those below it.

    Parameters
    ----------
    config : Config
    results : str
        Folder of the results, relative to the working directory.
    """

    def tables(self) -> list[str]:
        """Return the paths of all tables of a complete run."""
        files: dict[str, tuple[str, ...]] = {
            "tabulate_encoding": (
                "encoding.csv",
                "encoding_layers.csv",
                "encoding_voxels.parquet",
                "variance_partition.csv",
                "skipped.csv",
            ),
            "tabulate_comparison": ("comparison.csv",),
            "tabulate_published": ("published.csv",),
        }
        if self.targets("embeddings"):
            files["bound_information"] = ("information.csv",)
        if self.transfers():
            files["tabulate_transfer"] = ("transfer_subjects.csv", "transfer_datasets.csv")
        if self.targets("size_curve"):
            files["tabulate_size_curve"] = ("size_curve.csv",)
        if self.probes:
            files["tabulate_probes"] = ("probes.csv",)
        if self.has_landscape:
            files["embed_networks"] = (
                "dissimilarity.csv",
                "landscape.csv",
                "landscape_axes.csv",
                "landscape_tests.csv",
            )
        if self.has_saliency:
            names = ("lateralization.csv", "lateralization_tests.csv")
            files["tabulate_lateralization"] = names
        return [self.path(stage, name) for stage, names in files.items() for name in names]

    def figures(self) -> list[str]:
        """Return the paths of all figures of a complete run."""
        files: dict[str, tuple[str, ...]] = {
            "plot_encoding": (
                "encoding_by_roi.png",
                "encoding_by_layer.png",
                "encoding_by_voxel.png",
                "encoding_by_protocol.png",
            ),
            "plot_cortex": ("cortex.png",),
            "plot_published": ("published.png",),
            "plot_tuning": ("training_curves.png",),
        }
        if self.transfers():
            files["plot_transfer"] = ("transfer_subjects.png", "transfer_datasets.png")
        if self.targets("embeddings"):
            files["plot_information"] = ("information_by_roi.png",)
        if self.targets("size_curve"):
            files["plot_size_curve"] = ("size_curve.png",)
        if self.probes:
            files["plot_probes"] = ("probe_accuracy.png",)
            files["plot_forgetting"] = ("encoding_gain_against_forgetting.png",)
        if self.has_landscape:
            files["plot_landscape"] = (
                "landscape_inpca.png",
                "landscape_spaces.png",
                "landscape_clusters.png",
            )
        if self.has_saliency:
            files["plot_saliency"] = (
                "saliency_maps.png",
                "laterality.png",
                "laterality_distributions.png",
                "saliency_examples.png",
            )
        return [self.path(stage, name) for stage, names in files.items() for name in names]

    def current_versions(self) -> dict[str, str]:
        """Return the version of every stage, by what it depends on: data set, method, probe."""
        found = {
            "/".join(filter(None, (stage, *scope))): self.versions.of(stage, *scope)
            for stage, *scope in self.versions.scopes()
        }
        return _shortened(found)

    def benchmarks(self) -> dict[str, list[str]]:
        """Return the timing files of the current versions, by rule."""
        folder = Path(self.results) / "benchmarks"
        used = set(self.current_versions().values())
        return {
            stage: [
                path.as_posix()
                for path in sorted((folder / stage).rglob("*.tsv"))
                if used & {part.removesuffix(".tsv") for part in path.parts}
            ]
            for stage in STAGES
        }


def _shortened(versions: dict[str, str]) -> dict[str, str]:
    """Drop data set and method from the names of stages that have one version only."""
    by_stage: dict[str, set[str]] = {}
    for name, version in versions.items():
        by_stage.setdefault(name.split("/")[0], set()).add(version)
    return {
        (name.split("/")[0] if len(by_stage[name.split("/")[0]]) == 1 else name): version
        for name, version in versions.items()
    }
