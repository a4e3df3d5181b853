"""The stage, table and figure of the information bound."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from example import EXAMPLE, changed
from in_process import run_job

from cortune.address import Address
from cortune.config import Config
from cortune.errors import InputError, LeakageError
from cortune.information import (
    bound_information,
    cross_fitted_bound,
)
from cortune.information.stages import cosine_similarities
from cortune.project import Project
from cortune.report import information
from cortune.report.style import figure_style
from cortune.report.tables import EncodedUnit
from cortune.stages import STAGES
from cortune.tuning.embeddings import Embedding, read_embedding, write_embeddings
from cortune.tuning.losses import infonce
from cortune.versions import Provenance

PROVENANCE = Provenance("bound_information", "1-00000000", 3)
N = 80
TUNED_ON = tuple(f"nsd:{i:05d}" for i in range(100, 150))
IDENTITIES = tuple(f"nsd:{i:05d}" for i in range(N))


def embedding(noise, tuned_on=TUNED_ON, identities=IDENTITIES):
    """Return an embedding whose image side is the response side and noise."""
    z = np.random.default_rng(0).standard_normal((N, 6))
    image_z = z + noise * np.random.default_rng(1).standard_normal(z.shape)
    return Embedding(identities, image_z, z, tuned_on)


def test_cosines_by_hand():
    images, responses = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[0.0, 2.0], [-5.0, 0.0]])
    np.testing.assert_allclose(cosine_similarities(images, responses), [[0.8, -0.6], [0, -1]])
    assert np.isnan(cosine_similarities(0 * images, responses)).all()
    with pytest.raises(InputError, match=r"\(2, 2\) and \(2, 1\)"):
        cosine_similarities(images, responses[:, :1])


def test_bound_is_the_cross_fitted_one_of_the_cosines():
    held_out = embedding(0.5)
    found = bound_information(held_out, seed=3)
    expected = cosine_similarities(held_out.image_z, held_out.response_z)
    assert found == cross_fitted_bound(expected, seed=3)
    assert found.n_images == N and found.log_k == pytest.approx(np.log(N / 2))


def test_planted_information_orders_the_bounds():
    nats = [bound_information(embedding(noise), 0).nats for noise in (0.1, 1.0, 100.0)]
    assert nats[0] > nats[1] + 0.3 > nats[2] + 0.6
    assert nats[0] > 2 and nats[2] < 0.1


def test_a_leaked_image_is_caught():
    with pytest.raises(LeakageError, match="1 of 80 scored images"):
        bound_information(embedding(0.1, (*TUNED_ON, IDENTITIES[-1])), 0)
    with pytest.raises(InputError, match="no record of the images"):
        bound_information(embedding(0.1, ()), 0)


def test_embeddings_that_collapse_to_zero_are_refused():
    z = embedding(0.1).response_z
    with pytest.raises(InputError, match="not finite"):
        bound_information(Embedding(IDENTITIES, 0 * z, z, TUNED_ON), 0)


def test_embeddings_by_subject(tmp_path):
    one, two = embedding(0.1), embedding(0.2)
    write_embeddings(tmp_path / "e.h5", {"subj01": one, "subj02": two}, PROVENANCE)
    found = read_embedding(tmp_path / "e.h5", "subj02")
    np.testing.assert_array_equal(found.image_z, two.image_z)
    assert (found.identities, found.tuned_on) == (IDENTITIES, TUNED_ON)
    with pytest.raises(InputError, match="subj03"):
        read_embedding(tmp_path / "e.h5", "subj03")
    write_embeddings(tmp_path / "one.h5", {"one": one}, PROVENANCE)
    assert read_embedding(tmp_path / "one.h5", "subj07").identities == IDENTITIES
    write_embeddings(tmp_path / "none.h5", {}, PROVENANCE)
    with pytest.raises(InputError, match="nobody"):
        read_embedding(tmp_path / "none.h5", "subj01")


def test_table_and_bars_show_the_artifacts(tmp_path):
    units, expected = [], []
    for method, noise in (("contrastive", 1.0), ("pooled_mean", 0.5)):
        for subject in ("01", "02"):
            path = tmp_path / f"{method}{subject}.h5"
            write_embeddings(path, {"one": embedding(noise)}, PROVENANCE)
            expected.append(bound_information(embedding(noise), PROVENANCE.seed))
            units.append(EncodedUnit("nsd", subject, "lh", "V1v", method, str(path)))
    information.tabulate_information(units, tmp_path / "information.csv", PROVENANCE)
    table = pd.read_csv(tmp_path / "information.csv", dtype={"subject": str})
    assert list(table.columns) == information.COLUMNS and (table["n_images"] == N).all()
    nats = np.array([bound.nats for bound in expected])
    np.testing.assert_allclose(table["mi_lower_bound_nats"], nats, rtol=1e-6)
    np.testing.assert_allclose(table["temperature"], [b.temperature for b in expected], rtol=1e-6)
    # As the published code has it: log K less its loss, at the temperature of tuning.
    made = [embedding(noise) for noise in (1.0, 1.0, 0.5, 0.5)]
    z = [(torch.tensor(each.image_z), torch.tensor(each.response_z)) for each in made]
    published = [np.log(N) - float(infonce(image, response, 0.3)) for image, response in z]
    np.testing.assert_allclose(table["mi_fixed_temperature_nats"], published, rtol=1e-4)
    with figure_style():
        left, _ = information.information_by_roi(table).axes
    heights = [bar.get_height() for bar in left.patches]
    np.testing.assert_allclose(heights, nats.reshape(2, 2).mean(1), rtol=1e-6)
    information.plot_information(tmp_path / "information.csv", tmp_path / "i.png", PROVENANCE)
    assert (tmp_path / "i.png").read_bytes().startswith(b"\x89PNG")


def test_bounds_of_about_zero_do_not_fill_the_axis():
    """An axis in units of 1e-8 nats once made noise of the optimizer look like a result."""
    names = {"hemisphere": "lh", "roi": "V1v", "method": "contrastive"}
    rows = pd.DataFrame(
        {**names, "subject": ["01", "02"], "log_k": 2.94, "mi_sd_replicates": np.nan}
    )
    for nats, expected in (([3e-8, 0.0], 0.05), ([0.5, 1.0], 1.08), ([-1e-8, -2e-8], 0.05)):
        with figure_style():
            top, _ = information.information_by_roi(rows.assign(mi_lower_bound_nats=nats)).axes
        low, high = top.get_ylim()
        assert high == pytest.approx(expected) and -0.003 < low <= 0


def test_no_contrastive_method(tmp_path):
    information.tabulate_information([], tmp_path / "information.csv", PROVENANCE)
    information.plot_information(tmp_path / "information.csv", tmp_path / "i.png", PROVENANCE)
    assert pd.read_csv(tmp_path / "information.csv").empty


@pytest.mark.parametrize("n_subjects", [2, 3])
def test_who_is_left_out_has_no_bound_and_that_is_said(tmp_path, monkeypatch, n_subjects):
    """A network tuned to the others has no response map for the one it is evaluated on.

    It once bounded the information of others under its name: of one with two subjects, and of
    two at once with three.
    """
    monkeypatch.chdir(tmp_path)
    subjects = [f"subj0{1 + i}" for i in range(n_subjects)]
    brain = changed(EXAMPLE, tuning__methods=["pooled_mean", "pooled_loso"])["datasets"]["nsd"]
    brain = changed(brain, subjects=subjects, simulate__n_images=60, simulate__n_shared=20)
    found = Project(Config.from_mapping({
        "datasets": {"nsd": brain},
        "backbone": {"name": "alexnet_small", "weights": "random", "input_size": 32,
                     "layers": ["features.2"]},
        "split": {"tune": 0.4, "validation": 0.2, "test": 0.4},
        "tuning": {"methods": ["pooled_mean", "pooled_loso"]},
        "contrastive": {"epochs": 1, "batch_size": 16},
    }))  # fmt: skip
    jobs = {"bound_information": [Address()]}
    for name in reversed(found.jobs):
        for given in STAGES[name].inputs.values():
            for address in jobs.get(name, ()):
                for stage, each in found._made(given, address):
                    jobs.setdefault(stage, []).append(STAGES[stage].address(each))
    for name in found.jobs:
        for address in dict.fromkeys(jobs.get(name, ())):
            run_job(found, name, address)
    assert "pooled_loso" not in {each.method for each in jobs["tune_pooled"]}
    table = pd.read_csv(found.path("bound_information", "table"))
    assert sorted(table["subject"].unique()) == subjects
    assert set(table["method"]) == {"pooled_mean"} and len(table) == n_subjects * 2
    left_out = found.facts("tabulate_encoding", Address())
    assert [(row["subject"], row["method"]) for row in left_out if row["hemisphere"] == "lh"] == [
        (subject, "pooled_loso") for subject in subjects
    ]
    assert all("no response map" in row["reason"] for row in left_out)
