rule plot_encoding:
    input:
        encoding=at("tabulate_encoding", "encoding"),
        layers=at("tabulate_encoding", "layers"),
        voxels=at("tabulate_encoding", "voxels"),
    output:
        by_roi="results/plot_encoding/{version}/encoding_by_roi.png",
        layers="results/plot_encoding/{version}/encoding_by_layer.png",
        voxels="results/plot_encoding/{version}/encoding_by_voxel.png",
        protocols="results/plot_encoding/{version}/encoding_by_protocol.png",
    log:
        "results/logs/plot_encoding/{version}.log",
    benchmark:
        "results/benchmarks/plot_encoding/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing the encoding scores"
    script:
        "../scripts/plot_encoding.py"


rule plot_cortex:
    input:
        responses=at(RESPONSES, "responses", responses),
        voxels=at("tabulate_encoding", "voxels"),
    output:
        figure="results/plot_cortex/{version}/cortex.png",
        interactive="results/plot_cortex/{version}/cortex.html",
    log:
        "results/logs/plot_cortex/{version}.log",
    benchmark:
        "results/benchmarks/plot_cortex/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
    params:
        facts=facts("plot_cortex"),
    message:
        "Drawing the encoding scores on the cortical surface"
    script:
        "../scripts/plot_cortex.py"


rule plot_published:
    input:
        table=at("tabulate_published", "table"),
        encoding=at("tabulate_encoding", "encoding"),
    output:
        figure="results/plot_published/{version}/published.png",
    log:
        "results/logs/plot_published/{version}.log",
    benchmark:
        "results/benchmarks/plot_published/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        facts=facts("plot_published"),
    message:
        "Drawing the published accuracies beside these"
    script:
        "../scripts/plot_published.py"


rule plot_size_curve:
    input:
        table=at("tabulate_size_curve", "table"),
    output:
        figure="results/plot_size_curve/{version}/size_curve.png",
    log:
        "results/logs/plot_size_curve/{version}.log",
    benchmark:
        "results/benchmarks/plot_size_curve/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing accuracy by number of images"
    script:
        "../scripts/plot_size_curve.py"


rule plot_information:
    input:
        table=at("bound_information", "table"),
    output:
        figure="results/plot_information/{version}/information_by_roi.png",
    log:
        "results/logs/plot_information/{version}.log",
    benchmark:
        "results/benchmarks/plot_information/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing the information bounds"
    script:
        "../scripts/plot_information.py"


rule plot_tuning:
    input:
        histories=at(NETWORK, "history", tuned),
    output:
        curves="results/plot_tuning/{version}/training_curves.png",
    log:
        "results/logs/plot_tuning/{version}.log",
    benchmark:
        "results/benchmarks/plot_tuning/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(20),
    message:
        "Drawing the training curves"
    script:
        "../scripts/plot_tuning.py"


rule publish_results:
    input:
        shown=shown,
    output:
        manifest="results/publish_results/{version}/manifest.json",
        page="results/publish_results/{version}/report.html",
    log:
        "results/logs/publish_results/{version}.log",
    benchmark:
        "results/benchmarks/publish_results/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        facts=facts("publish_results"),
    message:
        "Publishing tables, figures and report to results/latest"
    script:
        "../scripts/publish_results.py"
