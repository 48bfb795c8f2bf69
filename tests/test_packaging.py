"""What we ship is exactly the package, and what we test against is pinned completely."""

from __future__ import annotations

import email
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import airflow_provider_fc
from airflow_provider_fc.provider_info import get_provider_info

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = {
    "airflow-3.3.2.txt": ("3.3.2", ["credentials", "test", "judges", "lint", "browser"]),
    "airflow-2.11.2.txt": ("2.11.2", ["credentials", "test", "browser"]),
    "airflow-3.2.2.txt": ("3.2.2", ["credentials", "test"]),
    "cluster.txt": ("3.3.2", ["credentials", "test"]),
}

Python = Callable[..., subprocess.CompletedProcess[str]]


# --- the wheel --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built as a release builds it, without network."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=600,
    )
    [file] = folder.iterdir()
    return zipfile.ZipFile(file)


def metadata(wheel: zipfile.ZipFile) -> Message:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_contains_the_package_its_licence_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    package = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "airflow_provider_fc").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    about = f"airflow_provider_fc-{airflow_provider_fc.__version__}.dist-info"

    assert "airflow_provider_fc/py.typed" in package
    assert set(wheel.namelist()) == package | {
        f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    }


def test_the_wheel_announces_the_provider_to_airflow(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]

    assert wheel.read(name).decode().split() == [
        "[apache_airflow_provider]",
        "provider_info",
        "=",
        "airflow_provider_fc.provider_info:get_provider_info",
    ]


def test_the_version_is_written_in_one_place(wheel: zipfile.ZipFile) -> None:
    assert metadata(wheel)["Version"] == airflow_provider_fc.__version__
    assert PROJECT["dynamic"] == ["version", "readme"]
    assert "versions" not in get_provider_info()


def test_the_provider_names_itself_as_airflow_demands_by_its_canonical_distribution_name(
    wheel: zipfile.ZipFile,
) -> None:
    # Any other name stops every Airflow process at its start.
    assert get_provider_info()["package-name"] == canonicalize_name(metadata(wheel)["Name"]) == "airflow-provider-fc"


def test_the_licence_is_the_apache_licence(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]

    assert metadata(wheel)["License-Expression"] == "Apache-2.0"
    assert wheel.read(name).decode().split()[:4] == ["Apache", "License", "Version", "2.0,"]


def test_airflow_finds_an_address_of_the_documentation(wheel: zipfile.ZipFile) -> None:
    assert any(url.startswith("Documentation, https://") for url in metadata(wheel).get_all("Project-URL", []))


def test_the_description_of_an_installed_package_has_no_link_that_leads_nowhere(wheel: zipfile.ZipFile) -> None:
    text = metadata(wheel).get_payload()

    assert "FunctionComputeInvocationsSensor" in text
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", text) == []


def test_links_of_the_description_lead_into_the_repository_once_there_is_one() -> None:
    code = (
        "import hatch_build; print(hatch_build.description('![a](b.svg) [c](docs/d.md#e) [f](https://g)', 'https://h'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)

    assert done.stdout.split() == [
        "![a](https://h/raw/main/b.svg)",
        "[c](https://h/blob/main/docs/d.md#e)",
        "[f](https://g)",
    ]


# --- what an import costs ---------------------------------------------------------------------------------------------


def loaded_by(python: Python, module: str) -> set[str]:
    """Top-level names of what one import adds to a fresh interpreter, the standard library aside."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*sorted(set(sys.modules) - before))"
    names = python("-c", code).stdout.split()
    return {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}


def test_importing_the_package_imports_nothing_else(python: Python) -> None:
    code = "import sys; before = set(sys.modules); import airflow_provider_fc; print(*set(sys.modules) - before)"

    assert python("-c", code).stdout.split() == ["airflow_provider_fc"]


METADATA = {
    "airflow_provider_fc",
    "airflow_provider_fc.provider_info",
    "airflow_provider_fc.core",
    "airflow_provider_fc.core.connection_fields",  # the table of fields: plain data
    "airflow_provider_fc.core.limits",
}


def test_the_metadata_every_airflow_process_reads_loads_nothing_but_plain_data(python: Python) -> None:
    assert loaded_by(python, "airflow_provider_fc.provider_info") == METADATA


def test_the_connection_form_loads_no_web_library_before_it_is_asked_for(python: Python) -> None:
    assert loaded_by(python, "airflow_provider_fc.connection_form") == METADATA | {
        "airflow_provider_fc.connection_form"
    }


# --- the pins ---------------------------------------------------------------------------------------------------------


def pins(text: str) -> dict[str, str]:
    """``NAME==VERSION`` lines as a mapping; nothing else may stand in the file: no option, address, marker or comment.

    :raises ValueError: names the first line that is something else, or a name that is pinned twice.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        pin = re.fullmatch(r"([a-z0-9]+(?:-[a-z0-9]+)*)==([0-9][0-9A-Za-z.!+]*)", line)
        if not pin:
            raise ValueError(f"not NAME==VERSION: {line!r}")
        if pin[1] in found:
            raise ValueError(f"pinned twice: {pin[1]}")
        found[pin[1]] = pin[2]
    return found


@pytest.mark.parametrize(("name", "at_least"), [*((name, 100) for name in PINNED), ("docs.txt", 20)])
def test_a_constraints_file_is_pins_and_nothing_else(name: str, at_least: int) -> None:
    text = (ROOT / "constraints" / name).read_text(encoding="utf-8")

    assert len(pins(text)) > at_least
    assert text.splitlines() == sorted(text.splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "requests>=2.32",
        "requests==2.34.2 ; python_version < '3.12'",
        "requests @ https://example.org/requests.zip",
        "requests==2.*",
        "https://example.org/simple",
        "-r other.txt",
        "# a comment",
        "",
        "Requests==2.34.2",
    ],
)
def test_a_line_that_is_not_a_plain_pin_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not NAME==VERSION"):
        pins(f"aiohttp==3.14.5\n{line}\n")


def test_a_name_pinned_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="pinned twice: aiohttp"):
        pins("aiohttp==3.14.5\naiohttp==3.14.6\n")


@pytest.mark.parametrize("name", PINNED)
def test_the_constraints_pin_every_requirement_of_the_project_within_its_bounds(name: str) -> None:
    airflow, extras = PINNED[name]
    pinned = pins((ROOT / "constraints" / name).read_text(encoding="utf-8"))
    requirements = PROJECT["dependencies"] + [
        requirement for extra in extras for requirement in PROJECT["optional-dependencies"][extra]
    ]
    outside = [
        requirement
        for requirement in map(Requirement, requirements)
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]

    assert outside == []  # else: make constraints
    assert pinned["apache-airflow"] == airflow
    assert "hatchling" in pinned


def test_the_documentation_is_made_with_pinned_versions() -> None:
    [asked_for] = re.findall(r"^DOCS = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    pinned = pins((ROOT / "constraints" / "docs.txt").read_text(encoding="utf-8"))
    requirements = [Requirement(text) for text in shlex.split(asked_for)]

    assert [each.name for each in requirements if not each.specifier.contains(pinned.get(each.name, "0"))] == []


def test_the_cluster_has_pins_for_all_it_needs_and_the_same_ones_as_its_airflow() -> None:
    [asked_for] = re.findall(r"^CLUSTER = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    pinned = pins((ROOT / "constraints" / "cluster.txt").read_text(encoding="utf-8"))
    without = pins((ROOT / "constraints" / "airflow-3.3.2.txt").read_text(encoding="utf-8"))

    assert [name for name in shlex.split(asked_for) if name not in pinned] == []
    assert {name: pin for name, pin in pinned.items() if without.get(name, pin) != pin} == {}


BUILD_FILES = ["pyproject.toml", "Makefile", ".ci/run", "mkdocs.yml", "scripts/release_check.py", "hatch_build.py"]


@pytest.mark.parametrize("name", [*BUILD_FILES, ".github/workflows/ci.yml"])
def test_no_file_of_the_build_says_where_packages_come_from(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")

    assert re.findall(r"index[-_]url|find[-_]links|(?i:pip_index)|\[\[?tool\.uv", text) == []
