"""Every command that the documentation names is one that can be given, options and files too.

That those of the README do what they say, its sections' test runs them; here each is parsed by
the parser of the program itself.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cortune import cli

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = "cortune", "snakemake", "python", "make", "pip", "pytest"
PAGES = [
    *(REPOSITORY / "docs").rglob("*.md"),
    *(REPOSITORY / name for name in ("README.md", "benchmarks/README.md", "config/README.md")),
]
_BLOCK = re.compile(r"^ *```[a-z]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_OWN = re.compile(r"(my|photographs|network|folds|travel|other)\.yaml|…")
"""Files that the reader writes."""


def commands() -> Iterator[tuple[str, str]]:
    """Yield the commands in blocks and in the text, each with its page."""
    for page in sorted(PAGES):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for block in _BLOCK.findall(text) for line in block.splitlines()]
        inline = re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))
        for line in [*lines, *inline]:
            for command in line.split(" && "):
                words = command.split("  #")[0].strip()
                if words.startswith(tuple(f"{program} " for program in PROGRAMS)):
                    yield str(page.relative_to(REPOSITORY)), words


COMMANDS = sorted({command: page for page, command in commands()}.items())


def by_cortune(words: list[str]) -> None:
    cli._parser().parse_args(words)


def by_snakemake(words: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    parsed, others = get_argument_parser().parse_known_args(words)
    assert all(word.startswith("--storage-") for word in others if word.startswith("--")), others
    for path in map(str, parsed.configfile or ()):
        assert _OWN.fullmatch(path) or (REPOSITORY / path).is_file(), path
    if parsed.workflow_profile:
        assert (REPOSITORY / str(parsed.workflow_profile)).is_dir()


def by_python(words: list[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "docs", "exec")
        return
    if words[0] == "-m":
        name = words[1].replace(".", "/")
        found = [REPOSITORY / "src" / f"{name}{end}" for end in (".py", "/__main__.py")]
        (script,) = (path for path in found if path.is_file())
    else:
        script = REPOSITORY / words[0]
    text = script.read_text(encoding="utf-8")
    for option in (word for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in text, option


def by_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(words) <= set(targets)


def by_pip(words: list[str]) -> None:
    with (REPOSITORY / "pyproject.toml").open("rb") as handle:
        extras = set(tomllib.load(handle)["project"]["optional-dependencies"])
    for word in words:
        for named in re.findall(r"\[(.*)\]", word):
            assert set(named.split(",")) <= extras
    if "--constraint" in words:
        assert (REPOSITORY / words[words.index("--constraint") + 1]).is_file()


def by_pytest(words: list[str]) -> None:
    for word in words:
        if word.startswith("tests"):
            assert (REPOSITORY / word.split("::")[0]).exists()


PARSERS: dict[str, Callable[[list[str]], None]] = {
    "cortune": by_cortune,
    "snakemake": by_snakemake,
    "python": by_python,
    "make": by_make,
    "pip": by_pip,
    "pytest": by_pytest,
}


def test_commands_are_found_on_most_pages():
    assert len(COMMANDS) > 60
    assert {command.split()[0] for command, _ in COMMANDS} >= {"cortune", "snakemake", "python"}


@pytest.mark.parametrize(("command", "page"), COMMANDS)
def test_a_command_can_be_given(command, page, capsys):
    program, *words = shlex.split(command.replace("[", " ").replace("]", " "))
    if program == "pip":
        program, *words = shlex.split(command)
    words = words[: words.index(">")] if ">" in words else words
    try:
        PARSERS[program](words)
    except SystemExit:
        said = capsys.readouterr().err
        # The text may name a part of a command.
        assert "the following arguments are required" in said, f"{page}: {command}: {said}"


@pytest.mark.parametrize("command", ["cortune chekc", "snakemake --coers 2", "make nothing"])
def test_a_command_that_cannot_be_given_is_told(command, capsys):
    program, *words = command.split()
    with pytest.raises((SystemExit, AssertionError)):
        PARSERS[program](words)
