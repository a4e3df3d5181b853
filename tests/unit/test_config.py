from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

import cortune
from cortune.config import Config, ConfigError, document, keys, schema
from cortune.config.document import schema_text
from cortune.probes import ProbeSpec
from cortune.versions import canonical_json

SCENES = {"kind": "scenes", "n_images": 50, "n_classes": 5}
SIMULATED = {"layout": "algonauts2023", "subjects": ["subj01"], "simulate": {}}


def minimal(**sections):
    return {"datasets": {"nsd": dict(SIMULATED)}, **sections}


def walk(rule, path=()):
    for key, value in rule.get("properties", {}).items():
        yield (*path, key), value
        yield from walk(value, (*path, key))
    if isinstance(rule.get("additionalProperties"), dict):
        yield from walk(rule["additionalProperties"], (*path, "*"))


def test_schema_is_valid_and_every_key_is_described():
    jsonschema.Draft202012Validator.check_schema(schema())
    undescribed = [".".join(path) for path, rule in walk(schema()) if "description" not in rule]
    assert undescribed == []


def test_every_default_satisfies_its_own_rule():
    for path, rule in walk(schema()):
        if "default" in rule:
            jsonschema.validate(rule["default"], rule), path


def test_every_leaf_has_a_default_but_the_required_and_derived():
    missing = {
        ".".join(path)
        for path, rule in walk(schema())
        if "default" not in rule and "properties" not in rule and path != ("datasets",)
    }
    assert missing == {
        "datasets.*.layout",
        "datasets.*.simulate.vertices",
        "tuning.dataset",
        "probes.*.kind",
        "export.methods",
    }


def test_keys_are_the_leaves_of_the_models():
    found = list(keys())
    assert len(found) == len(set(found)) > 100
    for key in (
        "seed",
        "datasets.<name>.simulate.vertices",
        "transfer.datasets.<n>.rois",
        "probes.<name>.kind",
        "contrastive_plus.image_layer",
        "encoding.alphas.num",
    ):
        assert key in found
    assert not {"datasets", "encoding", "encoding.alphas"} & set(found)


def test_defaults_of_every_section_are_valid_and_come_back():
    filled = Config.from_mapping(minimal(landscape={}, saliency={}, probes={"a": SCENES})).as_dict()
    for section, value in filled.items():
        kept = minimal(probes={"a": SCENES}) | {section: value}
        assert Config.from_mapping(kept).as_dict()[section] == value, section
    assert Config.from_mapping(filled).as_dict() == filled


def test_a_configuration_cannot_be_changed():
    config = Config.from_mapping(minimal())
    with pytest.raises(ValidationError):
        config.seed = 3
    with pytest.raises(ValidationError):
        config.contrastive.epochs = 3


def test_defaults_are_filled_and_numbers_are_floats():
    config = Config.from_mapping(minimal(contrastive={"temperature": 1}))
    assert config.contrastive.temperature == 1.0
    assert isinstance(config.as_dict()["contrastive"]["temperature"], float)
    assert config.tuning.dataset == "nsd"
    assert config.encoding.alphas.values() == pytest.approx([10.0**e for e in range(-1, 8)])


def test_filling_defaults_is_idempotent():
    once = Config.from_mapping(minimal()).as_dict()
    twice = Config.from_mapping(once).as_dict()
    assert canonical_json(twice) == canonical_json(once), "1 and 1.0 would be two versions"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (
            {"contrastive": {"temprature": 0.1}},
            ["contrastive.temprature", "did you mean contrastive.temperature?"],
        ),
        ({"contrastiv": {}}, ["contrastiv", "did you mean contrastive?"]),
        (
            {"contrastive": {"learning_rate": "1e-4"}},
            ["contrastive.learning_rate", "'1e-4'", "1.0e-4"],
        ),
        ({"contrastive": {"batch_size": 1}}, ["contrastive.batch_size", "1", "at least 2"]),
        (
            {"tuning": {"methods": ["contrastve"]}},
            ["tuning.methods.0", "'contrastve'", "did you mean contrastive?"],
        ),
        ({"split": {"tune": 0.5}}, ["split", "0.75", "sum"]),
        ({"split": {"tune": 0, "validation": 0, "test": 1}}, ["split.tune", "contrastive"]),
        ({"split": {"by": "file"}}, ["split.file", "None"]),
        ({"split": {"file": "sets.csv"}}, ["split.file", "'sets.csv'"]),
        ({"encoding": {"protocols": ["fit_test"]}}, ["fit_test", "split.fit = 0"]),
        (
            {
                "split": {"tune": 0.85, "validation": 0},
                "tuning": {"methods": ["contrastive_plus"]},
                "contrastive_plus": {"validation": 0.0},
            },
            ["contrastive_plus.keep_best", "split.validation"],
        ),
        ({"tuning": {"dataset": "nod"}}, ["tuning.dataset", "'nod'", "nsd"]),
        (
            {"encoding": {"protocols": ["tune_test"]}},
            ["encoding.protocols", "features.images", "all"],
        ),
        ({"probes": {"a": {}}}, ["probes.a.kind", "found nothing"]),
        ({"probes": {"a": {"kind": "image_foldr"}}}, ["probes.a.kind", "image_folder?"]),
        ({"probes": {"a": {"kind": "sun397"}}}, ["probes.a.root", "nothing", "sun397"]),
        (
            {"probes": {"a": {"kind": "scenes", "n_images": 50}}},
            ["probes.a.n_classes", "nothing", "scenes"],
        ),
        (
            {"probes": {"a": {"kind": "sun397", "root": "data", "n_images": 50}}},
            ["probes.a.n_images", "under kind: sun397", "kind: scenes"],
        ),
        ({"probes": {"a": {**SCENES, "root": "data"}}}, ["probes.a.root", "another kind"]),
        (
            {"probes": {"scenes": SCENES}, "saliency": {"probe": "scens"}},
            ["saliency.probe", "'scens'", "Did you mean scenes?"],
        ),
        ({"saliency": {"probe": "scenes"}}, ["saliency.probe", "'scenes'", "there is none"]),
        ({"landscape": {"methods": ["tsne"]}}, ["landscape.methods.0", "'tsne'", "inpca"]),
        ({"device": "gpu"}, ["device", "'gpu'"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"seed": "one"}, ["seed", "'one'", "integer"]),
    ],
)
def test_wrong_keys_and_values_are_named(section, words):
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(minimal(**section))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({"layout": "algonauts2023"}, ["datasets.nsd", "neither", "root", "simulate"]),
        ({**SIMULATED, "root": "data"}, ["datasets.nsd", "both"]),
        ({**SIMULATED, "subjects": "all"}, ["datasets.nsd.subjects", "list"]),
        ({**SIMULATED, "layout": "algonauts"}, ["datasets.nsd.layout", "algonauts2023?"]),
        ({**SIMULATED, "rois": "earlyish"}, ["datasets.nsd.rois", "earlyish"]),
        ({**SIMULATED, "simulate": {"n_images": 1}}, ["datasets.nsd.simulate.n_images", "20"]),
        ({"subjects": ["subj01"]}, ["datasets.nsd.layout", "found nothing"]),
    ],
)
def test_wrong_data_sets_are_named(dataset, words):
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping({"datasets": {"nsd": dataset}})
    for word in words:
        assert word in str(caught.value)


def test_the_first_probe_is_that_of_saliency():
    probes = {"b": SCENES, "a": SCENES}
    config = Config.from_mapping(minimal(probes=probes, saliency={}))
    assert config.saliency.probe == "b"
    assert Config.from_mapping(config.as_dict()) == config
    named = Config.from_mapping(minimal(probes=probes, saliency={"probe": "a"}))
    assert named.saliency.probe == "a"


def test_landscape_and_saliency_are_off_unless_asked_for():
    config = Config.from_mapping(minimal())
    assert (config.probes, config.landscape, config.saliency) == ({}, None, None)
    config = Config.from_mapping(minimal(landscape={}, saliency={}))
    assert config.landscape.methods == ["inpca", "mds", "umap"]
    assert (config.saliency.layer, config.saliency.probe) == ("features.12", None)


def test_a_probe_says_where_its_images_come_from():
    probes = {"a": SCENES, "b": {"kind": "imagenet", "root": "data", "images_per_class": 3}}
    found = Config.from_mapping(minimal(probes=probes)).probes
    assert ProbeSpec(**found["a"].source()) == ProbeSpec("scenes", n_images=50, n_classes=5)
    assert ProbeSpec(**found["b"].source()) == ProbeSpec("imagenet", "data", "val", 3)


def test_all_problems_come_at_once():
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(minimal(seed="x", device="gpu", contrastive={"epochs": 0}))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00"])
def test_files_that_are_no_configuration(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="config.yaml"):
        Config.from_file(path)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        Config.from_file(tmp_path / "none.yaml")


def test_a_file_laid_over_another_wins_key_by_key(tmp_path):
    below, above = tmp_path / "below.yaml", tmp_path / "above.yaml"
    below.write_text(yaml.safe_dump(minimal(seed=3, contrastive={"epochs": 5, "batch_size": 7})))
    above.write_text("contrastive: {epochs: 6}\nbackbone: {layers: [features.2]}")
    config = Config.from_file(below, above)
    assert (config.seed, config.contrastive.epochs, config.contrastive.batch_size) == (3, 6, 7)
    assert config.backbone.layers == ["features.2"]
    assert Config.from_file(below).contrastive.epochs == 5


def test_a_number_as_text_is_refused_with_the_cure():
    with pytest.raises(ConfigError, match="without quotes.*--config makes text"):
        Config.from_mapping(minimal(encoding={"folds": "5"}))


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "nsd.yaml",
        "mapping.yaml",
        "clip.yaml",
        "dinov2.yaml",
        "resnet50.yaml",
    ],
)
def test_shipped_configurations_are_valid(repository, name):
    path = repository / "config" / name
    config = Config.from_file(path)
    written = yaml.safe_load(path.read_text())
    assert config.seed == written["seed"]


@pytest.mark.parametrize(
    ("path", "generate"),
    [("config/README.md", document), ("workflow/schemas/config.schema.yaml", schema_text)],
)
def test_what_is_generated_from_the_models_is_as_they_are(repository, path, generate):
    assert (repository / path).read_text() == generate(), "run: python -m cortune.config"


def test_descriptions_are_whole():
    """In a flow mapping of YAML, a comma once cut one short."""
    for path, rule in walk(schema()):
        assert rule["description"].rstrip(")").endswith((".", "?")), path


def test_importing_the_configuration_is_light():
    code = "import sys, cortune.config; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy", "pandas", "snakemake"} & set(loaded.stdout.split())


NEW_METHOD = '''
from cortune.section import Positive, Section
from cortune.tuning.methods import method


class Sharpest(Section):
    """A recipe of its own."""

    steepness: Positive = 2.0
    """How steep."""


@method("sharpest", recipe=Sharpest, order=35, colour="#abcdef")
def sharpest(backbone, n_scores, n_voxels, recipe):
    """Tune as sharply as can be."""
'''
ASK = """
from cortune.address import Address
from cortune.config import Config, document, keys, schema
from cortune.report.style import METHOD_COLOURS, ordered_methods
from cortune.tuning.methods import METHODS
from cortune.reruns import reruns
from cortune.settings import keys_of

enum = schema()["properties"]["tuning"]["properties"]["methods"]["items"]["enum"]
assert enum[enum.index("sharpest") :][1] == "pooled_mean"  # orders 35 and 40
assert "sharpest.steepness" in keys() and "tune_network" in reruns("sharpest.steepness")
assert "| `sharpest` |  | A recipe of its own. |" in document()
assert "| `sharpest.steepness` | `2.0` | How steep. |" in document()
assert "`sharpest`: Tune as sharply as can be." in document()
assert METHOD_COLOURS["sharpest"] == "#abcdef"
assert ordered_methods(["sharpest", "untuned"]) == ["untuned", "sharpest"]
dataset = {"layout": "nsd", "root": "data"}
config = {"datasets": {"d": dataset}, "tuning": {"methods": ["sharpest"]}}
config = Config.from_mapping(config | {"sharpest": {"steepness": 3}})
assert config.recipe("sharpest").steepness == 3.0
assert keys_of(config, ["{recipe}"], Address(method="sharpest")) == ["sharpest"]
assert METHODS["sharpest"].build(None, 1, 1, config.recipe("sharpest")) is None
"""


def test_a_method_in_one_new_module_is_known_everywhere(tmp_path):
    package = Path(cortune.__file__).parent
    shutil.copytree(package, tmp_path / "cortune", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "cortune" / "tuning" / "methods" / "sharpest.py").write_text(NEW_METHOD)
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


NOD = {"layout": "nod", "subjects": ["sub01"], "rois": ["V1"], "simulate": {}}


def with_nod(**transfer):
    config = minimal()
    config["datasets"]["nod"] = copy.deepcopy(NOD)
    config["tuning"] = {"dataset": "nsd", "methods": ["untuned", "contrastive"]}
    config["transfer"] = transfer
    return config


def test_a_simulated_data_set_has_the_defaults_of_its_layout():
    simulate = Config.from_mapping(with_nod()).datasets["nod"].simulate
    assert simulate.n_images == 4000 and simulate.ncsnr == 0.25
    assert "n_shared" not in dict(simulate) and simulate.smoothing_mm == 4
    from cortune.simulate import NodSpec

    assert NodSpec.from_mapping(simulate) == NodSpec()


def test_the_schema_has_the_defaults_of_the_simulators():
    """So that what a version hashes is what the simulator uses."""
    from cortune.simulate import SimulationSpec

    config = minimal()
    config["datasets"]["nsd"] |= {"root": None, "simulate": {}, "subjects": ["subj01"]}
    simulate = Config.from_mapping(config).datasets["nsd"].simulate
    assert SimulationSpec.from_mapping(simulate) == SimulationSpec()


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [("nod", "repeats", 2), ("nsd", "top_vertices", 20), ("nsd", "coco_of", "table.csv")],
)
def test_a_key_of_another_layout_is_refused(where, key, value):
    config = with_nod()
    config["datasets"][where][key] = value
    with pytest.raises(ConfigError, match=rf"datasets\.{where}\.{key}: found under .*expected"):
        Config.from_mapping(config)


@pytest.mark.parametrize("key", ["n_classes", "image_size"])
def test_the_configuration_and_the_simulators_have_one_bound(key):
    """Once, one refused what the other took."""
    from cortune.errors import InputError
    from cortune.simulate import NodSpec, SimulationSpec

    rule = schema()["properties"]["datasets"]["additionalProperties"]["properties"]["simulate"]
    most = rule["properties"][key]["maximum"]
    for spec in (NodSpec, SimulationSpec):
        assert getattr(spec(**{key: most}), key) == most
        with pytest.raises(InputError, match=f"simulate.{key}"):
            spec(**{key: most + 1})


def test_a_simulation_key_of_another_layout_is_refused():
    config = with_nod()
    config["datasets"]["nod"]["simulate"] = {"n_shared": 10}
    with pytest.raises(ConfigError, match=r"datasets\.nod\.simulate\.n_shared: found under nod"):
        Config.from_mapping(config)


@pytest.mark.parametrize(
    ("transfer", "message"),
    [
        ({"methods": ["regression"]}, r"transfer\.methods: found regression"),
        (
            {"datasets": [{"source": "nod", "target": "nsd", "rois": {"V1v": ["V1"]}}]},
            r"transfer\.datasets\.0\.source: found 'nod'",
        ),
        (
            {"datasets": [{"source": "nsd", "target": "nodd", "rois": {"V1": ["V1v"]}}]},
            r"transfer\.datasets\.0\.target: found 'nodd', expected one of nod",
        ),
        (
            {"datasets": [{"source": "nsd", "target": "nod"}]},
            r"transfer\.datasets\.0\.rois: found nothing",
        ),
        ({"subject": True}, r"transfer\.subject: unknown key; did you mean transfer.subjects"),
    ],
)
def test_transfer_that_cannot_be_is_refused(transfer, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_mapping(with_nod(**transfer))


@pytest.mark.parametrize("first", ["all_layers", "tune_test"])
def test_transfer_is_scored_by_a_protocol_of_the_test_images(first):
    config = with_nod(subjects=True)
    config["features"] = {"images": "all"}
    config["encoding"] = {"protocols": [first, "heldout_cv"]}
    with pytest.raises(ConfigError, match=rf"encoding\.protocols: found {first} first"):
        Config.from_mapping(config)


def test_transfer_between_subjects_needs_the_untuned_network():
    config = with_nod(subjects=True)
    config["tuning"]["methods"] = ["contrastive"]
    with pytest.raises(ConfigError, match=r"transfer\.subjects: .*untuned"):
        Config.from_mapping(config)


@pytest.mark.parametrize(
    ("section", "given", "said"),
    [
        ("dataset", {"rois": "V1v"}, "expected all, early, higher or a list; did you mean [V1v]?"),
        ("dataset", {"rois": "erly"}, "expected all, early, higher or a list; did you mean early?"),
        ("dataset", {"subjects": "subj01"}, "expected all or a list; did you mean [subj01]?"),
        ("dataset", {"subjects": [1]}, "expected all or a list of subj01 and so on."),
        ("dataset", {"subjects": ["sub-01"]}, "expected all or a list of subj01 and so on."),
        ("tuning", {"methods": "contrastive"}, "expected a list; did you mean [contrastive]?"),
        ("tuning", {"adapt": "al"}, "which is not one of the forms this key takes."),
    ],
)
def test_a_form_that_would_be_right_is_shown(section, given, said):
    dataset = {"layout": "algonauts2023", "root": "data"}
    raw = {"datasets": {"a": dataset}, "tuning": {}}
    (dataset if section == "dataset" else raw["tuning"]).update(given)
    with pytest.raises(ConfigError) as error:
        Config.from_mapping(raw)
    (key,) = given
    message = str(error.value)
    assert f"{key}: found {next(iter(given.values()))!r}, {said} (" in message
    assert ". " not in message.split(said)[1]  # a sentence of help at most
