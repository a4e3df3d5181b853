"""Decode a probe's images once."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
