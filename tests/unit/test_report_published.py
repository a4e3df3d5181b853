"""The published accuracies: what they say, and their place beside a run's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cortune.artifacts import read_provenance
from cortune.report import published
from cortune.report.gains import over_untuned
from cortune.report.style import figure_style
from cortune.versions import Provenance

PROVENANCE = Provenance("tabulate_published", "1-00000000", 0)
METHODS = ("untuned", "regression", "contrastive", "pooled_mean", "pooled_max")
MEANS = {
    "early": (0.3861, 0.4091, 0.4165, 0.4278, 0.4277),
    "higher": (0.3546, 0.3651, 0.3683, 0.3677, 0.3690),
    "all": (0.3662, 0.3811, 0.3858, 0.3896, 0.3904),
}
KEYS = ["dataset", "subject", "hemisphere", "roi", "method", "protocol", "r_mean"]
# Two units of subject a, one of b: means over subjects and over units differ.
OWN = [
    ("sim", "a", "lh", "V1v", "untuned", "published", 0.1),
    ("sim", "a", "rh", "hV4", "untuned", "published", 0.3),
    ("sim", "b", "lh", "V1v", "untuned", "published", 0.6),
    ("sim", "a", "lh", "V1v", "contrastive_plus", "published", 0.2),
    ("sim", "b", "lh", "V1v", "contrastive_plus", "published", np.nan),
    ("sim", "b", "lh", "midventral", "untuned", "published", 0.9),
    ("sim", "a", "lh", "V1v", "untuned", "heldout_cv", 0.9),
    ("sim", "a", "lh", "FFA-1", "regression", "heldout_cv", 0.9),
]


@pytest.fixture
def encoding(tmp_path):
    path = tmp_path / "encoding.csv"
    pd.DataFrame(OWN, columns=KEYS).to_csv(path, index=False)
    return path


@pytest.fixture
def table(encoding, tmp_path):
    published.tabulate_published(encoding, tmp_path / "published.csv", PROVENANCE)
    assert read_provenance(tmp_path / "published.csv") == PROVENANCE.as_dict()
    return pd.read_csv(tmp_path / "published.csv").set_index(["group", "method"])


@pytest.mark.parametrize("group", MEANS)
def test_means_are_the_published_ones(group):
    means = published.published_means().set_index(["group", "method"])
    found = means.loc[group].loc[list(METHODS)]
    assert tuple(found["r"].round(4)) == MEANS[group]
    assert (found["n_subjects"] == 8).all()
    assert (found["n_units"] == {"early": 112, "higher": 198, "all": 310}[group]).all()


def test_packaged_file_is_the_shared_one(repository, shared):
    packaged = repository / "src" / "cortune" / "data" / "published_encoding.csv"
    original = shared / "reference" / "published_encoding.csv"
    assert packaged.read_bytes() == original.read_bytes()


def test_own_means_by_hand(table):
    row = table.loc["early", "untuned"]
    assert row["r_here"] == pytest.approx((0.2 + 0.6) / 2), "subjects first, streams not at all"
    assert row["r_published"] == pytest.approx(0.3861, abs=5e-5)
    counts = ["n_units_published", "n_units_here", "n_subjects_published", "n_subjects_here"]
    assert row[counts].tolist() == [112, 3, 8, 2]
    assert table.loc["all", "untuned"]["r_here"] == row["r_here"]


def test_sides_that_lack_a_method_or_group_are_empty(table):
    plus = table.loc["early", "contrastive_plus"]
    assert plus["r_here"] == 0.2 and plus["n_units_here"] == 1, "a unit without r does not count"
    assert np.isnan(plus["r_published"]) and plus["n_units_published"] == 0
    other_protocol = table.loc["higher", "regression"]
    assert np.isnan(other_protocol["r_here"]) and other_protocol["n_units_here"] == 0
    assert ("higher", "contrastive_plus") not in table.index, "unknown on both sides"
    assert set(published.COLUMNS) == {*table.columns, *table.index.names}


def test_gain_is_paired():
    units = pd.DataFrame(OWN[:4], columns=KEYS)
    gains = over_untuned(units, ["subject", "hemisphere", "roi"])
    (row,) = gains.to_dict("records")
    assert (row["subject"], row["roi"], row["method"]) == ("a", "V1v", "contrastive_plus")
    assert row["r_mean"] == pytest.approx(0.1)
    assert over_untuned(units[3:], ["subject", "hemisphere", "roi"]).empty


def test_bars_show_the_table(table, encoding):
    units = {"published": published.published_table(), "here": published._own_units(encoding)}
    with figure_style():
        figure = published.published_beside_here(table.reset_index(), units, simulated=True)
    heights = sorted(bar.get_height() for bar in figure.axes[0].patches)
    early = table.loc["early"][["r_published", "r_here"]].to_numpy().ravel()
    np.testing.assert_allclose(heights, np.sort(early[np.isfinite(early)]), rtol=1e-5)
    assert "published: 112 units, 8 subjects" in figure.axes[0].get_title(loc="left")
    assert "here (simulated): 1 to 3 units, 1 to 2" in figure.axes[0].get_title(loc="left")
    assert "here (simulated): none" in figure.axes[1].get_title(loc="left")
    assert any("SIMULATED" in text.get_text() for text in figure.legends[0].get_texts())


def test_one_unit_and_one_subject_are_written_in_the_singular(tmp_path):
    names = ("encoding.csv", "published.csv")
    own, both = (tmp_path / name for name in names)
    pd.DataFrame(OWN[:1], columns=KEYS).to_csv(own, index=False)
    published.tabulate_published(own, both, PROVENANCE)
    units = {"published": published.published_table(), "here": published._own_units(own)}
    with figure_style():
        figure = published.published_beside_here(pd.read_csv(both), units, simulated=False)
    assert figure.axes[0].get_title(loc="left").endswith("here: 1 unit, 1 subject")


@pytest.mark.parametrize("rows", [OWN, OWN[-2:]], ids=["some", "none"])
def test_figure_is_drawn(rows, tmp_path):
    names = ("encoding.csv", "published.csv", "published.png")
    own, both, figure = (tmp_path / name for name in names)
    pd.DataFrame(rows, columns=KEYS).to_csv(own, index=False)
    published.tabulate_published(own, both, PROVENANCE)
    published.plot_published(both, own, figure, PROVENANCE, simulated=False)
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_matched_mean_is_over_the_units_of_the_run_alone(tmp_path):
    rows = [
        ("subj01", "lh", "V1v", "untuned", "published", 0.4),
        ("subj02", "rh", "hV4", "untuned", "published", 0.3),
        ("subj02", "rh", "V1v", "untuned", "published", 0.2),
    ]
    columns = ["subject", "hemisphere", "roi", "method", "protocol", "r_mean"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "encoding.csv", index=False)
    published.tabulate_published(tmp_path / "encoding.csv", tmp_path / "p.csv", PROVENANCE)
    table = pd.read_csv(tmp_path / "p.csv").set_index(["group", "method"])
    row = table.loc["early", "untuned"]
    known = published.published_table().query("method == 'untuned'")
    known = known.set_index(["subject", "hemisphere", "roi"])["r_mean"]
    second = (known[2, "rh", "hV4"] + known[2, "rh", "V1v"]) / 2
    assert row["r_published_matched"] == pytest.approx((known[1, "lh", "V1v"] + second) / 2)
    assert (row["n_units_matched"], row["n_subjects_matched"]) == (3, 2)
    assert row["n_units_published"] == 112
