rule prepare_images:
    input:
        simulated=at("simulate_dataset", "record", simulated),
    output:
        images="results/prepare_images/{version}/ds-{dataset}/sub-{subject}/images.npy",
        index="results/prepare_images/{version}/ds-{dataset}/sub-{subject}/index.csv",
    log:
        "results/logs/prepare_images/{version}/ds-{dataset}/sub-{subject}.log",
    benchmark:
        "results/benchmarks/prepare_images/{version}/ds-{dataset}/sub-{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        facts=facts("prepare_images"),
    message:
        "Decoding the images of {wildcards.subject}"
    script:
        "../scripts/prepare_images.py"


rule prepare_responses:
    input:
        simulated=at("simulate_dataset", "record", simulated),
    output:
        responses="results/prepare_responses/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/responses.h5",
    log:
        "results/logs/prepare_responses/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}.log",
    benchmark:
        "results/benchmarks/prepare_responses/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    message:
        "Reading the responses of {wildcards.subject} {wildcards.hemisphere}"
    script:
        "../scripts/prepare_responses.py"


rule prepare_whole:
    input:
        simulated=at("simulate_dataset", "record", simulated),
    output:
        responses="results/prepare_whole/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/responses.h5",
    log:
        "results/logs/prepare_whole/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}.log",
    benchmark:
        "results/benchmarks/prepare_whole/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    message:
        "Reading every response of {wildcards.subject} {wildcards.hemisphere}"
    script:
        "../scripts/prepare_whole.py"


rule split_images:
    input:
        index=at("prepare_images", "index"),
    output:
        split="results/split_images/{version}/ds-{dataset}/sub-{subject}/split.csv",
    log:
        "results/logs/split_images/{version}/ds-{dataset}/sub-{subject}.log",
    benchmark:
        "results/benchmarks/split_images/{version}/ds-{dataset}/sub-{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        facts=facts("split_images"),
    message:
        "Splitting the images of {wildcards.subject} by identity"
    script:
        "../scripts/split_images.py"
