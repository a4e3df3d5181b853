rule map_saliency:
    input:
        networks_of,
        probes=probes_of,
        images=probe_images("images.npy"),
        index=probe_images("index.csv"),
    output:
        folder=directory("results/map_saliency/{version}/{networks}/method-{method}"),
    log:
        "results/logs/map_saliency/{version}/{networks}/method-{method}.log",
    benchmark:
        "results/benchmarks/map_saliency/{version}/{networks}/method-{method}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(480),
    message:
        "Mapping where the networks of {wildcards.networks} look ({wildcards.method})"
    script:
        "../scripts/map_saliency.py"


rule tabulate_lateralization:
    input:
        PROJECT.saliency_folders(),
    output:
        table=report(
            "results/tabulate_lateralization/{version}/lateralization.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Lateralization by network"},
        ),
        tests=report(
            "results/tabulate_lateralization/{version}/lateralization_tests.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Left against right hemisphere"},
        ),
    log:
        "results/logs/tabulate_lateralization/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_lateralization/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Tabulating to which side networks look"
    script:
        "../scripts/tabulate_lateralization.py"


rule plot_saliency:
    input:
        PROJECT.saliency_folders(),
        table=made_from("tabulate_lateralization", "lateralization.csv"),
        tests=made_from("tabulate_lateralization", "lateralization_tests.csv"),
        images=probe_images("images.npy"),
        index=probe_images("index.csv"),
    output:
        maps=report(
            "results/plot_saliency/{version}/saliency_maps.png",
            caption="../report/saliency_maps.rst",
            category="Saliency",
            labels={"figure": "Mean maps"},
        ),
        laterality=report(
            "results/plot_saliency/{version}/laterality.png",
            caption="../report/laterality.rst",
            category="Saliency",
            labels={"figure": "Laterality by ROI"},
        ),
        distributions=report(
            "results/plot_saliency/{version}/laterality_distributions.png",
            caption="../report/laterality_distributions.rst",
            category="Saliency",
            labels={"figure": "Laterality over images"},
        ),
        examples=report(
            "results/plot_saliency/{version}/saliency_examples.png",
            caption="../report/saliency_examples.rst",
            category="Saliency",
            labels={"figure": "Examples"},
        ),
    log:
        "results/logs/plot_saliency/{version}.log",
    benchmark:
        "results/benchmarks/plot_saliency/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "Drawing where networks look"
    script:
        "../scripts/plot_saliency.py"
