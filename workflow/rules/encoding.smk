rule encode_roi:
    input:
        grams=features_of,
        responses=made_from(
            "prepare_responses", "responses.h5", "subject", "hemisphere"
        ),
    output:
        encoding="results/encode_roi/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/encoding.h5",
    log:
        "results/logs/encode_roi/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}.log",
    benchmark:
        "results/benchmarks/encode_roi/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    message:
        "Encoding {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} ({wildcards.method})"
    script:
        "../scripts/encode_roi.py"


rule fit_size_curve:
    input:
        grams=features_of,
        responses=made_from(
            "prepare_responses", "responses.h5", "subject", "hemisphere"
        ),
    output:
        curve="results/fit_size_curve/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/size_curve.h5",
    log:
        "results/logs/fit_size_curve/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}.log",
    benchmark:
        "results/benchmarks/fit_size_curve/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
    message:
        "Encoding {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} from growing numbers of images ({wildcards.method})"
    script:
        "../scripts/fit_size_curve.py"


rule tabulate_encoding:
    input:
        every_unit("encoding"),
    output:
        encoding=report(
            "results/tabulate_encoding/{version}/encoding.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Accuracy by unit"},
        ),
        layers="results/tabulate_encoding/{version}/encoding_layers.csv",
        voxels="results/tabulate_encoding/{version}/encoding_voxels.parquet",
        partition="results/tabulate_encoding/{version}/variance_partition.csv",
        skipped=report(
            "results/tabulate_encoding/{version}/skipped.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "What was left out"},
        ),
    log:
        "results/logs/tabulate_encoding/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_encoding/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Tabulating the encoding scores"
    script:
        "../scripts/tabulate_encoding.py"


rule tabulate_comparison:
    input:
        encoding=made_from("tabulate_encoding", "encoding.csv"),
        voxels=made_from("tabulate_encoding", "encoding_voxels.parquet"),
    output:
        comparison=report(
            "results/tabulate_comparison/{version}/comparison.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Comparison of methods"},
        ),
    log:
        "results/logs/tabulate_comparison/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_comparison/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Comparing the tuning methods"
    script:
        "../scripts/tabulate_comparison.py"


rule tabulate_published:
    input:
        encoding=made_from("tabulate_encoding", "encoding.csv"),
    output:
        table=report(
            "results/tabulate_published/{version}/published.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Beside the published accuracies"},
        ),
    log:
        "results/logs/tabulate_published/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_published/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Setting the published accuracies beside these"
    script:
        "../scripts/tabulate_published.py"


rule tabulate_size_curve:
    input:
        every_unit("size_curve"),
    output:
        table=report(
            "results/tabulate_size_curve/{version}/size_curve.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Accuracy by number of images"},
        ),
    log:
        "results/logs/tabulate_size_curve/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_size_curve/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Tabulating accuracy by number of images"
    script:
        "../scripts/tabulate_size_curve.py"
