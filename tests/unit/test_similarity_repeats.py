"""Similarity of raw NSD: what repeats of images say of the ceiling, by the simulator's truth."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from in_process import run_job
from scipy.stats import zscore

from cortune.config import Config
from cortune.data import read_responses
from cortune.data.splits import read_split
from cortune.project import Project
from cortune.similarity import CKA, MEASURES, Relations, similarity

CONFIG = {
    "datasets": {
        "nsd": {
            "layout": "nsd",
            "subjects": ["subj01"],
            "rois": ["V1v"],
            "simulate": {
                "n_images": 120,
                "n_shared": 30,
                "n_test_images": 2,
                "image_size": 32,
                "n_classes": 5,
                "n_repeats": 3,
                "vertices": {"V1v": 40},
            },
        }
    },
    "split": {"tune": 0.2, "validation": 0.0, "test": 0.8},
    "backbone": {"name": "alexnet_small", "weights": "random", "input_size": 64},
    "tuning": {"methods": ["untuned"]},
    "similarity": {"n_bootstrap": 50},
}


def test_ceilings_from_repeats_meet_what_noiseless_responses_reach(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = Project(Config.from_mapping(CONFIG))
    stages = ("simulate_dataset", "prepare_images", "prepare_responses", "split_images")
    stages += ("prepare_backbone", "extract_features", "measure_similarity", "compare_networks")
    for stage in (*stages, "relate_repeats", "tabulate_similarity"):
        for address in asked.jobs[stage]:
            run_job(asked, stage, address)
    table = pd.read_csv(asked.path("tabulate_similarity", "similarity"))
    assert table["ceiling"].isna().all(), "one subject"
    for address in asked.jobs["prepare_responses"]:
        measured = read_responses(asked.path("prepare_responses", "responses", address), "V1v")
        split = read_split(asked.path("split_images", "split", address))
        test = np.array([split[identity] == "test" for identity in measured.identities])
        record = Path(asked.path("simulate_dataset", "record", address))
        truth = next(record.parents[1].glob(f"nsd-truth/subj01/{address.hemisphere}.h5"))
        with h5py.File(truth) as file:
            order, columns = np.argsort(file["images"][:]), file["rois/V1v"][:]
            signal, ncsnr = file["responses"][:][order][:, columns], file["ncsnr"][:][columns]
        # Responses are standardised with their noise, by session.
        noiseless = np.nan_to_num(zscore(signal, axis=0)) * ncsnr / np.sqrt(1 + ncsnr**2)
        mean = Relations.of_values(measured.values[test])
        rows = table[table["hemisphere"] == address.hemisphere].groupby("measure")
        for measure in MEASURES:
            known = similarity(Relations.of_values(noiseless[test]), mean, measure)
            found = rows["ceiling_repeats"].first()[measure]
            below = 0.03 if measure == CKA else 0.15
            assert known - below < found < known + 0.03
