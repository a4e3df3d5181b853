"""Decompose the Gram matrices of a network once for all ROIs of a subject."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
