"""Bring the last complete run to results/latest."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
