rule plot_encoding:
    input:
        encoding=made_from("tabulate_encoding", "encoding.csv"),
        layers=made_from("tabulate_encoding", "encoding_layers.csv"),
        voxels=made_from("tabulate_encoding", "encoding_voxels.parquet"),
    output:
        by_roi=report(
            "results/plot_encoding/{version}/encoding_by_roi.png",
            caption="../report/encoding_by_roi.rst",
            category="Encoding",
            labels={"figure": "Accuracy by ROI and method"},
        ),
        layers=report(
            "results/plot_encoding/{version}/encoding_by_layer.png",
            caption="../report/encoding_by_layer.rst",
            category="Encoding",
            labels={"figure": "Accuracy by layer"},
        ),
        voxels=report(
            "results/plot_encoding/{version}/encoding_by_voxel.png",
            caption="../report/encoding_by_voxel.rst",
            category="Encoding",
            labels={"figure": "Tuned against untuned, by voxel"},
        ),
        protocols=report(
            "results/plot_encoding/{version}/encoding_by_protocol.png",
            caption="../report/encoding_by_protocol.rst",
            category="Encoding",
            labels={"figure": "Protocols compared"},
        ),
    log:
        "results/logs/plot_encoding/{version}.log",
    benchmark:
        "results/benchmarks/plot_encoding/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing the encoding scores"
    script:
        "../scripts/plot_encoding.py"


rule plot_cortex:
    input:
        PROJECT.responses().values(),
        voxels=made_from("tabulate_encoding", "encoding_voxels.parquet"),
    output:
        figure=report(
            "results/plot_cortex/{version}/cortex.png",
            caption="../report/cortex.rst",
            category="Encoding",
            labels={"figure": "Accuracy on the cortical surface"},
        ),
    log:
        "results/logs/plot_cortex/{version}.log",
    benchmark:
        "results/benchmarks/plot_cortex/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
    message:
        "Drawing the encoding scores on the cortical surface"
    script:
        "../scripts/plot_cortex.py"


rule plot_tuning:
    input:
        every_unit("history"),
    output:
        curves=report(
            "results/plot_tuning/{version}/training_curves.png",
            caption="../report/training_curves.rst",
            category="Tuning",
            labels={"figure": "Training curves"},
        ),
    log:
        "results/logs/plot_tuning/{version}.log",
    benchmark:
        "results/benchmarks/plot_tuning/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(20),
    message:
        "Drawing the training curves"
    script:
        "../scripts/plot_tuning.py"


rule plot_published:
    input:
        table=made_from("tabulate_published", "published.csv"),
        encoding=made_from("tabulate_encoding", "encoding.csv"),
    output:
        figure=report(
            "results/plot_published/{version}/published.png",
            caption="../report/published.rst",
            category="Encoding",
            labels={"figure": "Beside the published accuracies"},
        ),
    log:
        "results/logs/plot_published/{version}.log",
    benchmark:
        "results/benchmarks/plot_published/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing the published accuracies beside these"
    script:
        "../scripts/plot_published.py"


rule plot_size_curve:
    input:
        table=made_from("tabulate_size_curve", "size_curve.csv"),
    output:
        figure=report(
            "results/plot_size_curve/{version}/size_curve.png",
            caption="../report/size_curve.rst",
            category="Encoding",
            labels={"figure": "Accuracy by number of images"},
        ),
    log:
        "results/logs/plot_size_curve/{version}.log",
    benchmark:
        "results/benchmarks/plot_size_curve/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing accuracy by number of images"
    script:
        "../scripts/plot_size_curve.py"


rule plot_information:
    input:
        table=made_from("bound_information", "information.csv"),
    output:
        figure=report(
            "results/plot_information/{version}/information_by_roi.png",
            caption="../report/information_by_roi.rst",
            category="Information",
            labels={"figure": "Information bound by ROI"},
        ),
    log:
        "results/logs/plot_information/{version}.log",
    benchmark:
        "results/benchmarks/plot_information/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing the information bounds"
    script:
        "../scripts/plot_information.py"


rule publish_results:
    input:
        tables=PROJECT.tables(),
        figures=PROJECT.figures(),
    output:
        manifest="results/latest/manifest.json",
        page="results/latest/report.html",
    log:
        "results/logs/publish_results.log",
    benchmark:
        "results/benchmarks/publish_results.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        versions=PROJECT.current_versions(),
    message:
        "Publishing tables, figures and report to results/latest"
    script:
        "../scripts/publish_results.py"
