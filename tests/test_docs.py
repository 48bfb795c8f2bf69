"""The documentation names only what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
NAMED_TESTS = sorted({name for page in PAGES for name in re.findall(r"tests/[\w/]+\.py::\w+", page.read_text("utf-8"))})


@pytest.mark.parametrize("name", NAMED_TESTS)
def test_a_test_that_the_documentation_names_exists(name: str) -> None:
    file, _, function = name.partition("::")

    assert f"def {function}(" in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_that_a_page_names_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = re.findall(r"`make ([\w-]+)", page.read_text("utf-8"))

    assert [target for target in named if f"\n{target}:" not in makefile] == []


def test_ci_calls_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    [listed] = re.findall(r"^        target:\n((?:          - .*\n)+)", workflow, re.MULTILINE)
    targets = [word for line in listed.splitlines() for word in line.strip("- ").split() if "=" not in word]

    assert "release-check" in targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_picture_that_a_page_shows_is_there_and_small(page: Path) -> None:
    shown = [page.parent / name for name in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text("utf-8"))]

    assert [str(picture) for picture in shown if not picture.is_file() or picture.stat().st_size > 60_000] == []


def test_every_page_stands_in_the_navigation_of_the_site() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")

    assert [page.name for page in ROOT.glob("docs/*.md") if f": {page.name}" not in navigation] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_a_page_begins_with_what_it_is_for_and_an_example(page: Path) -> None:
    title, blank, first, *rest = page.read_text("utf-8").splitlines()
    before_the_example = next(number for number, line in enumerate(rest) if line.startswith("```"))

    assert title.startswith("# ")
    assert (blank, first[:1].isalpha() or first.startswith("`")) == ("", True)
    assert before_the_example < 20
