rule map_saliency:
    input:
        networks=at(NETWORK, "network", together),
        backbone=at(BACKBONE, "network"),
        probes=at("probe_network", "folder", of_probe),
        images=at("prepare_probe", "images", of_probe),
        index=at("prepare_probe", "index", of_probe),
    output:
        folder=directory(
            "results/map_saliency/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}"
        ),
    log:
        "results/logs/map_saliency/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/map_saliency/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(480),
    message:
        "Mapping where the networks of {wildcards.subject} look ({wildcards.method})"
    script:
        "../scripts/map_saliency.py"


rule tabulate_lateralization:
    input:
        maps=at("map_saliency", "folder", mapped),
    output:
        tests="results/tabulate_lateralization/{version}/lateralization_tests.csv",
        table="results/tabulate_lateralization/{version}/lateralization.csv",
    log:
        "results/logs/tabulate_lateralization/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_lateralization/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Tabulating to which side networks look"
    script:
        "../scripts/tabulate_lateralization.py"


rule plot_saliency:
    input:
        maps=at("map_saliency", "folder", mapped),
        table=at("tabulate_lateralization", "table"),
        tests=at("tabulate_lateralization", "tests"),
        images=at("prepare_probe", "images", of_probe),
        index=at("prepare_probe", "index", of_probe),
    output:
        maps="results/plot_saliency/{version}/saliency_maps.png",
        laterality="results/plot_saliency/{version}/laterality.png",
        distributions="results/plot_saliency/{version}/laterality_distributions.png",
        examples="results/plot_saliency/{version}/saliency_examples.png",
    log:
        "results/logs/plot_saliency/{version}.log",
    benchmark:
        "results/benchmarks/plot_saliency/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Drawing where networks look"
    script:
        "../scripts/plot_saliency.py"
