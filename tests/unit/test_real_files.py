"""Real files of the data sets: what the readers say of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cortune.data import open_dataset
from cortune.data.algonauts_files import N_NSD, load_mask
from cortune.data.nod_files import N_CORTEX, N_LEFT, load_areas, load_parcels
from cortune.data.nod_trials import read_events
from cortune.data.nsd_files import read_design
from cortune.errors import InputError


@pytest.fixture(scope="module")
def real(shared: Path) -> Path:
    if not (shared / "real").is_dir():
        pytest.skip("no real files at hand (CORTUNE_SHARED)")
    return shared / "real"


def test_every_image_of_nsd_is_shown_thrice(real: Path) -> None:
    design = read_design(real / "nsd/nsd_expdesign.mat")
    assert design.images.shape == (8, 10_000)
    _, times = np.unique(design.ordering, return_counts=True)
    assert len(design.ordering) == 30_000 and (times == 3).all()
    shown = design.images[:, design.ordering]
    for subject, images in enumerate(design.images):
        assert len(set(images.tolist())) == 10_000, subject
        assert set(shown[subject].tolist()) == set(images.tolist())
    everyone = set.intersection(*(set(images.tolist()) for images in design.images))
    assert len(everyone) == 1000
    union = np.unique(design.images)
    assert len(union) == 8 * 9000 + 1000 == N_NSD
    assert (union[0], union[-1]) == (0, 72_999)


@pytest.mark.parametrize(("subject", "means"), [("subj01", (38.3, 38.4)), ("subj06", (27.3, 30.2))])
def test_ceilings_are_read_as_shares(
    real: Path, tmp_path: Path, subject: str, means: tuple[float, float]
) -> None:
    """Whether they come as percent, as in this copy, or as shares."""
    for scale in (1, 100):
        root = tmp_path / str(scale)
        shutil.copytree(real / f"algonauts/{subject}/roi_masks", root / subject / "roi_masks")
        split = root / subject / "training_split"
        (split / "training_images").mkdir(parents=True)
        (split / "training_fmri").mkdir()
        for number in (1, 2):
            (split / f"training_images/train-{number:04d}_nsd-{number:05d}.png").touch()
        for hemisphere, mean in zip(("lh", "rh"), means, strict=True):
            ceiling = np.load(real / f"algonauts_ceilings/{subject}/{hemisphere}.npy") / scale
            target = root / subject / "test_split/noise_ceiling" / f"{hemisphere}_noise_ceiling.npy"
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, ceiling)
            labels = load_mask(
                root / subject / f"roi_masks/{hemisphere}.streams_challenge_space.npy"
            )
            responses = np.zeros((2, len(labels)), np.float32)
            np.save(split / f"training_fmri/{hemisphere}_training_fmri.npy", responses)
            found = open_dataset("algonauts2023", root).responses(subject, hemisphere)
            assert len(found.noise_ceiling) == len(labels)
            assert 100 * np.nanmean(found.noise_ceiling) == pytest.approx(mean, abs=0.06)


def test_events_of_nod(real: Path) -> None:
    folder = real / "nod/sub-01"
    runs = sorted(folder.glob("ses-imagenet0[1-4]/func/*_events.tsv"))
    stimuli = [read_events(path) for path in runs]
    assert [len(names) for names in stimuli] == [100] * 40
    names = {name for run in stimuli for name in run}
    assert len(names) == 4000
    assert all(name.startswith("imagenet/n") and name.endswith(".JPEG") for name in names)
    for path in folder.glob("ses-coco/func/*_events.tsv"):
        names_ = read_events(path)
        assert len(names_) == 120 and names_ == sorted(names_)
    for path in folder.glob("ses-imagenet05/func/*_events.tsv"):
        with pytest.raises(InputError, match="trials without stim_file"):
            read_events(path)


def test_parcellation_of_nod(real: Path) -> None:
    areas = load_areas(real / "nod/supportfiles/roilbl_mmp.csv")
    parcels = load_parcels(real / "nod/supportfiles/MMP_mpmLR32k.mat")
    assert areas[:4] == ["V1", "MST", "V6", "V2"] and len(areas) == 180
    where = np.flatnonzero(parcels == 0)
    assert len(parcels) == N_CORTEX
    assert ((where < N_LEFT).sum(), (where >= N_LEFT).sum()) == (841, 787)
