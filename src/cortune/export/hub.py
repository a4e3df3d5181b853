"""Folders as the Hugging Face hub expects them: weights, maps, configuration, model card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cortune.artifacts import PathLike, atomic, sha256, write_json
from cortune.data.identity import n_images
from cortune.disk import disk_problem
from cortune.errors import InputError
from cortune.export.encoder import CONFIG, MAPS, NETWORK, Encoder
from cortune.networks.backbones import origin_of
from cortune.networks.families import find_family
from cortune.networks.store import save_state

_TERMS = {
    "algonauts2023": "Natural Scenes Dataset in the form of the Algonauts Project 2023. Who uses "
    "these data accepts the terms of both (naturalscenesdataset.org, algonauts.csail.mit.edu); "
    "what is derived from them is shared under them.",
    "nsd": "Natural Scenes Dataset. Who uses these data accepts its terms "
    "(naturalscenesdataset.org); what is derived from them is shared under them.",
    "nod": "Natural Object Dataset, OpenNeuro ds004496, CC0.",
}
_SIMULATED = "Simulated responses to simulated or given pictures: no data of people."


def export_folder(encoder: Encoder, out: PathLike, *, layout: str, simulated: bool) -> Path:
    """Write an encoder with its network as a folder of its own.

    ``model.safetensors`` has the network's own names, and loads in timm or torchvision, too;
    ``config.json`` is what ``timm.create_model("local-dir:…")`` reads, and in its key
    ``cortune`` what :func:`cortune.load` does.

    Parameters
    ----------
    encoder : Encoder
    out : path
        Folder to write; one that is there is replaced if it holds an encoder.
    layout : str
        Of the data set, for what is said of its terms.
    simulated : bool
        Whether its responses are simulated.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If `out` is something else.
    ResourceError
        If the disk is too full.
    """
    target = Path(out)
    check_target(target, {CONFIG, MAPS, NETWORK, "README.md"})
    saved, source = encoder.saved, encoder.folder / encoder.config["network"]["file"]
    maps = encoder.maps
    needs = source.stat().st_size + sum(each.nbytes for each in maps.values())
    from safetensors.numpy import save_file

    with atomic(target, needs=needs) as folder:
        folder.mkdir()
        with atomic(folder / NETWORK, sheltered=True) as path:
            save_state(path, source, saved)
        with atomic(folder / MAPS, sheltered=True) as path:
            save_file(maps, path)
        network = {**encoder.config["network"], "file": NETWORK, "base": None}
        units = [asdict(unit) for unit in encoder.units]
        sums = {name: sha256(folder / name) for name in (MAPS, NETWORK)}
        described = {**encoder.config, "network": network, "units": units, "sha256": sums}
        write_json(folder / CONFIG, {**_for_timm(encoder), "cortune": described})
        (folder / "README.md").write_text(
            "\n".join(_card(encoder, layout, simulated)) + "\n", encoding="utf-8"
        )
    return target


def check_target(folder: Path, own: set[str]) -> None:
    """Refuse to replace a folder that holds other files.

    Raises
    ------
    InputError
    """
    if folder.exists() and (not folder.is_dir() or {p.name for p in folder.iterdir()} - own):
        found = "a folder of other files" if folder.is_dir() else "a file"
        raise InputError(folder, found, "nothing, or an export to replace", "Name another folder.")


def _for_timm(encoder: Encoder) -> dict[str, Any]:
    """Return the configuration that timm reads."""
    saved, size, shown = encoder.saved, encoder.input_size, encoder.shown
    _, known = find_family(saved.name)
    options, of_classes = encoder.build_options, origin_of(encoder.network).readout == "logits"
    n_classes = options.get("num_classes", saved.num_classes if of_classes else 0)
    return {
        "architecture": known.split(".")[0],
        "model_args": {k: v for k, v in options.items() if k != "num_classes"},
        "num_classes": n_classes,
        "model_type": "cortune",
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "mean": list(shown.mean),
            "std": list(shown.std),
            "interpolation": encoder.framing.interpolation,
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "num_classes": n_classes,
        },
    }


def _card(encoder: Encoder, layout: str, simulated: bool) -> Iterator[str]:
    config, saved = encoder.config, encoder.saved
    _, known = find_family(saved.name)
    provenance = config["provenance"]
    first = encoder.units[0]
    untouched = config["fit"] == "untouched"
    yield from ("---", "library_name: cortune", "pipeline_tag: image-feature-extraction", "tags:")
    yield from ("- fmri", "- visual-cortex", "- encoding-model", f"- {known}", "---", "")
    yield from (f"# Responses of {first.subject}'s visual cortex, predicted by {known}", "")
    yield (
        f"A network ({known}, {saved.num_classes} outputs) and a linear map from its features to "
        f"fMRI responses of subject {first.subject} of the data set `{first.dataset}`."
    )
    tuned = n_images(saved.tuned_on)
    yield (
        f"{tuned} images were used to tune the network or to choose its epoch."
        if tuned
        else "The network was not tuned to responses."
    )
    yield from ("", "```python", "import cortune", "", 'encoder = cortune.load("…")')
    yield from ('responses = encoder.predict("folder/of/pictures")  # (n_pictures, n_voxels)',)
    yield from ("encoder.columns  # what each column is", "```", "")
    yield from ("or `cortune predict … pictures --out responses.parquet`.", "")
    yield from ("## How well", "")
    yield (
        "Pearson's r between predicted and measured responses, mean over voxels, by nested "
        "cross-validation in the images that the map is fitted on, none of which the network saw; "
        "95 % interval by a bootstrap over images. The map itself is fitted on all of them."
        if untouched
        else "The map is fitted on all images, those that the network was tuned on among them "
        "(`export.fit: all`): no score is claimed."
    )
    yield from ("", "| hemisphere | ROI | voxels | images | layer | r | interval | ceiling |")
    yield "| --- | --- | ---: | ---: | --- | ---: | --- | ---: |"
    for unit in encoder.units:
        interval = (
            ""
            if unit.r_ci_low is None
            else f"{_digits(unit.r_ci_low)} to {_digits(unit.r_ci_high)}"
        )
        cells = (unit.hemisphere, unit.roi, unit.n_voxels, unit.n_images_fit, unit.layer)
        scores = (_digits(unit.r), interval, _digits(unit.ceiling_r))
        yield f"| {' | '.join(map(str, (*cells, *scores)))} |"
    yield from ("", "The ceiling is the highest r that noise leaves possible, where it is known.")
    if config["dtype"] != "float32":
        yield (
            f"The map is kept in {config['dtype']}, which changes predictions by "
            f"{config['dtype_loss']:.1e} of their RMS."
        )
    yield from ("", "## What it is made of", "", _SIMULATED if simulated else _TERMS[layout], "")
    size = encoder.input_size
    yield (
        f"Pictures are shown as {size} by {size} pixels. Responses are in the units of the data "
        f"set as prepared (stage `{provenance['stage']}` {provenance['version']}, Cortune "
        f"{provenance['cortune']}); `config.json` has the versions of all inputs and the settings."
    )
    yield from ("", "## Intended use", "")
    yield (
        "Research on vision: predicting responses to pictures, comparing networks with cortex. It "
        "speaks of this subject's cortex and of pictures like those it was fitted on; it reads "
        "no thoughts and says nothing of a person's health."
    )


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def fetched(name: PathLike) -> Path:
    """Return the folder of a repository of the hub, downloaded into its cache.

    Raises
    ------
    InputError
        If there is none, or it cannot be had.
    ResourceError
        If the disk of the hub's cache is too full.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE

    expected = "the folder of an encoder, or owner/name of the Hugging Face hub"
    if Path(name).exists() or str(name).count("/") != 1:
        found = "a file" if Path(name).exists() else "nothing"
        raise InputError(name, found, expected, "Correct the path.")
    try:
        return Path(snapshot_download(str(name)))
    except Exception as error:  # whatever the hub's library and its HTTP client raise
        if problem := disk_problem(Path(HF_HUB_CACHE, str(name)), error):
            raise problem from None
        found = f"no such folder, and no repository ({_first_line(error)})"
        cure = "Correct the name, or see that the hub can be reached."
        raise InputError(name, found, expected, cure) from None


def push(folder: PathLike, name: str) -> str:
    """Upload a folder to the hub; return where it is.

    Raises
    ------
    InputError
        If the hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(name, exist_ok=True)
        return str(api.upload_folder(folder_path=str(folder), repo_id=name))
    except Exception as error:  # whatever the hub's library and its HTTP client raise
        raise InputError(
            f"--push {name}",
            f"a hub that does not take it ({_first_line(error)})",
            "a repository that you may write to",
            "Log in with `hf auth login`, correct the name (owner/name), and see that the hub can "
            f"be reached; the folder is at {folder}.",
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
