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

    def outputs(self) -> dict[str, list[str]]:
        """Return one file or folder of every job of a complete run, by stage."""
        found: dict[str, list[str]] = {}
        for dataset, subject, hemispheres in self.prepared():
            found.setdefault("simulate_dataset", []).extend(self.simulated(dataset, subject))
            for stage, name in (
                ("prepare_images", "images.npy"),
                ("split_images", "split.csv"),
            ):
                path = self.path(stage, name, dataset=dataset, subject=subject)
                found.setdefault(stage, []).append(path)
            found.setdefault("prepare_responses", []).extend(
                self.path(
                    "prepare_responses",
                    "responses.h5",
                    dataset=dataset,
                    subject=subject,
                    hemisphere=hemisphere,
                )
                for hemisphere in hemispheres
            )
        for network in self.networks:
            stage = self.versions.network_stage(network.method)
            found.setdefault(stage, []).append(network.path)
        found.setdefault(self.versions.backbone_stage(), []).append(self.backbone())
        for unit in self.units:
            for method in self.config.tuning.methods:
                found.setdefault("extract_features", []).append(self.features(unit, method))
        for stage, kind in (("encode_roi", "encoding"), ("fit_size_curve", "size_curve")):
            found[stage] = [target.path for target in self.targets(kind)]
        for transfer in self.transfers():
            stage = "transfer_dataset" if transfer.target else "transfer_subject"
            found.setdefault(stage, []).append(transfer.path)
        found["prepare_probe"] = [
            self.path("prepare_probe", f"probe-{probe}", probe=probe) for probe in self.probes
        ]
        found["probe_network"] = self.probe_folders()
        found["map_saliency"] = self.saliency_folders() if self.has_saliency else []
        for path in (*self.tables(), *self.figures()):
            stage = Path(path).relative_to(self.results).parts[0]
            found.setdefault(stage, [path])
        found["publish_results"] = [f"{self.results}/latest/manifest.json"]
        return {stage: list(dict.fromkeys(paths)) for stage, paths in found.items() if paths}

    def prepared(self) -> list[tuple[str, str, list[str]]]:
        """Return the data sets, subjects and hemispheres whose files are prepared."""
        found: dict[tuple[str, str], list[str]] = {}
        for unit in self.units:
            found.setdefault((self.dataset, unit.subject), []).append(unit.hemisphere)
        for transfer in self.transfers():
            if target := transfer.target:
                for unit in self.transfer_targets(target, transfer.hemisphere, transfer.roi):
                    found.setdefault((target, unit.subject), []).append(unit.hemisphere)
        return [(*key, list(dict.fromkeys(sides))) for key, sides in found.items()]

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
