"""A reader names every file that it opens: fingerprints are taken of what it names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import algonauts_tree
import h5py
import nod_tree
import nsd_tree
import numpy as np
import pytest

from cortune.data import LAYOUTS, open_dataset, prepare_images
from cortune.data import cifti as cifti_module
from cortune.data.images import Framing
from cortune.versions import Provenance

PROVENANCE = Provenance("prepare", "1-00000000", 0)
_recording: list[set[Path]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _recording and event == "open" and isinstance(arguments[0], str):
        _recording[-1].add(Path(arguments[0]))


sys.addaudithook(_note)


@contextmanager
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Path]]:
    """Collect the files that are opened, by Python or by HDF5."""
    plain = h5py.File

    def noted(path: str | Path, *arguments: Any, **options: Any) -> h5py.File:
        found.add(Path(os.fspath(path)))
        return plain(path, *arguments, **options)

    found: set[Path] = set()
    cifti_module._read.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(h5py, "File", noted)
        _recording.append(found)
        try:
            yield found
        finally:
            _recording.pop()


@dataclass
class Variant:
    """A data set and the options of its reader."""

    layout: str
    write: Callable[[Path], Path]
    options: dict[str, Any] = field(default_factory=dict)


def table(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def algonauts(authors: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        tree = algonauts_tree.write_tree(folder / "data", authors=authors)
        rows = "".join(f"{i},{i + 1}\n" for i in tree.nsd_ids)
        table(folder / "info.csv", f"nsdId,cocoId\n{rows}")
        return tree.root

    return write


def without_ceilings(folder: Path) -> Path:
    tree = algonauts_tree.write_tree(folder / "data")
    for ceiling in tree.ceilings.values():
        ceiling.unlink()
    for mask in tree.masks.glob("*.all-vertices_*"):
        mask.unlink()
    return tree.root


def linked(folder: Path) -> Path:
    """Every file a link into a store."""
    tree = algonauts_tree.write_tree(folder / "data")
    store = folder / "store"
    store.mkdir()
    for number, path in enumerate([p for p in tree.root.rglob("*") if p.is_file()]):
        path.rename(store / str(number))
        path.symlink_to(store / str(number))
    return tree.root


def nsd(folder: Path) -> Path:
    return nsd_tree.write_tree(folder / "data").root


def nsd_with_table(folder: Path) -> Path:
    tree = nsd_tree.write_tree(folder / "data")
    rows = "".join(f"{i},{i + 1}\n" for i in range(nsd_tree.N_NSD))
    table(tree.stim_info, f"nsdId,cocoId\n{rows}")
    return tree.root


def nsd_native(folder: Path) -> Path:
    """Labels on the subject's own surface, no tables of names and no ratios."""
    tree = nsd_tree.write_tree(folder / "data")
    for path in [*tree.label.glob("*.ctab"), *tree.betas.glob("*.ncsnr.mgh")]:
        path.unlink()
    for hemisphere in nsd_tree.HEMISPHERES:
        for family in nsd_tree.NAMES:
            labels = np.zeros(1000, np.int32)
            labels[:3] = 1
            nsd_tree.write_mgh(tree.label / f"{hemisphere}.{family}.mgz", labels)
        nearest = np.ones(nsd_tree.N_FSAVERAGE, np.int32)
        nearest[60:] = 1000
        path = tree.root / f"nsddata/ppdata/subj01/transforms/{hemisphere}.white-to-fsaverage.mgz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nsd_tree.write_mgh(path, nearest)
    return tree.root


def nsd_volume(folder: Path) -> Path:
    tree = nsd_tree.write_tree(folder / "data")
    nsd_tree.write_volume(tree)
    return tree.root


def nod(folder: Path) -> Path:
    tree = nod_tree.write_tree(folder / "data")
    table(folder / "info.csv", "nsdId,cocoId\n13,99\n")
    table(folder / "coco.csv", f"stim_file,cocoId\n{tree.stimuli[0][2]},7\n")
    return tree.root


def nod_bare(folder: Path) -> Path:
    """Neither events nor labels: the maps give bare file names."""
    tree = nod_tree.write_tree(folder / "data")
    for run in (1, 2):
        tree.events(run).unlink()
        tree.file(run, "label.txt").unlink()
    return tree.root


VARIANTS = {
    "Algonauts": Variant("algonauts2023", algonauts(False)),
    "Algonauts, COCO ids": Variant("algonauts2023", algonauts(False), {"stim_info": "info.csv"}),
    "Algonauts, the authors' tree": Variant(
        "algonauts2023", algonauts(True), {"stim_info": "info.csv"}
    ),
    "Algonauts, nothing optional": Variant("algonauts2023", without_ceilings),
    "Algonauts, links": Variant("algonauts2023", linked),
    "NSD": Variant("nsd", nsd),
    "NSD, COCO ids": Variant("nsd", nsd_with_table),
    "NSD, native labels": Variant("nsd", nsd_native),
    "NSD, volume": Variant("nsd", nsd_volume, {"space": "func1pt8mm"}),
    "NOD": Variant("nod", nod),
    "NOD, tables": Variant(
        "nod", nod, {"coco_of": "coco.csv", "stim_info": "info.csv", "top_vertices": None}
    ),
    "NOD, bare names": Variant("nod", nod_bare),
}


@pytest.mark.parametrize("hemisphere", [None, "lh", "rh"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_what_is_opened_is_named(
    variant: Variant, hemisphere: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = variant.write(tmp_path), tmp_path / "out"
    files = {"stim_info", "coco_of"}
    options = {k: tmp_path / v if k in files else v for k, v in variant.options.items()}
    subject = LAYOUTS[variant.layout].example
    with opened(monkeypatch) as found:
        reader = open_dataset(variant.layout, root, **options)
        if hemisphere is None:
            prepare_images(reader, subject, Framing(8), out / "i.npy", out / "i.csv", PROVENANCE)
        else:
            reader.roi_sizes(subject, hemisphere)
            reader.responses(subject, hemisphere)
    raw = {path for path in found if path.is_relative_to(tmp_path)}
    raw = {path for path in raw if not path.is_relative_to(out)}
    sources = open_dataset(variant.layout, root, **options).sources(subject, hemisphere)
    assert raw == set(sources) and len(sources) == len(set(sources))
    names = [reader.name_of(path) for path in sources]
    assert len(set(names)) == len(names) and not any(str(tmp_path) in name for name in names)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_nothing_large_is_read_to_name_them(
    variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only NOD's names of trials must be read, from events and headers."""
    root, subject = variant.write(tmp_path), LAYOUTS[variant.layout].example
    options = {k: v for k, v in variant.options.items() if k == "space"}
    reader = open_dataset(variant.layout, root, **options)
    with opened(monkeypatch) as found:
        reader.sources(subject, "lh")
        assert not found
        reader.sources(subject, None)
        reader.listing(subject)
    assert variant.layout == "nod" or not found


def test_only_names_on_disk_tell_algonauts_images(tmp_path: Path) -> None:
    tree = algonauts_tree.write_tree(tmp_path, nsd_ids=[500, 3, 9], n_images=3)
    reader = open_dataset("algonauts2023", tree.root)
    folder = "subj01/training_split/training_images"
    assert reader.listing("subj01") == [
        f"{folder}/train-0001_nsd-00500.png",
        f"{folder}/train-0002_nsd-00003.png",
        f"{folder}/train-0003_nsd-00009.png",
    ]


def test_the_place_of_bare_names_tells_nod_images(tmp_path: Path) -> None:
    root = nod_bare(tmp_path)
    before = open_dataset("nod", root).listing("sub01")
    assert len(before) == 12 and before[0] == "stimuli/imagenet/n00000000/n00000000_0.png"
    picture = root / before[0]
    picture.rename(root / "stimuli/imagenet" / picture.name)
    after = open_dataset("nod", root).listing("sub01")
    assert after == ["stimuli/imagenet/n00000000_0.png", *before[1:]]


def test_a_table_elsewhere_is_called_by_its_name(tmp_path: Path) -> None:
    root = nod(tmp_path)
    reader = open_dataset("nod", root, coco_of=tmp_path / "coco.csv")
    assert [reader.name_of(p) for p in reader.sources("sub01", "lh")].count("coco.csv") == 1


def test_every_picture_of_a_whole_subject_is_named_unread(tmp_path, monkeypatch) -> None:
    tree = algonauts_tree.write_tree(tmp_path, n_images=1, nsd_ids=[0])
    (source,) = tree.pictures.iterdir()
    for number in range(2, 9842):
        os.link(source, tree.pictures / f"train-{number:04d}_nsd-{number:05d}.png")
    reader = open_dataset("algonauts2023", tmp_path)

    def read(path: Path) -> None:
        raise AssertionError(f"{path} is read to be named")

    monkeypatch.setattr(Path, "read_bytes", read)
    assert len(reader.sources("subj01")) == len(reader.listing("subj01")) == 9841
    assert len(reader.sources("subj01", "lh")) == 15
