rule prepare_probe:
    output:
        images="results/prepare_probe/{version}/probe-{probe}/images.npy",
        index="results/prepare_probe/{version}/probe-{probe}/index.csv",
    log:
        "results/logs/prepare_probe/{version}/probe-{probe}.log",
    benchmark:
        "results/benchmarks/prepare_probe/{version}/probe-{probe}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    params:
        facts=facts("prepare_probe"),
    message:
        "Preparing the images of probe {wildcards.probe}"
    script:
        "../scripts/prepare_probe.py"


rule probe_network:
    input:
        networks=at(NETWORK, "network", together),
        backbone=at(BACKBONE, "network"),
        images=at("prepare_probe", "images"),
        index=at("prepare_probe", "index"),
    output:
        folder=directory(
            "results/probe_network/{version}/probe-{probe}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}"
        ),
    log:
        "results/logs/probe_network/{version}/probe-{probe}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/probe_network/{version}/probe-{probe}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(1440),
    message:
        "Probing the networks of {wildcards.subject} with {wildcards.probe} ({wildcards.method})"
    script:
        "../scripts/probe_network.py"


rule tabulate_probes:
    input:
        probes=at("probe_network", "folder", probed),
    output:
        table="results/tabulate_probes/{version}/probes.csv",
    log:
        "results/logs/tabulate_probes/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_probes/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    message:
        "Tabulating the accuracy of the probes"
    script:
        "../scripts/tabulate_probes.py"


rule plot_probes:
    input:
        table=at("tabulate_probes", "table"),
    output:
        figure="results/plot_probes/{version}/probe_accuracy.png",
    log:
        "results/logs/plot_probes/{version}.log",
    benchmark:
        "results/benchmarks/plot_probes/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing the accuracy of the probes"
    script:
        "../scripts/plot_probes.py"


rule plot_forgetting:
    input:
        probes=at("tabulate_probes", "table"),
        encoding=at("tabulate_encoding", "encoding"),
    output:
        figure="results/plot_forgetting/{version}/encoding_gain_against_forgetting.png",
    log:
        "results/logs/plot_forgetting/{version}.log",
    benchmark:
        "results/benchmarks/plot_forgetting/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing what tuning gains against what it forgets"
    script:
        "../scripts/plot_forgetting.py"
