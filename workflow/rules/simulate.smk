rule simulate_dataset:
    output:
        record="results/simulate_dataset/{version}/ds-{dataset}/sub-{subject}/algonauts2023.json",
        data=directory(
            "results/simulate_dataset/{version}/ds-{dataset}/algonauts2023/{subject}"
        ),
        truth=directory(
            "results/simulate_dataset/{version}/ds-{dataset}/algonauts2023-truth/{subject}"
        ),
    log:
        "results/logs/simulate_dataset/{version}/ds-{dataset}/sub-{subject}.log",
    benchmark:
        "results/benchmarks/simulate_dataset/{version}/ds-{dataset}/sub-{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    message:
        "Simulating the brain of {wildcards.subject}"
    script:
        "../scripts/simulate_dataset.py"


rule simulate_nsd:
    output:
        record="results/simulate_dataset/{version}/ds-{dataset}/sub-{subject}/nsd.json",
        betas=directory(
            "results/simulate_dataset/{version}/ds-{dataset}/nsd/nsddata_betas/ppdata/{subject}"
        ),
        labels=directory(
            "results/simulate_dataset/{version}/ds-{dataset}/nsd/nsddata/freesurfer/{subject}"
        ),
        truth=directory(
            "results/simulate_dataset/{version}/ds-{dataset}/nsd-truth/{subject}"
        ),
    log:
        "results/logs/simulate_nsd/{version}/ds-{dataset}/sub-{subject}.log",
    benchmark:
        "results/benchmarks/simulate_nsd/{version}/ds-{dataset}/sub-{subject}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    message:
        "Simulating the raw sessions of {wildcards.subject}"
    script:
        "../scripts/simulate_dataset.py"


rule simulate_nod:
    output:
        record="results/simulate_dataset/{version}/ds-{dataset}/sub-sub{number}/nod.json",
        events=directory(
            "results/simulate_dataset/{version}/ds-{dataset}/nod/sub-{number}"
        ),
        derivatives=directory(
            "results/simulate_dataset/{version}/ds-{dataset}/nod/derivatives/ciftify/sub-{number}"
        ),
        truth=directory(
            "results/simulate_dataset/{version}/ds-{dataset}/nod-truth/sub{number}"
        ),
    log:
        "results/logs/simulate_nod/{version}/ds-{dataset}/sub-sub{number}.log",
    benchmark:
        "results/benchmarks/simulate_nod/{version}/ds-{dataset}/sub-sub{number}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    message:
        "Simulating the 3T brain of sub{wildcards.number}"
    script:
        "../scripts/simulate_dataset.py"


rule simulate_shared:
    output:
        record="results/simulate_dataset/{version}/ds-{dataset}/sub-shared/{layout}.json",
    log:
        "results/logs/simulate_shared/{version}/ds-{dataset}/sub-shared-{layout}.log",
    benchmark:
        "results/benchmarks/simulate_shared/{version}/ds-{dataset}/sub-shared-{layout}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    message:
        "Simulating what the subjects of {wildcards.layout} share"
    script:
        "../scripts/simulate_dataset.py"
