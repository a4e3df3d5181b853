"""Fit and score the encoding models of one network and ROI (rule encode_roi)."""

from cortune.encoding.stages import encode_roi
from cortune.jobs import Job, run


def main(job: Job) -> None:
    """Write the unit's scores under every protocol."""
    encoding = job.config.encoding
    encode_roi(
        job.input.grams,
        job.input.responses,
        job.wildcards.roi,
        job.output.encoding,
        job.provenance(),
        job.encoding_settings(),
        protocols=encoding.protocols,
        n_folds=encoding.folds,
        n_iter=encoding.all_layers.n_iter,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
