"""Files and rows of a unit's encoding."""

from __future__ import annotations

from dataclasses import fields, replace

import h5py
import numpy as np
import pytest

from cortune.artifacts import read_provenance
from cortune.encoding.protocols import Settings, encode_unit
from cortune.encoding.results import (
    layer_summaries,
    read_encoding,
    summary,
    voxel_columns,
    write_encoding,
)
from cortune.errors import InputError
from cortune.versions import Provenance

PROVENANCE = Provenance("encode_roi", "1-00000000", 0)


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    X = {"conv1": rng.standard_normal((60, 30)), "fc": rng.standard_normal((60, 9))}
    Y = X["fc"] @ rng.standard_normal((9, 5)) + rng.standard_normal((60, 5))
    Y[:, 3] = 0.0
    return encode_unit(
        {layer: x @ x.T for layer, x in X.items()},
        Y,
        {"test": np.arange(60)},
        Settings([1.0, 100.0]),
        noise_ceiling=np.array([0.5, 0.02, np.nan, 0.5, 0.8]),
        vertices=np.array([4, 8, 15, 16, 23]),
    )


def test_a_file_reads_back_as_it_was(results, tmp_path):
    path = tmp_path / "unit.h5"
    write_encoding(path, results, PROVENANCE)
    assert read_provenance(path)["stage"] == "encode_roi"
    again = read_encoding(path)
    assert again.keys() == results.keys()
    for name, result in results.items():
        for field in fields(result):
            ours, theirs = getattr(result, field.name), getattr(again[name], field.name)
            assert type(ours) is type(theirs)
            np.testing.assert_array_equal(ours, theirs)


def test_the_same_results_give_the_same_bytes(results, tmp_path):
    for name in ("a.h5", "b.h5"):
        write_encoding(tmp_path / name, results, PROVENANCE)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_file_without_a_field_is_refused(results, tmp_path):
    write_encoding(tmp_path / "unit.h5", results, PROVENANCE)
    with h5py.File(tmp_path / "unit.h5", "a") as file:
        del file["heldout_cv/r"]
    with pytest.raises(InputError, match="r_layers"):
        read_encoding(tmp_path / "unit.h5")


def test_the_row_of_a_unit_by_hand(results):
    r = np.array([0.6, 0.2, -0.1, np.nan, 0.4], dtype=np.float64)
    row = summary(replace(results["heldout_cv"], r=r), min_noise_ceiling=0.05)
    assert row["layer"] == "fc"
    assert (row["n_voxels"], row["n_images_fit"]) == (5, 48)
    assert row["r_mean"] == pytest.approx(0.275)
    assert row["r_median"] == pytest.approx(0.3)
    assert row["r2_mean"] == pytest.approx((0.36 + 0.04 + 0.01 + 0.16) / 4)
    # Ceilings of the voxels that have a score, so the two means compare.
    assert row["ceiling_r_mean"] == pytest.approx(np.sqrt([0.5, 0.02, 0.8]).mean(), rel=1e-6)
    assert row["nnr2_mean"] == pytest.approx((0.36 / 0.5 + 0.16 / 0.8) / 2)


def test_rows_of_layers_and_voxels_agree_with_the_unit(results):
    for result in results.values():
        rows = layer_summaries(result, 0.05)
        assert [row["layer"] for row in rows] == ["conv1", "fc"]
        for row, r in zip(rows, result.r_layers, strict=True):
            assert row["r_mean"] == pytest.approx(np.nanmean(r), abs=1e-6)
            assert row["r_ci_low"] <= row["r_mean"] <= row["r_ci_high"]
        columns = voxel_columns(result, 0.05)
        assert columns["vertex"].tolist() == [4, 8, 15, 16, 23]
        assert np.isnan(columns["nnr2"]).tolist() == [False, True, True, True, False]
        assert columns["layer"] == "fc"


def test_an_unknown_ceiling_stays_empty(results):
    unknown = np.full(5, np.nan)
    row = summary(replace(results["published"], noise_ceiling=unknown), 0.05)
    assert np.isnan([row["ceiling_r_mean"], row["nnr2_mean"]]).all()
