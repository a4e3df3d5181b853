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
    message:
        "Preparing the images of probe {wildcards.probe}"
    script:
        "../scripts/prepare_probe.py"


rule probe_network:
    input:
        networks_of,
        images=probe_images("images.npy"),
        index=probe_images("index.csv"),
    output:
        folder=directory(
            "results/probe_network/{version}/probe-{probe}/{networks}/method-{method}"
        ),
    log:
        "results/logs/probe_network/{version}/probe-{probe}/{networks}/method-{method}.log",
    benchmark:
        "results/benchmarks/probe_network/{version}/probe-{probe}/{networks}/method-{method}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(1440),
    message:
        "Probing the networks of {wildcards.networks} with {wildcards.probe} ({wildcards.method})"
    script:
        "../scripts/probe_network.py"


rule tabulate_probes:
    input:
        PROJECT.probe_folders(),
    output:
        table=report(
            "results/tabulate_probes/{version}/probes.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Probe accuracy"},
        ),
    log:
        "results/logs/tabulate_probes/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_probes/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    message:
        "Tabulating the accuracy of the probes"
    script:
        "../scripts/tabulate_probes.py"


rule plot_probes:
    input:
        table=made_from("tabulate_probes", "probes.csv"),
    output:
        figure=report(
            "results/plot_probes/{version}/probe_accuracy.png",
            caption="../report/probe_accuracy.rst",
            category="Probes",
            labels={"figure": "Accuracy by ROI and method"},
        ),
    log:
        "results/logs/plot_probes/{version}.log",
    benchmark:
        "results/benchmarks/plot_probes/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing the accuracy of the probes"
    script:
        "../scripts/plot_probes.py"


rule plot_forgetting:
    input:
        probes=made_from("tabulate_probes", "probes.csv"),
        encoding=made_from("tabulate_encoding", "encoding.csv"),
    output:
        figure=report(
            "results/plot_forgetting/{version}/encoding_gain_against_forgetting.png",
            caption="../report/encoding_gain_against_forgetting.rst",
            category="Probes",
            labels={"figure": "Encoding gain against accuracy lost"},
        ),
    log:
        "results/logs/plot_forgetting/{version}.log",
    benchmark:
        "results/benchmarks/plot_forgetting/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing what tuning gains against what it forgets"
    script:
        "../scripts/plot_forgetting.py"
