rule simulate_dataset:
    output:
        data=directory("results/simulate_dataset/{version}/{layout}/{subject}"),
        truth=directory("results/simulate_dataset/{version}/{layout}-truth/{subject}"),
        record="results/simulate_dataset/{version}/{layout}-{subject}.json",
    log:
        "results/logs/simulate_dataset/{version}/{layout}-{subject}.log",
    benchmark:
        "results/benchmarks/simulate_dataset/{version}/{layout}-{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=120,
    message:
        "Simulating the brain of {wildcards.subject}"
    script:
        "../scripts/simulate_dataset.py"
