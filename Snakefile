# Cortune: from raw images and fMRI responses to tuned networks, encoding scores and a report.
# README.md says how to run it; config/README.md lists every key of the configuration.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

# A configuration given with --configfile replaces the one here, or else the demo's, instead of
# being merged into it.
if not workflow.config_settings.configfiles:
    here = Path("config", "config.yaml")

    configfile: here if here.is_file() else Path(workflow.basedir, here)


include: "workflow/rules/common.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/encoding.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/information.smk"
include: "workflow/rules/probes.smk"
include: "workflow/rules/similarity.smk"
include: "workflow/rules/landscape.smk"
include: "workflow/rules/saliency.smk"
include: "workflow/rules/report.smk"


# A killed run leaves nothing to unlock.
onstart:
    said_plainly(PLANNING.start)


# No run ends well with less than it was asked for.
onsuccess:
    said_plainly(PLANNING.finish)


rule all:
    default_target: True
    input:
        everything,
