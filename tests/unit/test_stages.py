"""What is declared of a stage, and that the rules say the same."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from example import EXAMPLE, SIMULATING, changed, project

import cortune.stages
from cortune.address import ENTITIES, Address
from cortune.config import Config
from cortune.project import Project
from cortune.reference.document import placed
from cortune.stages import RUNTIME, SECTIONS, STAGES, From
from dags import planned

REPOSITORY = Path(__file__).resolve().parents[2]
RULES = {**STAGES, **{rule: STAGES[name] for rule, name in SIMULATING.items()}}


class Rules:
    """The example's rules and jobs, planned; with another backbone where that adds a stage."""

    def __init__(self, folder, **changes):
        mapping = changed(EXAMPLE, **changes)
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(mapping))
        self.project = Project(Config.from_mapping(mapping))
        workflow = planned(config, folder)
        self.rules = {rule.name: rule for rule in workflow.rules if rule.name != "all"}
        self.jobs = [job for job in workflow.dag.jobs if job.rule.name != "all"]


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    return Rules(tmp_path_factory.mktemp("rules"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Without pretraining, and with the whole cortex of a data set in the third layout."""
    nsd = {**EXAMPLE["datasets"]["nsd"], "layout": "nsd", "rois": ["V1v", "whole"]}
    return Rules(tmp_path_factory.mktemp("other"), backbone__weights="random", datasets__nsd=nsd)


@pytest.fixture(scope="module")
def jobs(workflow, other):
    """Every job of both, with its stage, its address and the project that it is of."""
    return [
        (job, RULES[job.rule.name], address_of(job), each.project)
        for each in (workflow, other)
        for job in each.jobs
    ]


def address_of(job):
    """Return a job's address; rules that simulate have other wildcards for subjects."""
    if RULES[job.rule.name].name == "simulate_dataset":
        return Address.parse(job.output.record)
    return Address.of(job.wildcards_dict)


def named(files):
    """Return a job's files by name, as lists."""
    return {
        name: [str(each)] if isinstance(each, str) else list(map(str, each))
        for name, each in files.items()
    }


# ---- rules and declarations


def test_every_rule_has_a_job_in_one_of_the_two(workflow, other, jobs):
    assert set(workflow.rules) == set(other.rules) == set(RULES)
    assert {job.rule.name for job, *_ in jobs} == set(RULES)


def test_jobs_read_what_is_declared_under_the_declared_names(jobs):
    for job, stage, address, known in jobs:
        expected = known.inputs(stage.name, address)
        assert named(job.input) == expected, job.rule.name
        assert list(job.input) == [path for paths in expected.values() for path in paths]


def test_jobs_make_what_is_declared_under_the_declared_names(jobs):
    for job, stage, address, known in jobs:
        found = {name: path for name, (path,) in named(job.output).items()}
        expected = {name: known.path(stage.name, name, address) for name in stage.outputs}
        if stage.name == "simulate_dataset":
            # What else there is, the layout says; the record vouches for it.
            assert found["record"] == expected["record"]
            folder = str(Path(found["record"]).parent.parent)
            assert all(path.startswith(f"{folder}/") for path in found.values())
        else:
            assert found == expected, job.rule.name


def test_jobs_have_the_version_of_what_they_make(jobs):
    for job, stage, address, known in jobs:
        assert job.wildcards_dict["version"] == known.version(stage.name, address)


def test_jobs_are_given_the_facts_that_their_version_covers(jobs):
    for job, stage, address, known in jobs:
        params = dict(job.params.items())
        expected = known.facts(stage.name, address)
        assert ("facts" in params) == (stage.facts is not None), job.rule.name
        assert params.get("facts") == expected and set(params) <= {"facts"}


def test_jobs_are_those_that_the_project_counts(workflow, other):
    for each in (workflow, other):
        found = Counter((RULES[job.rule.name].name, address_of(job)) for job in each.jobs)
        assert found == Counter(
            (name, address)
            for name, addresses in each.project.jobs.items()
            for address in addresses
        )


def test_rules_that_run_networks_ask_for_a_gpu_and_no_others(jobs):
    for job, stage, *_ in jobs:
        assert ("gpu" in job.rule.resources) == stage.gpu, job.rule.name
        environment = Path(str(job.rule.conda_env)).name
        assert environment == ("gpu.yaml" if stage.gpu else "cpu.yaml"), job.rule.name


def test_logs_and_benchmarks_lie_where_the_files_do(jobs):
    """Not one for two jobs: the second would overwrite it, or wait for the first."""
    seen = set()
    for job, stage, address, known in jobs:
        (log,) = map(str, job.log)
        version = known.version(stage.name, address)
        own = address.only(*stage.entities)
        for path, folder in ((log, "logs"), (str(job.benchmark), "benchmarks")):
            assert (known, path) not in seen
            seen.add((known, path))
            assert path.startswith(f"results/{folder}/{job.rule.name}/{version}"), path
            place = Address.parse(path.rsplit(".", 1)[0])
            if own.subject == "shared":  # `shared-nod`, beside which the wildcard is the layout
                place = place.but(subject=place.subject.partition("-")[0])
            assert place == own, path


def test_wildcards_of_rules_are_the_entities_of_stages(workflow):
    for name, rule in workflow.rules.items():
        found = set(rule.wildcard_names) - {"version"}
        extra = {"layout", "number"} if name.startswith("simulate_") else set()
        assert found - extra <= {*RULES[name].entities}, name
        if not extra:
            assert found == {*RULES[name].entities}, name


def test_rules_are_in_the_files_as_the_declarations_would_print_them():
    """The reference shows paths of declarations; readers of rules see the same."""
    for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"):
        for stage, file in re.findall(r'"results/(\w+)/\{version\}/([^"]+)"', path.read_text()):
            if stage in STAGES and stage != "simulate_dataset":
                outputs = {placed(STAGES[stage], out) for out in STAGES[stage].outputs.values()}
                assert file in outputs, (stage, file)


def test_every_stage_has_its_rules_and_every_rule_a_script(workflow):
    folder = REPOSITORY / "workflow" / "scripts"
    assert {Path(str(rule.script)).stem for rule in workflow.rules.values()} == set(STAGES)
    assert {path.stem for path in folder.glob("*.py")} == set(STAGES)
    for name, rule in workflow.rules.items():
        assert Path(str(rule.script)).stem == RULES[name].name


def test_every_rule_says_what_it_does_and_is_timed(workflow):
    for name, rule in workflow.rules.items():
        assert rule.message and rule.benchmark and rule.log, name


# ---- declarations


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_declaration_is_whole(stage):
    assert STAGES[stage.name] is stage and stage.number >= 1
    assert stage.run.__name__ == stage.name and re.match(r"[A-Z].*\.$", stage.about)
    assert set(stage.entities) <= set(ENTITIES) and stage.outputs
    assert len(set(stage.reads)) == len(stage.reads)
    assert not set(stage.reads) & set(RUNTIME), "a version covers how a job runs"
    assert bool(stage.places) <= (stage.sources is not None)
    for output in stage.outputs.values():
        assert output.about.rstrip(")").endswith((".", "one."))
        if output.section:
            assert output.is_table != output.is_figure
            assert stage.entities == (), "a shown file of a single unit"
        if output.is_figure:
            assert output.caption.endswith(".") and output.section in SECTIONS
    names = [output.path for output in stage.outputs.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_inputs_are_outputs_of_stages_that_come_before(stage):
    order = list(STAGES)
    for given in stage.inputs.values():
        for name in given.stages:
            assert order.index(name) < order.index(stage.name)
        assert any(given.file in STAGES[name].outputs for name in given.stages)


def test_one_stage_gathers_and_it_comes_last():
    assert [name for name, stage in STAGES.items() if stage.gathers] == [list(STAGES)[-1]]


def test_names_of_what_is_shown_are_single():
    names = [output.path for stage in STAGES.values() for output in stage.shown]
    assert len(names) == len(set(names)) > 30


def test_a_stage_that_others_do_not_consume_is_shown_or_gathers():
    consumed = {name for stage in STAGES.values() for name in stage.consumes}
    for name, stage in STAGES.items():
        assert name in consumed or stage.shown or stage.gathers, name


def test_a_stage_takes_one_module_and_no_list():
    modules = {inspect.getmodule(stage.run).__name__ for stage in STAGES.values()}
    assert all(module.startswith(cortune.stages.__name__ + ".") for module in modules)


def test_importing_the_declarations_is_light():
    import subprocess
    import sys

    code = "import sys, cortune.project; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "matplotlib", "snakemake", "h5py"} & set(done.stdout.split())


def test_an_input_without_addresses_is_that_of_the_job():
    address = Address("nsd", "subj01")
    assert From("prepare_images", "images").addresses(project(), address) == address
    assert From("prepare_images", "images", lambda p, a: iter([a])).addresses(
        project(), address
    ) == [address]
