rule embed_networks:
    input:
        probes=at("probe_network", "folder", probed),
    output:
        tests="results/embed_networks/{version}/landscape_tests.csv",
        landscape="results/embed_networks/{version}/landscape.csv",
        axes="results/embed_networks/{version}/landscape_axes.csv",
        dissimilarity="results/embed_networks/{version}/dissimilarity.csv",
    log:
        "results/logs/embed_networks/{version}.log",
    benchmark:
        "results/benchmarks/embed_networks/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    message:
        "Placing the networks in a landscape of their predictions"
    script:
        "../scripts/embed_networks.py"


rule plot_landscape:
    input:
        landscape=at("embed_networks", "landscape"),
        dissimilarity=at("embed_networks", "dissimilarity"),
    output:
        inpca="results/plot_landscape/{version}/landscape_inpca.png",
        spaces="results/plot_landscape/{version}/landscape_spaces.png",
        clusters="results/plot_landscape/{version}/landscape_clusters.png",
    log:
        "results/logs/plot_landscape/{version}.log",
    benchmark:
        "results/benchmarks/plot_landscape/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "Drawing the landscape of networks"
    script:
        "../scripts/plot_landscape.py"
