"""Gather what the encoders are and how well they predict."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
