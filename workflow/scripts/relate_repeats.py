"""Measure how alike the responses to odd and to even repeats of test images are."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
