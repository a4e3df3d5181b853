"""Assign a subject's images to tuning, validation and test."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
