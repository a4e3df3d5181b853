rule prepare_backbone:
    output:
        network="results/prepare_backbone/{version}/network.safetensors",
    log:
        "results/logs/prepare_backbone/{version}.log",
    benchmark:
        "results/benchmarks/prepare_backbone/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        facts=facts("prepare_backbone"),
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
    resources:
        gpu=1,
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        facts=facts("pretrain_backbone"),
    message:
        "Training the backbone on labelled scenes"
    script:
        "../scripts/pretrain_backbone.py"


rule tune_network:
    input:
        backbone=at(BACKBONE, "network"),
        images=at("prepare_images", "images"),
        index=at("prepare_images", "index"),
        responses=at(RESPONSES, "responses"),
        split=at("split_images", "split"),
    output:
        network="results/tune_network/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/network.safetensors",
        history="results/tune_network/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/history.csv",
        embeddings="results/tune_network/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/embeddings.h5",
    log:
        "results/logs/tune_network/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/tune_network/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/gpu.yaml"
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
        backbone=at(BACKBONE, "network"),
        images=at("prepare_images", "images", pool),
        index=at("prepare_images", "index", pool),
        responses=at("prepare_responses", "responses", pool),
        split=at("split_images", "split", pool),
    output:
        network="results/tune_pooled/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/network.safetensors",
        history="results/tune_pooled/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/history.csv",
        embeddings="results/tune_pooled/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/embeddings.h5",
    log:
        "results/logs/tune_pooled/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/tune_pooled/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=growing(16000),
        runtime=growing(1440),
    params:
        facts=facts("tune_pooled"),
    message:
        "Tuning subject {wildcards.subject}, hemisphere {wildcards.hemisphere}, ROI {wildcards.roi} together ({wildcards.method})"
    script:
        "../scripts/tune_pooled.py"


rule extract_features:
    input:
        network=at(NETWORK, "network"),
        backbone=at(BACKBONE, "network"),
        images=at("prepare_images", "images"),
        index=at("prepare_images", "index"),
        split=at("split_images", "split"),
    output:
        grams="results/extract_features/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/grams.h5",
    log:
        "results/logs/extract_features/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/extract_features/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(60),
    message:
        "Extracting features for {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} ({wildcards.method})"
    script:
        "../scripts/extract_features.py"
