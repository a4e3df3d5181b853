"""Draw what tuning gains against what it forgets."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
