rule transfer_subject:
    input:
        network=network_of,
        images=of_others("prepare_images", "images.npy"),
        index=of_others("prepare_images", "index.csv"),
        split=of_others("split_images", "split.csv"),
        responses=of_others("prepare_responses", "responses.h5", "hemisphere"),
    output:
        encodings="results/transfer_subject/{version}/{owner}/method-{method}/transfer.h5",
    log:
        "results/logs/transfer_subject/{version}/{owner}/method-{method}.log",
    benchmark:
        "results/benchmarks/transfer_subject/{version}/{owner}/method-{method}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(480),
    params:
        units=lambda wildcards: others_of(wildcards),
    message:
        "Transferring {wildcards.owner} to other subjects ({wildcards.method})"
    script:
        "../scripts/transfer_subject.py"


rule transfer_dataset:
    input:
        network=network_to_transfer,
        images=of_targets("prepare_images", "images.npy"),
        index=of_targets("prepare_images", "index.csv"),
        split=of_targets("split_images", "split.csv"),
        responses=of_targets("prepare_responses", "responses.h5", "hemisphere"),
    output:
        encodings="results/transfer_dataset/{version}/to-{target}/{source}/method-{method}/transfer.h5",
    log:
        "results/logs/transfer_dataset/{version}/to-{target}/{source}/method-{method}.log",
    benchmark:
        "results/benchmarks/transfer_dataset/{version}/to-{target}/{source}/method-{method}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(480),
    params:
        units=lambda wildcards: targets_of(wildcards),
    message:
        "Transferring {wildcards.source} to {wildcards.target} ({wildcards.method})"
    script:
        "../scripts/transfer_dataset.py"


rule tabulate_transfer:
    input:
        [network.path for network in PROJECT.transfers()],
        every_unit("encoding"),
    output:
        subjects=report(
            "results/tabulate_transfer/{version}/transfer_subjects.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Transfer between subjects"},
        ),
        datasets=report(
            "results/tabulate_transfer/{version}/transfer_datasets.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Transfer to other data sets"},
        ),
    log:
        "results/logs/tabulate_transfer/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_transfer/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Tabulating transfer"
    script:
        "../scripts/tabulate_transfer.py"


rule plot_transfer:
    input:
        subjects=made_from("tabulate_transfer", "transfer_subjects.csv"),
        datasets=made_from("tabulate_transfer", "transfer_datasets.csv"),
        voxels=made_from("tabulate_encoding", "encoding_voxels.parquet"),
    output:
        subjects=report(
            "results/plot_transfer/{version}/transfer_subjects.png",
            caption="../report/transfer_subjects.rst",
            category="Transfer",
            labels={"figure": "Between subjects"},
        ),
        datasets=report(
            "results/plot_transfer/{version}/transfer_datasets.png",
            caption="../report/transfer_datasets.rst",
            category="Transfer",
            labels={"figure": "To other data sets"},
        ),
    log:
        "results/logs/plot_transfer/{version}.log",
    benchmark:
        "results/benchmarks/plot_transfer/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing transfer"
    script:
        "../scripts/plot_transfer.py"
