"""Bound the information of all tuned networks."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
