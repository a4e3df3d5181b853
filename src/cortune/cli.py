"""The command line: check inputs, plan, simulate data, look after versions, sum up a run."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune import __version__
from cortune.config import Config
from cortune.config.sections import Simulate
from cortune.errors import CortuneError, InputError

if TYPE_CHECKING:
    from cortune.project import Project

DEFAULT_CONFIG = "config/config.yaml"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status = int(arguments.command(arguments))
        sys.stdout.flush()
    except CortuneError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever reads has read enough, as `head` does; what is left must not be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def check(arguments: argparse.Namespace) -> int:
    """Report everything wrong with the configuration and its inputs, or what is there."""
    from cortune.check import describe, find_notes, find_problems

    files = _files(arguments)
    problems = find_problems(*files)
    print(*(problems or [describe(*files)]), sep="\n")
    for note in [] if problems else find_notes(*files):
        print(f"note: {note}")
    print(f"{len(problems)} problem(s)." if problems else "No problem found.")
    return 1 if problems else 0


def layers(arguments: argparse.Namespace) -> int:
    """List the backbone's layers in order, what each gives, and which `layers: auto` picks."""
    from cortune.networks.backbones import planned
    from cortune.networks.layers import N_AUTO, Trace

    backbone = Config.from_file(*_files(arguments)).backbone
    origin = planned(backbone.name, backbone.weights, input_size=backbone.input_size)
    trace = Trace(origin)
    trace.require_runs()
    named = backbone.layers if isinstance(backbone.layers, list) else ()
    auto = trace.auto(getattr(backbone.layers, "auto", N_AUTO))
    shown = origin.preprocessing
    print(f"{origin.name} at {shown.input_size} px, output: {origin.readout}")
    print(f"mean {shown.mean}, deviation {shown.std}, {shown.interpolation}")
    for layer in trace.layers.values():
        shape = " × ".join(map(str, layer.shape)) if layer.shape else "-"
        tokens = f", {layer.n_tokens} tokens" if layer.n_tokens else ""
        marks = [word for word, have in (("auto", auto), ("named", named)) if layer.name in have]
        said = f"{layer.kind}{tokens}" + (f", {layer.problem}" if layer.problem else "")
        print(f"{','.join(marks):10} {layer.name:44} {shape:>20}  {said}")
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """Print the jobs, hours and disk that a run will take."""
    from cortune.plan import Rates, describe, estimate, shape_of

    project = _project(arguments)
    stages = estimate(project, shape_of(project.config))
    print(describe(stages, Rates(gpu_gflops=arguments.gpu_gflops)))
    return 0


def simulate(arguments: argparse.Namespace) -> int:
    """Write a simulated data set."""
    from cortune.simulate import SIMULATORS, require_replaceable, simulate_layout, truth_of

    if arguments.layout not in SIMULATORS:
        known = f"one of {', '.join(SIMULATORS)}"
        raise InputError("--layout", arguments.layout, known, "Correct the name.")
    simulator = SIMULATORS[arguments.layout]
    given = ((key, getattr(arguments, key)) for key in Simulate.model_fields)
    options = {key: value for key, value in given if value is not None}
    spec = simulator.spec.from_mapping(options)
    subjects = [simulator.subject(number) for number in range(1, arguments.subjects + 1)]
    out = Path(arguments.out)
    require_replaceable(arguments.layout, out, subjects)
    simulate_layout(arguments.layout, out, subjects, spec, seed=arguments.seed)
    truth = truth_of(out, subjects[0]).parent
    print(f"Wrote {', '.join(subjects)} to {arguments.out}, and what is true of it to {truth}")
    return 0


def fetch(arguments: argparse.Namespace) -> int:
    """Download a data set: just the files that the reader needs, resumed and checked."""
    from cortune.fetch.order import TERMS, Order, fetch

    print(TERMS[arguments.dataset], flush=True)
    if arguments.dataset == "nsd" and not arguments.i_accept_the_nsd_terms:
        cure = "If you have, add --i-accept-the-nsd-terms."
        raise InputError("fetch nsd", "terms not accepted", "that you have accepted them", cure)
    known = _configured(arguments) if arguments.configfile else {}
    given = {
        "out": arguments.out and Path(arguments.out).expanduser(),
        "subjects": "all" if arguments.subjects == ["all"] else arguments.subjects,
        "fits": False if arguments.no_fits else None,
        **{key: getattr(arguments, key) for key in _FETCH_OPTIONS},
    }
    settings = {**known, **{key: value for key, value in given.items() if value is not None}}
    for key in ("out", "subjects"):
        if key not in settings:
            cure = f"Give --{key}, or a configuration by --configfile."
            raise InputError(f"--{key}", "nothing", "what to fetch", cure)
    try:
        print(fetch(Order(arguments.dataset, **settings)))
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def _configured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a configuration's data set of a layout needs."""
    config = Config.from_file(*arguments.configfile)
    found = [
        dataset
        for dataset in config.datasets.values()
        if dataset.layout == arguments.dataset and dataset.root is not None
    ]
    if len(found) != 1:
        expected = f"one data set with layout: {arguments.dataset} and a root"
        cure = "Give --out and --subjects instead."
        raise InputError(arguments.configfile[0], f"{len(found)} of them", expected, cure)
    (dataset,) = found
    return {
        "out": Path(dataset.root or "").expanduser(),
        "subjects": dataset.subjects,
        "space": dataset.space,
        "fits": dataset.top_vertices is not None,
        "sessions": dataset.sessions,
    }


def versions(arguments: argparse.Namespace) -> int:
    """List the versions on disk."""
    from cortune.inventory import stored_versions

    stored = stored_versions([_project(arguments)])
    for version in stored:
        state = version.about
        if version.current:
            state = "current: " + state if state else "current"
        print(f"{version.stage:25}{version.version:12}{version.n_bytes / 1e6:10.1f} MB  {state}")
    print(f"{len(stored)} versions, {sum(v.n_bytes for v in stored) / 1e6:.1f} MB")
    return 0


def clean(arguments: argparse.Namespace) -> int:
    """List the versions that no run of the configurations given uses; --yes deletes them."""
    from cortune.inventory import remove, stored_versions
    from cortune.project import Project

    projects = [
        _project(arguments),
        *(Project(Config.from_file(*files), arguments.results) for files in arguments.keep),
    ]
    unused = [v for v in stored_versions(projects) if not v.current]
    if unused and not arguments.yes:
        print(
            "These are used by no run of the configurations given; results of others are among "
            "them (spare them with --keep FILE)."
        )
    for version in unused:
        print(f"{version.path}  {version.n_bytes / 1e6:.1f} MB  {version.about}")
    total = sum(version.n_bytes for version in unused) / 1e6
    if not unused:
        print("Nothing to delete.")
    elif not arguments.yes:
        print(f"{len(unused)} versions, {total:.1f} MB. Run again with --yes to delete them.")
    else:
        remove(unused)
        print(f"Deleted {len(unused)} versions, {total:.1f} MB.")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Hash every file of the current versions and compare it with its seal."""
    from cortune.verification import damaged

    problems = list(damaged(_project(arguments), raw=arguments.raw))
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problem(s)." if problems else "All is as it was written.")
    return 1 if problems else 0


def report(arguments: argparse.Namespace) -> int:
    """Write results/latest/report.html again, from the tables and figures there."""
    from cortune.artifacts import read_json
    from cortune.report.page import write_page
    from cortune.stages.publish import headings

    latest = Path(arguments.results) / "latest"
    manifest = latest / "manifest.json"
    if not manifest.is_file():
        raise InputError(
            latest, "no complete run", "tables and a manifest", "Run `snakemake --cores all`."
        )
    shown = sorted(path for name in ("tables", "figures") for path in (latest / name).glob("*"))
    write_page(latest / "report.html", headings(shown), read_json(manifest))
    print(latest / "report.html")
    return 0


def summary(arguments: argparse.Namespace) -> int:
    """Print the headline of the last complete run and where to look."""
    from cortune.report.summary import headline

    print(headline(Path(arguments.results) / "latest"))
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """Predict the responses to pictures with an encoder."""
    from cortune.api import load
    from cortune.export.outputs import predict_to_file

    encoder = load(arguments.model).only(
        subject=arguments.subject, hemisphere=arguments.hemisphere, rois=arguments.roi
    )
    written = predict_to_file(
        encoder,
        arguments.pictures,
        arguments.out,
        like=arguments.like,
        device=arguments.device,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        progress=True,
    )
    print(*written, sep="\n")
    return 0


def init(arguments: argparse.Namespace) -> int:
    """Lay out a project of your own: Snakefile, configuration and profiles."""
    from cortune.initial import init as lay_out

    print(*lay_out(arguments.folder), sep="\n")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write the encoders of a finished run as folders for other places."""
    from cortune.exports import export_all
    from cortune.submission import write_submission

    names = ("subject", "hemisphere", "roi", "method")
    wanted = {name: value for name in names if (value := getattr(arguments, name))}
    project, out = _project_of_export(arguments), Path(arguments.out)
    if arguments.form == "algonauts2023":
        for name in ("hemisphere", "roi", "push"):
            if found := getattr(arguments, name):
                expected = "nothing: a submission has every vertex, and is uploaded by hand"
                raise InputError(f"--{name}", found, expected, "Leave it out.")
        written: Sequence[Any] = write_submission(project, out, wanted)
    else:
        written = export_all(project, out, wanted, form=arguments.form, push=arguments.push)
    print(*written, sep="\n")
    return 0


def _files(arguments: argparse.Namespace) -> list[str]:
    return arguments.configfile or [DEFAULT_CONFIG]


def _project(arguments: argparse.Namespace) -> Project:
    from cortune.project import Project

    return Project(Config.from_file(*_files(arguments)), arguments.results)


def _project_of_export(arguments: argparse.Namespace) -> Project:
    """Return what is configured, or what the last complete run was if nothing is named."""
    from cortune.artifacts import read_json
    from cortune.project import Project

    manifest = Path(arguments.results) / "latest" / "manifest.json"
    if arguments.configfile or not manifest.is_file():
        return _project(arguments)
    return Project(Config.from_mapping(read_json(manifest)["config"]), arguments.results)


_LAYERED = "configuration, and others that are laid over it"


class _Sizes(argparse.Action):
    """Collect ROI=NUMBER as a mapping."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        sizes = {}
        for text in values:
            roi, _, number = text.partition("=")
            if not number.isdigit():
                parser.error(f"{option}: found {text!r}, expected ROI=NUMBER such as V1v=200")
            sizes[roi] = int(number)
        setattr(namespace, self.dest, sizes)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a positive number")
    return rate


_FETCH_OPTIONS: dict[str, dict[str, Any]] = {
    "sessions": {
        "nargs": "+",
        "help": "nod: such as imagenet01; nsd: so many, from the first",
    },
    "space": {"choices": ["fsaverage", "func1pt8mm"], "help": "of nsd's betas"},
    "source": {
        "flag": "--from",
        "metavar": "URL",
        "help": "instead of the public address",
    },
    "support": {"flag": "--support-from", "metavar": "URL", "help": "of nod's parcellation"},
    "checksums": {
        "metavar": "CSV",
        "help": "nod: path, bytes, sha256 of other files; or none",
    },
    "jobs": {"type": int, "help": "downloads at the same time (8)"},
    "timeout": {"type": _rate, "help": "seconds without a byte before another attempt (60)"},
    "dry_run": {"action": "store_true", "help": "print the plan, and stop"},
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cortune", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument(
        "--configfile",
        nargs="+",
        action="extend",
        help=f"configuration, and others that are laid over it [{DEFAULT_CONFIG}]",
    )
    stored = argparse.ArgumentParser(add_help=False)
    stored.add_argument("--results", default="results", help="folder of the results [results]")

    def command(
        function: Callable[[argparse.Namespace], int], *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        about = function.__doc__
        sub = commands.add_parser(
            function.__name__, help=about, description=about, parents=list(parents)
        )
        sub.set_defaults(command=function)
        return sub

    command(check, configured)
    command(layers, configured)
    sub = command(plan, configured, stored)
    sub.add_argument(
        "--gpu-gflops", type=_rate, default=5000.0, help="rate of networks on your GPU, GFLOP/s"
    )

    sub = command(simulate)
    sub.add_argument("--layout", default="algonauts2023", help="on-disk layout [algonauts2023]")
    sub.add_argument("--out", required=True, help="folder to write the subjects to")
    sub.add_argument("--subjects", type=int, default=1, help="number of subjects [1]")
    sub.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn [0]")
    for name, field in Simulate.model_fields.items():
        option, about = f"--{name.replace('_', '-')}", str(field.description).replace("%", "%%")
        if name == "vertices":
            sub.add_argument(option, action=_Sizes, nargs="+", metavar="ROI=NUMBER", help=about)
        elif isinstance(field.default, bool):
            sub.add_argument(option, action="store_const", const=True, help=about)
        else:
            kind = str if field.default is None else type(field.default)
            default = "" if field.default is None else f" [{field.default}]"
            sub.add_argument(option, type=kind, metavar=kind.__name__.upper(), help=about + default)

    sub = command(fetch)
    sub.add_argument("dataset", choices=["nod", "nsd", "algonauts2023"], help="which data set")
    sub.add_argument("--out", metavar="DIR", help="folder of the data set")
    sub.add_argument("--subjects", nargs="+", help="such as sub01 (nod), subj01; or all")
    sub.add_argument("--no-fits", action="store_true", help="nod without its pRF fits")
    sub.add_argument(
        "--i-accept-the-nsd-terms", action="store_true", help="you have accepted NSD's terms"
    )
    sub.add_argument("--configfile", nargs="+", help="take folder, subjects and so on from there")
    for name, details in _FETCH_OPTIONS.items():
        options = dict(details)
        flag = options.pop("flag", f"--{name.replace('_', '-')}")
        sub.add_argument(flag, dest=name, **options)

    command(versions, configured, stored)
    sub = command(clean, configured, stored)
    sub.add_argument(
        "--keep",
        nargs="+",
        action="append",
        default=[],
        metavar="CONFIGFILE",
        help="another configuration whose versions are kept; may be given several times",
    )
    sub.add_argument("--yes", action="store_true", help="delete; otherwise only show")
    sub = command(verify, configured, stored)
    sub.add_argument(
        "--raw", action="store_true", help="read all of the raw files, too, and compare them"
    )
    sub = command(predict)
    sub.add_argument("model", help="folder of an encoder, or owner/name of the Hugging Face hub")
    sub.add_argument("pictures", nargs="+", help="a folder, or picture files")
    sub.add_argument("--out", required=True, help="file: .parquet, .npy, .gii or .dscalar.nii")
    sub.add_argument("--like", help="CIFTI-2 file whose grayordinates a .dscalar.nii has")
    sub.add_argument("--subject", help="a subject of the encoder")
    sub.add_argument("--hemisphere", choices=("lh", "rh"))
    sub.add_argument("--roi", nargs="+", help="some of the encoder's ROIs [all]")
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    sub.add_argument("--batch-size", type=int, default=128, help="pictures at a time [128]")
    sub.add_argument("--workers", type=int, default=2, help="threads that decode pictures [2]")

    sub = command(init)
    sub.add_argument("folder", help="folder to make")

    described = "configuration of the run, and others that are laid over it [the last run's]"
    sub = command(export, stored)
    sub.add_argument("--configfile", nargs="+", action="extend", help=described)
    sub.add_argument("--out", required=True, help="folder to write")
    sub.add_argument(
        "--as",
        dest="form",
        default="hub",
        choices=("hub", "brainscore", "algonauts2023"),
        help="a folder for each encoder as the Hugging Face hub has it; a model plugin of "
        "Brain-Score for each; or all of them as one submission to the Algonauts challenge [hub]",
    )
    for name in ("subject", "hemisphere", "roi", "method"):
        sub.add_argument(f"--{name}", help=f"encoders of this {name} alone")
    sub.add_argument("--push", metavar="OWNER/NAME", help="upload the one folder to the hub")
    command(report, stored)
    command(summary, stored)
    return parser


if __name__ == "__main__":
    sys.exit(main())
