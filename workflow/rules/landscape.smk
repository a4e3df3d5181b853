rule embed_networks:
    input:
        PROJECT.probe_folders(),
    output:
        dissimilarity=report(
            "results/embed_networks/{version}/dissimilarity.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Dissimilarity of networks"},
        ),
        landscape=report(
            "results/embed_networks/{version}/landscape.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Landscape of networks"},
        ),
        axes="results/embed_networks/{version}/landscape_axes.csv",
        tests=report(
            "results/embed_networks/{version}/landscape_tests.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Tests of closeness in the landscape"},
        ),
    log:
        "results/logs/embed_networks/{version}.log",
    benchmark:
        "results/benchmarks/embed_networks/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    message:
        "Placing the networks in a landscape of their predictions"
    script:
        "../scripts/embed_networks.py"


rule plot_landscape:
    input:
        landscape=made_from("embed_networks", "landscape.csv"),
        dissimilarity=made_from("embed_networks", "dissimilarity.csv"),
    output:
        inpca=report(
            "results/plot_landscape/{version}/landscape_inpca.png",
            caption="../report/landscape_inpca.rst",
            category="Landscape",
            labels={"figure": "inPCA"},
        ),
        spaces=report(
            "results/plot_landscape/{version}/landscape_spaces.png",
            caption="../report/landscape_spaces.rst",
            category="Landscape",
            labels={"figure": "Other spaces"},
        ),
        clusters=report(
            "results/plot_landscape/{version}/landscape_clusters.png",
            caption="../report/landscape_clusters.rst",
            category="Landscape",
            labels={"figure": "Distances, clustered"},
        ),
    log:
        "results/logs/plot_landscape/{version}.log",
    benchmark:
        "results/benchmarks/plot_landscape/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing the landscape of networks"
    script:
        "../scripts/plot_landscape.py"
