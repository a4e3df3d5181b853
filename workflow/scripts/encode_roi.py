"""Fit and score the encoding models of one network and ROI."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
