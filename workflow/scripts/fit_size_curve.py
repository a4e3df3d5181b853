"""Fit encoding models on growing numbers of images."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
