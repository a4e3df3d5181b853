rule measure_similarity:
    input:
        grams=at("extract_features", "grams"),
        responses=at(RESPONSES, "responses"),
    output:
        rows="results/measure_similarity/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/similarity.csv",
    log:
        "results/logs/measure_similarity/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/measure_similarity/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    message:
        "Comparing layers with {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} ({wildcards.method})"
    script:
        "../scripts/measure_similarity.py"


rule compare_networks:
    input:
        grams=at("extract_features", "grams", of_subject),
    output:
        rows="results/compare_networks/{version}/ds-{dataset}/sub-{subject}/networks.csv",
    log:
        "results/logs/compare_networks/{version}/ds-{dataset}/sub-{subject}.log",
    benchmark:
        "results/benchmarks/compare_networks/{version}/ds-{dataset}/sub-{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    message:
        "Comparing the networks of {wildcards.subject} with each other"
    script:
        "../scripts/compare_networks.py"


rule relate_repeats:
    input:
        simulated=at("simulate_dataset", "record", simulated),
        split=at("split_images", "split"),
    output:
        ceilings="results/relate_repeats/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/ceilings.csv",
    log:
        "results/logs/relate_repeats/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}.log",
    benchmark:
        "results/benchmarks/relate_repeats/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    message:
        "Comparing repeats of {wildcards.subject} {wildcards.hemisphere}"
    script:
        "../scripts/relate_repeats.py"


rule tabulate_similarity:
    input:
        rows=at("measure_similarity", "rows", compared),
        networks=at("compare_networks", "rows", subjects),
        responses=at(RESPONSES, "responses", regions),
        splits=at("split_images", "split", subjects),
        repeats=at("relate_repeats", "ceilings", repeated),
    output:
        similarity="results/tabulate_similarity/{version}/similarity.csv",
        networks="results/tabulate_similarity/{version}/similarity_networks.csv",
    log:
        "results/logs/tabulate_similarity/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_similarity/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Tabulating how alike layers and ROIs are"
    script:
        "../scripts/tabulate_similarity.py"


rule plot_similarity:
    input:
        table=at("tabulate_similarity", "similarity"),
        encoding=at("tabulate_encoding", "encoding"),
    output:
        layers="results/plot_similarity/{version}/similarity_by_layer.png",
        gains="results/plot_similarity/{version}/similarity_gains.png",
    log:
        "results/logs/plot_similarity/{version}.log",
    benchmark:
        "results/benchmarks/plot_similarity/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    message:
        "Drawing how alike layers and ROIs are"
    script:
        "../scripts/plot_similarity.py"
