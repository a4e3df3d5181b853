"""Tune one network to one ROI."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
