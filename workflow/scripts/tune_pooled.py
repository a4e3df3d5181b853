"""Tune one network to the same ROI of several subjects."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
