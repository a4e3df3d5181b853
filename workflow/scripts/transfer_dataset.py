"""Encode another data set from the features of a network."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
