rule bound_information:
    input:
        embeddings=at(NETWORK, "embeddings", embedding),
    output:
        table="results/bound_information/{version}/information.csv",
    log:
        "results/logs/bound_information/{version}.log",
    benchmark:
        "results/benchmarks/bound_information/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    message:
        "Bounding the information between test images and responses"
    script:
        "../scripts/bound_information.py"
