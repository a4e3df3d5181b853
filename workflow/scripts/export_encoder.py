"""Fit the map from a network's features to the responses of a subject."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
