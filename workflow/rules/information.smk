rule bound_information:
    input:
        every_unit("embeddings"),
    output:
        table=report(
            "results/bound_information/{version}/information.csv",
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "Information bounds"},
        ),
    log:
        "results/logs/bound_information/{version}.log",
    benchmark:
        "results/benchmarks/bound_information/{version}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    message:
        "Bounding the information between test images and responses"
    script:
        "../scripts/bound_information.py"
