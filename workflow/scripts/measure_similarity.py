"""Measure how alike the layers of a network and an ROI are."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
