"""What the pages tell a reader to type exists: commands, options, make targets and files."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from console.cli import app
from dev.local.template import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PAGES += sorted(page for page in (ROOT / "docs").rglob("*.md"))
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks of a language, those within lists too."""
    fenced = re.compile(rf"^( *)```{language}\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
    return [text for _, text in fenced.findall(page.read_text())]


def commands(page: Path, program: str) -> list[list[str]]:
    """The arguments of each line that calls the program, up to a comment, pipe or redirection."""
    call = re.compile(rf"^ *(?:\w+=\S+ |xargs -L 1 |\.venv/bin/)*{program} (.+)", re.MULTILINE)
    calls = call.findall("\n".join(blocks(page, "sh")))
    return [shlex.split(re.split(r"\s#|[|<>;]", arguments)[0]) for arguments in calls]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_json_block_is_json(page: Path) -> None:
    for text in blocks(page, "json"):
        json.loads(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    named = re.findall(r"`(?:[A-Z]+=\S+ )?make ([^`…]+)`", page.read_text())
    words = {word for text in named for word in text.split() if "=" not in word}
    words |= {word for words in commands(page, "make") for word in words if "=" not in word}
    assert words <= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_console_takes_its_arguments(page: Path) -> None:
    for arguments in commands(page, "conversations"):
        command, words = get_command(app), arguments
        context = None
        while True:  # down to the command that takes the options
            context = command.make_context(command.name, words, parent=context)
            if not hasattr(command, "resolve_command"):
                break
            _, command, words = command.resolve_command(
                context, [*context._protected_args, *context.args]
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_named_in_code_exists(page: Path) -> None:
    folders = "src|console|dev|check|tests|docs|events|examples|benchmarks|requirements"
    named = re.findall(rf"[` ]((?:{folders})/[\w/.-]*[\w/])(?=[` \n])", page.read_text())
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []
