"""Gather what the encoders are and how well they predict."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
