rule prepare_backbone:
    output:
        network="results/prepare_backbone/{version}/network.safetensors",
    log:
        "results/logs/prepare_backbone/{version}.log",
    benchmark:
        "results/benchmarks/prepare_backbone/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Loading the weights of the backbone"
    script:
        "../scripts/prepare_backbone.py"


rule pretrain_backbone:
    output:
        network="results/pretrain_backbone/{version}/network.safetensors",
        history="results/pretrain_backbone/{version}/history.csv",
        accuracy="results/pretrain_backbone/{version}/accuracy.json",
    log:
        "results/logs/pretrain_backbone/{version}.log",
    benchmark:
        "results/benchmarks/pretrain_backbone/{version}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 2
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(240),
    message:
        "Training the backbone on labelled scenes"
    script:
        "../scripts/pretrain_backbone.py"


rule tune_network:
    input:
        backbone=PROJECT.backbone(),
        images=made_from("prepare_images", "images.npy", "subject"),
        index=made_from("prepare_images", "index.csv", "subject"),
        responses=made_from(
            "prepare_responses", "responses.h5", "subject", "hemisphere"
        ),
        split=made_from("split_images", "split.csv", "subject"),
    output:
        network="results/tune_network/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/network.safetensors",
        history="results/tune_network/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/history.csv",
        embeddings="results/tune_network/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/embeddings.h5",
    log:
        "results/logs/tune_network/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}.log",
    benchmark:
        "results/benchmarks/tune_network/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(480),
    message:
        "Tuning {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} ({wildcards.method})"
    script:
        "../scripts/tune_network.py"


rule tune_pooled:
    input:
        backbone=PROJECT.backbone(),
        images=of_pool("prepare_images", "images.npy"),
        index=of_pool("prepare_images", "index.csv"),
        responses=of_pool("prepare_responses", "responses.h5", "hemisphere"),
        split=of_pool("split_images", "split.csv"),
    output:
        network="results/tune_pooled/{version}/{pool}/method-{method}/network.safetensors",
        history="results/tune_pooled/{version}/{pool}/method-{method}/history.csv",
        embeddings="results/tune_pooled/{version}/{pool}/method-{method}/embeddings.h5",
    log:
        "results/logs/tune_pooled/{version}/{pool}/method-{method}.log",
    benchmark:
        "results/benchmarks/tune_pooled/{version}/{pool}/method-{method}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(1440),
    params:
        subjects=lambda wildcards: pool_of(wildcards)["subjects"],
        roi=lambda wildcards: pool_of(wildcards)["roi"],
    message:
        "Tuning {wildcards.pool} of several subjects ({wildcards.method})"
    script:
        "../scripts/tune_pooled.py"


rule extract_features:
    input:
        network=network_of,
        images=of_owner("prepare_images", "images.npy"),
        index=of_owner("prepare_images", "index.csv"),
        split=of_owner("split_images", "split.csv"),
    output:
        grams="results/extract_features/{version}/{owner}/method-{method}/grams.h5",
    log:
        "results/logs/extract_features/{version}/{owner}/method-{method}.log",
    benchmark:
        "results/benchmarks/extract_features/{version}/{owner}/method-{method}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(60),
    message:
        "Extracting features for {wildcards.owner} ({wildcards.method})"
    script:
        "../scripts/extract_features.py"
