"""Run a network once over its subject's images."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
