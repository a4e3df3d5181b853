"""The opening of the report: its numbers are those of the tables, its warnings follow the run."""

import pandas as pd
import pytest
from example import EXAMPLE

from cortune.config import Config
from cortune.report.opening import opening

UNITS = pd.DataFrame(
    [
        ("nsd", subject, "lh", "V1v", method, protocol, 90, r + (protocol == "published"), 0.8)
        for protocol in ("heldout_cv", "published")
        for method, scores in (("untuned", (0.2, 0.3)), ("contrastive", (0.4, 0.44)))
        for subject, r in zip(("subj01", "subj02"), scores, strict=True)
    ],
    columns=["dataset", "subject", "hemisphere", "roi", "method", "protocol", "n_images_fit",
             "r_mean", "ceiling_r_mean"],
)  # fmt: skip
COMPARISON = pd.DataFrame(
    {
        "level": ["group", "group", "roi"], "group": ["early", "all", "V1v"],
        "method_a": "contrastive", "method_b": "untuned", "r_diff_mean": [0.9, 0.17, 0.9],
        "ci_low": [0.0, -0.021, 0.0], "ci_high": [0.0, 0.3, 0.0], "p_value": [0.5, float("nan"), 1],
    }
)  # fmt: skip
TRANSFER = pd.DataFrame(
    {
        "source_subject": ["subj01", "subj02"], "target_subject": ["subj02", "subj01"],
        "target_dataset": "nsd", "method": "contrastive", "r_diff_mean": [0.05, -0.01],
    }
)  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def written(**tables):
        for name, table in tables.items():
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        return {path.name: path for path in tmp_path.glob("*.csv")}

    return written


def config(**changes):
    changed = Config.from_mapping(EXAMPLE).as_dict()
    for section, values in changes.items():
        changed[section] |= values
    return changed


def test_numbers_are_those_of_the_first_protocol_and_of_all_rois(write):
    found = opening(write(encoding=UNITS, comparison=COMPARISON), config())
    assert found.protocol == "heldout_cv"
    assert found.rows == [
        ("untuned", ".250", "31%", ""),
        ("contrastive", ".420", "52%", "+.170 [−.021, +.300]"),
    ]
    assert found.tuned and "was tuned to a simulated brain" in found.setting
    assert "2 subjects, 2 units" in found.setting and "90 images" in found.setting


def test_how_many_images_were_scored_is_said(write):
    scored = UNITS.assign(n_images_scored=[36, 40] * 4)
    setting = opening(write(encoding=scored), config()).setting
    assert "fitted on 90 images and scored on 36 to 40 images that no network" in setting


def test_an_untuned_network_alone_was_evaluated_not_tuned_and_gains_nothing(write):
    found = opening(write(encoding=UNITS[UNITS["method"] == "untuned"]), config())
    assert "was evaluated, untuned, on a simulated brain" in found.setting
    assert not found.tuned
    assert not any("epoch" in line or "replicate" in line for line in found.warnings)


def test_of_one_subject_no_interval_is_given_and_that_is_said(write):
    alone = COMPARISON.assign(ci_low=float("nan"), ci_high=float("nan"), n_subjects=1)
    units = UNITS[UNITS["subject"] == "subj01"]
    found = opening(write(encoding=units, comparison=alone), config())
    assert found.rows[1][3] == "+.170 (1 subject: no interval)"
    (warning,) = (line for line in found.warnings if "1 subject" in line)
    assert warning == (
        "1 subject: no interval and no test over subjects; nothing can be said of other people."
    )


def test_the_most_that_information_could_be_is_said(write):
    columns = {"method": "contrastive", "mi_lower_bound_nats": [1e-9, 0.0]}
    for log_k, said in (([2.944, 2.944], "2.94"), ([2.944, 3.1], "2.94 to 3.10")):
        table = pd.DataFrame({**columns, "log_k": log_k})
        (line,) = opening(write(encoding=UNITS, information=table), config()).findings
        assert line.endswith(f": contrastive .000 (0: none shown; at most log K = {said}).")


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        ({"contrastive": 2, "regression": 2}, "Networks were tuned for 2 epochs: too few"),
        ({"contrastive": 1, "regression": 4}, "Networks were tuned for 1 to 4 epochs: too few"),
        ({"contrastive": 1, "regression": 5}, "Networks of contrastive were tuned for 1 epoch: "),
        ({"contrastive": 5, "regression": 5}, None),
    ],
)
def test_too_few_epochs_are_warned_of(write, epochs, said):
    third = UNITS[UNITS["method"] == "contrastive"].assign(method="regression")
    changes = {section: {"epochs": n} for section, n in epochs.items()}
    warnings = opening(write(encoding=pd.concat([UNITS, third])), config(**changes)).warnings
    found = [line for line in warnings if "epoch" in line]
    assert len(found) == (said is not None) and all(line.startswith(said) for line in found)


def test_findings_follow_the_tables_that_are_there(write):
    found = opening(write(encoding=UNITS, transfer_subjects=TRANSFER), config())
    (line,) = found.findings
    assert "+.020 in r" in line and "from −.010 to +.050 over 2 pairs" in line
    assert line.endswith("better in 1 pair.")


def test_it_is_said_whether_tuning_raises_similarity_where_it_raises_encoding(write):
    """Of subj01 both rise, of subj02 similarity falls while r rises; none has r that falls."""
    rows = [
        ("nsd", subject, "lh", "V1v", method, "fc", "cka", value)
        for subject, values in (("subj01", (0.1, 0.2)), ("subj02", (0.3, 0.25)))
        for method, value in zip(("untuned", "contrastive"), values, strict=True)
    ]
    names = ["dataset", "subject", "hemisphere", "roi", "method", "layer", "measure", "value"]
    (line,) = opening(
        write(encoding=UNITS, similarity=pd.DataFrame(rows, columns=names)), config()
    ).findings
    assert line == (
        "Similarity (CKA): of 2 units whose encoding accuracy tuning raised it raised the "
        "similarity of 1, of 0 others that of 0."
    )


def test_warnings_follow_the_run(write):
    tables = write(encoding=UNITS)
    few = " ".join(opening(tables, config()).warnings)
    assert "simulated" in few and "2 subjects: no test over subjects can fall below p = 0.5" in few
    many = pd.concat([UNITS.assign(subject=UNITS["subject"] + str(i)) for i in range(4)])
    real = {name: {**each, "simulate": None} for name, each in config()["datasets"].items()}
    tables = write(encoding=many)
    warnings = " ".join(opening(tables, config(datasets=real)).warnings)
    assert "simulated" not in warnings and "no test over subjects" not in warnings


def test_without_scores_there_is_no_opening(write):
    assert opening(write(comparison=COMPARISON), config()) is None
