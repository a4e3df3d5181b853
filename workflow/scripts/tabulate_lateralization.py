"""Gather to which side networks look."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
