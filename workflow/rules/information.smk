rule bound_information:
    input:
        embeddings=embeddings_of,
    output:
        bound="results/bound_information/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}/information.h5",
    log:
        "results/logs/bound_information/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}.log",
    benchmark:
        "results/benchmarks/bound_information/{version}/sub-{subject}/hemi-{hemisphere}/roi-{roi}/method-{method}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    message:
        "Bounding the information of {wildcards.subject} {wildcards.hemisphere} {wildcards.roi} ({wildcards.method})"
    script:
        "../scripts/bound_information.py"


rule tabulate_information:
    input:
        every_unit("information"),
    output:
        table="results/tabulate_information/{version}/information.csv",
    log:
        "results/logs/tabulate_information/{version}.log",
    benchmark:
        "results/benchmarks/tabulate_information/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    message:
        "Tabulating the information bounds"
    script:
        "../scripts/tabulate_information.py"
