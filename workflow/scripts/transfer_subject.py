"""Encode other subjects from the features of one's network."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
