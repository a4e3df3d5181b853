rule transfer_subject:
    input:
        network=at(NETWORK, "network"),
        backbone=at(BACKBONE, "network"),
        images=at("prepare_images", "images", others),
        index=at("prepare_images", "index", others),
        split=at("split_images", "split", others),
        responses=at("prepare_responses", "responses", others),
    output:
        encodings="results/transfer_subject/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/transfer.h5",
    log:
        "results/logs/transfer_subject/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/transfer_subject/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(480),
    params:
        facts=facts("transfer_subject"),
    message:
        "Transferring {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} to other subjects ({wildcards.method})"
    script:
        "../scripts/transfer_subject.py"


rule transfer_dataset:
    input:
        network=at(NETWORK, "network"),
        backbone=at(BACKBONE, "network"),
        images=at("prepare_images", "images", targets),
        index=at("prepare_images", "index", targets),
        split=at("split_images", "split", targets),
        responses=at("prepare_responses", "responses", targets),
    output:
        encodings="results/transfer_dataset/{version}/to-{target}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/transfer.h5",
    log:
        "results/logs/transfer_dataset/{version}/to-{target}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/transfer_dataset/{version}/to-{target}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(480),
    params:
        facts=facts("transfer_dataset"),
    message:
        "Transferring {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} to {wildcards.target} ({wildcards.method})"
    script:
        "../scripts/transfer_dataset.py"


rule tabulate_transfer:
    input:
        subjects=at("transfer_subject", "encodings", between_subjects),
        datasets=at("transfer_dataset", "encodings", between_datasets),
        encodings=at("encode_roi", "encoding", encoded),
    output:
        subjects="results/tabulate_transfer/{version}/transfer_subjects.csv",
        datasets="results/tabulate_transfer/{version}/transfer_datasets.csv",
    log:
        "results/logs/tabulate_transfer/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_transfer/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Tabulating transfer"
    script:
        "../scripts/tabulate_transfer.py"


rule plot_transfer:
    input:
        subjects=at("tabulate_transfer", "subjects"),
        datasets=at("tabulate_transfer", "datasets"),
        voxels=at("tabulate_encoding", "voxels"),
    output:
        subjects="results/plot_transfer/{version}/transfer_subjects.png",
        datasets="results/plot_transfer/{version}/transfer_datasets.png",
    log:
        "results/logs/plot_transfer/{version}.log",
    benchmark:
        "results/benchmarks/plot_transfer/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing transfer"
    script:
        "../scripts/plot_transfer.py"
