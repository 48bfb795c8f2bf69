"""``make e2e-matrix``: the tests that touch Airflow, on every version of Airflow and Python that is supported.

Usage: e2e_matrix.py AIRFLOW:PYTHON...: runs tests/airflow in each combination, tests/e2e in full on the oldest and the
newest Airflow, and one deferred wait in a real Airflow on those between, both with the first Python of that Airflow.
Writes build/e2e/matrix.json. It fails when a test fails, when a part does not come to its end, and when tests are left
out for other reasons, or more or fewer of them, than ``differences.py`` says.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from differences import expected_skips

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "e2e"
LONGEST = 2 * 3600
"""Seconds that one part may take on a busy machine."""
WORKERS = "2"
AT_A_TIME = 3
TOLD = (
    "apache-airflow", "apache-airflow-task-sdk", "apache-airflow-providers-common-compat", "aiohttp", "fastapi",
    "pydantic", "pytest", "requests", "sqlalchemy", "starlette", "svcs",
)  # fmt: skip
ASK_VERSIONS = f"""
import json, platform
from importlib.metadata import PackageNotFoundError, version
found = {{"python": platform.python_version()}}
for name in {TOLD!r}:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Combination:
    airflow: str
    python: str

    def __str__(self) -> str:
        return f"{self.airflow}-py{self.python}"


@dataclass
class Part:
    """What pytest was asked to run, and what came of it.

    :param tests: the folder or file that it runs.
    :param skipped: ``{"test": ..., "reason": ...}`` each.
    :param problems: what is wrong, in words; nothing if the part has passed.
    """

    tests: str
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass
class Result:
    """What came of one combination."""

    airflow: str
    python: str
    versions: dict[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def wrong(self) -> list[str]:
        return [*self.problems, *(f"{part.tests}: {problem}" for part in self.parts for problem in part.problems)]


class NoEnvironment(Exception):
    """``make`` could not make the environment."""


def main(asked_for: Sequence[str]) -> int:
    began = time.monotonic()
    report = REPORTS / "matrix.json"
    report.unlink(missing_ok=True)
    combinations = [Combination(*text.split(":")) for text in asked_for]
    results = run_all(combinations)
    write(report, results, time.monotonic() - began)
    print(table(results), flush=True)
    for combination, result in results.items():
        for problem in result.wrong():
            print(f"WRONG on {combination}: {problem}", file=sys.stderr)
    return int(any(result.wrong() for result in results.values()))


def run_all(combinations: Sequence[Combination]) -> dict[Combination, Result]:
    """Run every part, three at a time: each waits most of the time, tests/airflow computes for 0.4 of two cores."""
    results = {each: Result(each.airflow, each.python) for each in combinations}
    interpreters = {each: interpreter for each in combinations if (interpreter := prepare(each, results[each]))}
    whole = [(each, "tests/airflow") for each in combinations if each in interpreters]
    real = [(each, tests) for each, tests in real_parts(combinations) if each in interpreters]
    parts = [*real[:1], *whole, *real[1:]]  # the longest first, the shortest last
    with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        running = [pool.submit(add_part, results[each], interpreters[each], each, tests) for each, tests in parts]
    for part in running:
        part.result()
    return results


def real_parts(combinations: Sequence[Combination]) -> list[tuple[Combination, str]]:
    """Choose what runs in a real Airflow, the longest first."""
    of_version: dict[str, Combination] = {}
    for each in combinations:
        of_version.setdefault(each.airflow, each)
    chosen = list(of_version.values())
    ends = dict.fromkeys([chosen[-1], chosen[0]])
    between = chosen[1:-1]
    return [*((each, "tests/e2e") for each in ends), *((each, "tests/e2e/test_deferred.py") for each in between)]


def prepare(combination: Combination, result: Result) -> Path | None:
    """Have make install what is missing; the environment's interpreter."""
    print(f"{combination}: environment", flush=True)
    try:
        python = make_environment(combination)
        result.versions = json.loads(output([str(python), "-c", ASK_VERSIONS]))
    except NoEnvironment as error:
        result.problems.append(str(error))
        return None
    if (installed := result.versions.get("apache-airflow")) != combination.airflow:
        result.problems.append(f"Airflow {installed} is installed")
    if not result.versions["python"].startswith(f"{combination.python}."):
        result.problems.append(f"Python {result.versions['python']} is installed")
    return python


def make_environment(combination: Combination) -> Path:
    """
    :raises NoEnvironment: with what make has said.
    """
    which = [f"VERSION={combination.airflow}", f"PYTHON=python{combination.python}"]
    said = output(["make", "--no-print-directory", "--silent", "airflow-python", *which])
    return ROOT / said.splitlines()[-1]


def output(command: Sequence[str]) -> str:
    """
    :raises NoEnvironment: the command has failed.
    """
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode or not done.stdout.strip():
        raise NoEnvironment(f"{' '.join(command[:5])}: exit code {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout.strip()


def add_part(result: Result, python: Path, combination: Combination, tests: str) -> None:
    part = run_part(python, combination, tests)
    result.parts.append(part)
    counts = f"{part.passed} passed, {len(part.failed)} failed, {len(part.skipped)} skipped"
    print(f"{combination}: {tests}: {counts} in {part.seconds:.0f} s", flush=True)


def run_part(python: Path, combination: Combination, tests: str) -> Part:
    """Run pytest in a process of its own, with its whole output in a log."""
    print(f"{combination}: {tests}", flush=True)
    folder = REPORTS / "matrix"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{combination}-{Path(tests).stem}"
    xml, log = folder / f"{name}.xml", folder / f"{name}.log"
    xml.unlink(missing_ok=True)
    together = ["--numprocesses", WORKERS, "--dist", "loadfile"] if tests == "tests/airflow" else []
    command = [str(python), "-m", "pytest", *together, f"--junitxml={xml}", tests]
    began = time.monotonic()
    with log.open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        code = wait(process)
    part = read(tests, xml, code, log)
    part.seconds = round(time.monotonic() - began, 1)
    if not part.problems:
        part.problems += unexpected(part, combination.airflow)
    return part


def wait(process: subprocess.Popen[bytes]) -> int | None:
    """Wait for its exit code; ``None`` if it had to be ended."""
    try:
        return process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
        return None


def read(tests: str, xml: Path, code: int | None, log: Path) -> Part:
    """Read what pytest has reported, and say what is wrong with it."""
    part = Part(tests)
    for test, outcome, text in outcomes(xml) if code is not None and xml.exists() else ():
        if outcome == "passed":
            part.passed += 1
        elif outcome == "skipped":
            part.skipped.append({"test": test, "reason": text})
        else:
            part.failed.append(test)
    if what := fault(part, code, xml.exists()):
        part.problems.append(f"{what}: {log.relative_to(ROOT) if log.is_relative_to(ROOT) else log}")
    return part


def fault(part: Part, code: int | None, reported: bool) -> str:
    """Say why the run itself cannot pass, whatever was left out in it; an empty text if it can."""
    if code is None:
        return f"not ready after {LONGEST} s"
    if not reported:
        return f"pytest has ended with exit code {code} and without a report"
    if part.failed:
        return f"{len(part.failed)} failed"
    if code:
        return f"pytest has ended with exit code {code}"
    return "" if part.passed else "no test has passed"


def outcomes(xml: Path) -> Iterator[tuple[str, str, str]]:
    """Give the name of each test, its outcome, and why it was left out."""
    for case in ElementTree.parse(xml).iter("testcase"):
        test = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        bad = [child.tag for child in case if child.tag in ("failure", "error")]
        skips = case.findall("skipped")
        if bad:
            yield test, "failed", ""
        elif skips:
            yield test, "skipped", skip_text(skips[0])
        else:
            yield test, "passed", ""


def skip_text(element: ElementTree.Element) -> str:
    """Give the reason. That of a whole module stands in ``('file', line, 'Skipped: reason')``."""
    message = element.get("message", "")
    if message != "collection skipped":
        return message
    _, _, reason = ast.literal_eval(element.text or "")
    return str(reason).removeprefix("Skipped: ")


def unexpected(part: Part, airflow: str) -> list[str]:
    """Compare what was left out with the table of differences. A file that is run alone leaves nothing out."""
    seen = Counter(each["reason"] for each in part.skipped)
    table = expected_skips(part.tests, airflow)
    return [
        f"{seen[reason]} skips instead of {table[reason]}: {reason}"
        for reason in sorted(seen | table)
        if seen[reason] != table[reason]
    ]


def write(report: Path, results: dict[Combination, Result], seconds: float) -> None:
    """Write the report, under its name only when it is whole."""
    combinations = {str(each): {**asdict(result), "passed": not result.wrong()} for each, result in results.items()}
    passed = bool(combinations) and all(each["passed"] for each in combinations.values())
    document = {"passed": passed, "seconds": round(seconds, 1), "combinations": combinations}
    report.parent.mkdir(parents=True, exist_ok=True)
    new = report.with_suffix(".new")
    new.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    new.replace(report)


def table(results: dict[Combination, Result]) -> str:
    """Show one line a part."""
    lines = [f"{'combination':16} {'tests':28} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}"]
    for combination, result in results.items():
        lines += [
            f"{combination!s:16} {part.tests:28} {part.passed:7} {len(part.failed):7} {len(part.skipped):8} "
            f"{part.seconds:8.0f}"
            for part in result.parts
        ] or [f"{combination!s:16} nothing has run"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
