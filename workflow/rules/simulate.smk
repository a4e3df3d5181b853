rule simulate_dataset:
    output:
        data=directory("results/simulate_dataset/{version}/algonauts2023/{subject}"),
        truth=directory(
            "results/simulate_dataset/{version}/algonauts2023-truth/{subject}"
        ),
        record="results/simulate_dataset/{version}/algonauts2023-{subject}.json",
    log:
        "results/logs/simulate_dataset/{version}/algonauts2023-{subject}.log",
    benchmark:
        "results/benchmarks/simulate_dataset/{version}/algonauts2023-{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    message:
        "Simulating the brain of {wildcards.subject}"
    script:
        "../scripts/simulate_dataset.py"


rule simulate_nsd:
    output:
        betas=directory(
            "results/simulate_dataset/{version}/nsd/nsddata_betas/ppdata/{subject}"
        ),
        labels=directory(
            "results/simulate_dataset/{version}/nsd/nsddata/freesurfer/{subject}"
        ),
        truth=directory("results/simulate_dataset/{version}/nsd-truth/{subject}"),
        record="results/simulate_dataset/{version}/nsd-{subject}.json",
    log:
        "results/logs/simulate_dataset/{version}/nsd-{subject}.log",
    benchmark:
        "results/benchmarks/simulate_dataset/{version}/nsd-{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    message:
        "Simulating the raw sessions of {wildcards.subject}"
    script:
        "../scripts/simulate_nsd.py"


rule simulate_nod:
    output:
        events=directory("results/simulate_dataset/{version}/nod/sub-{number}"),
        derivatives=directory(
            "results/simulate_dataset/{version}/nod/derivatives/ciftify/sub-{number}"
        ),
        truth=directory("results/simulate_dataset/{version}/nod-truth/sub{number}"),
        record="results/simulate_dataset/{version}/nod-sub{number}.json",
    log:
        "results/logs/simulate_dataset/{version}/nod-sub{number}.log",
    benchmark:
        "results/benchmarks/simulate_dataset/{version}/nod-sub{number}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    message:
        "Simulating the 3T brain of sub{wildcards.number}"
    script:
        "../scripts/simulate_nod.py"


rule simulate_shared:
    output:
        record="results/simulate_dataset/{version}/{layout}-shared.json",
    log:
        "results/logs/simulate_dataset/{version}/{layout}-shared.log",
    benchmark:
        "results/benchmarks/simulate_dataset/{version}/{layout}-shared.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    message:
        "Simulating what the subjects of {wildcards.layout} share"
    script:
        "../scripts/simulate_shared.py"
