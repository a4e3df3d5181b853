rule export_encoder:
    input:
        network=at(NETWORK, "network"),
        backbone=at(BACKBONE, "network"),
        images=at("prepare_images", "images"),
        index=at("prepare_images", "index"),
        split=at("split_images", "split"),
        responses=at(RESPONSES, "responses", hemispheres),
    output:
        encoder="results/export_encoder/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/encoder.safetensors",
        config="results/export_encoder/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/config.json",
    log:
        "results/logs/export_encoder/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/export_encoder/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=growing(12000),
        runtime=growing(240),
    params:
        facts=facts("export_encoder"),
    message:
        "Fitting the encoder of {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} ({wildcards.method})"
    script:
        "../scripts/export_encoder.py"


rule tabulate_encoders:
    input:
        encoders=at("export_encoder", "encoder", exported),
        configs=at("export_encoder", "config", exported),
    output:
        table="results/tabulate_encoders/{version}/encoders.csv",
    log:
        "results/logs/tabulate_encoders/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_encoders/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(20),
    message:
        "Tabulating the encoders"
    script:
        "../scripts/tabulate_encoders.py"
