rule decompose_features:
    input:
        grams=at("extract_features", "grams"),
    output:
        components="results/decompose_features/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/components.h5",
    log:
        "results/logs/decompose_features/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/decompose_features/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    message:
        "Decomposing the features of {wildcards.subject} ({wildcards.method}) for all ROIs"
    script:
        "../scripts/decompose_features.py"


rule encode_roi:
    input:
        grams=at("extract_features", "grams"),
        responses=at(RESPONSES, "responses"),
        components=at("decompose_features", "components", decomposed),
    output:
        encoding="results/encode_roi/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/encoding.h5",
    log:
        "results/logs/encode_roi/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/encode_roi/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    message:
        "Encoding {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} ({wildcards.method})"
    script:
        "../scripts/encode_roi.py"


rule fit_size_curve:
    input:
        grams=at("extract_features", "grams"),
        responses=at(RESPONSES, "responses"),
    output:
        curve="results/fit_size_curve/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}/size_curve.h5",
    log:
        "results/logs/fit_size_curve/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.log",
    benchmark:
        "results/benchmarks/fit_size_curve/{version}/ds-{dataset}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/rep-{replicate}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
    message:
        "Encoding {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} from growing numbers of images ({wildcards.method})"
    script:
        "../scripts/fit_size_curve.py"


rule tabulate_encoding:
    input:
        encodings=at("encode_roi", "encoding", encoded),
    output:
        encoding="results/tabulate_encoding/{version}/encoding.csv",
        replicates="results/tabulate_encoding/{version}/encoding_replicates.csv",
        layers="results/tabulate_encoding/{version}/encoding_layers.csv",
        voxels="results/tabulate_encoding/{version}/encoding_voxels.parquet",
        partition="results/tabulate_encoding/{version}/variance_partition.csv",
        skipped="results/tabulate_encoding/{version}/skipped.csv",
    log:
        "results/logs/tabulate_encoding/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_encoding/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        facts=facts("tabulate_encoding"),
    message:
        "Tabulating the encoding scores"
    script:
        "../scripts/tabulate_encoding.py"


rule tabulate_comparison:
    input:
        encoding=at("tabulate_encoding", "encoding"),
        voxels=at("tabulate_encoding", "voxels"),
    output:
        comparison="results/tabulate_comparison/{version}/comparison.csv",
    log:
        "results/logs/tabulate_comparison/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_comparison/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Comparing the tuning methods"
    script:
        "../scripts/tabulate_comparison.py"


rule tabulate_published:
    input:
        encoding=at("tabulate_encoding", "encoding"),
    output:
        table="results/tabulate_published/{version}/published.csv",
    log:
        "results/logs/tabulate_published/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_published/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Setting the published accuracies beside these"
    script:
        "../scripts/tabulate_published.py"


rule tabulate_size_curve:
    input:
        curves=at("fit_size_curve", "curve", curves),
    output:
        table="results/tabulate_size_curve/{version}/size_curve.csv",
    log:
        "results/logs/tabulate_size_curve/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_size_curve/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Tabulating accuracy by number of images"
    script:
        "../scripts/tabulate_size_curve.py"
