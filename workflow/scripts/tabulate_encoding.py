"""Gather the encoding scores of all units."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
