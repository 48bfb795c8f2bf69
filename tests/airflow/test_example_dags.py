"""The example DAGs and the documentation's examples: what users copy works as it stands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.hooks import FunctionComputeHook

ON_AIRFLOW3 = find_spec("airflow.sdk") is not None
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "example_dags"
FUNCTIONS = EXAMPLES / "functions" / "words.py"
DAG_IDS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
AIRFLOW3_DAG_IDS = sorted(path.stem for path in EXAMPLES.glob("airflow3/*.py"))

PARSE = """
import json, sys, warnings
from pathlib import Path
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models import DagBag
folder = sys.argv[1]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    bag = DagBag(dag_folder=folder)
ours = [str(each.message) for each in caught if "airflow_provider_fc" in each.filename or folder in each.filename]
files = sorted(Path(each.file).name for each in bag.dagbag_stats)
print(json.dumps({"dags": sorted(bag.dags), "files": files, "errors": bag.import_errors, "warnings": ours}))
"""


@pytest.fixture(scope="module")
def parsed(python: Callable[..., subprocess.CompletedProcess[str]]) -> dict[str, Any]:
    """What Airflow makes of the folder, in a process that has not imported any of it before."""
    return json.loads(python("-c", PARSE, str(EXAMPLES)).stdout.splitlines()[-1])


def test_each_file_is_one_dag_of_its_name_and_the_functions_are_none(parsed: dict[str, Any]) -> None:
    usable = sorted([*DAG_IDS, *(AIRFLOW3_DAG_IDS if ON_AIRFLOW3 else [])])
    assert parsed["dags"] == usable
    assert [file for file in parsed["files"] if file.removesuffix(".py") in usable] == [f"{name}.py" for name in usable]
    assert set(parsed["files"]) <= {f"{name}.py" for name in [*DAG_IDS, *AIRFLOW3_DAG_IDS]}


def test_only_those_for_airflow_3_cannot_be_imported_before(parsed: dict[str, Any]) -> None:
    unusable = [] if ON_AIRFLOW3 else AIRFLOW3_DAG_IDS
    assert sorted(Path(file).stem for file in parsed["errors"]) == unusable


def test_no_import_warns(parsed: dict[str, Any]) -> None:
    assert parsed["warnings"] == []


def test_examples_need_no_logical_date() -> None:
    """Runs triggered over the REST API or by an asset have none."""
    text = "".join(path.read_text() for path in EXAMPLES.glob("*.py"))

    assert not re.search(r"{{[^}]*(\bds|logical_date|data_interval|execution_date|\bts)", text)


@pytest.fixture
def emulator(connection: Callable[..., str]) -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator(functions=FUNCTIONS) as emulator:
        connection(**emulator.connection)
        yield emulator


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three real files of 3, 2 and 400 words."""
    texts = {"a.md": "one two three", "b.md": "one two", "c.md": "word " * 400}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return [tmp_path / name for name in texts]


def run(dag_id: str, folder: Path, **params: Any) -> dict[str, Any]:
    """Run an example in this process; what each task has pushed, a list where the task is mapped."""
    file = Path(shutil.copy(EXAMPLES / f"{dag_id}.py", folder))
    namespace: dict[str, Any] = {"__name__": dag_id, "__file__": str(file), "__doc__": "an example"}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    dag = namespace["wait"].dag
    dag.fileloc = str(file)
    finished = dag.test(run_conf=params)
    assert str(finished.state) == "success"
    return pushed(finished)


def pushed(finished: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for ti in finished.get_task_instances():
        value = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
        if ti.map_index < 0:
            values[ti.task_id] = value
        else:
            values.setdefault(ti.task_id, []).append(value)
    return values


@pytest.mark.usefixtures("metadata_db")
def test_waiting_for_a_prefix_sorts_failed_from_succeeded(
    emulator: FunctionComputeEmulator, dags_folder: Path, files: list[Path]
) -> None:
    # Six seconds of work: the sensor's first poll finds them unfinished, so it really defers.
    values = run("fc_wait_for_prefix", dags_folder, paths=[str(file) for file in files], max_bytes=1000, seconds=6)

    assert values["submit"] == 3 == len(emulator.executions)
    assert values["wait"]["by_status"] == {"Failed": 1, "Succeeded": 2}
    assert [row["error_message"] for row in values["failed"]] == [
        f"ValueError: {files[2]} has 2000 bytes, more than the 1000 allowed"
    ]
    assert len(values["succeeded"]) == 2
    assert values["report"] == {"succeeded": 2, "failed": [values["failed"][0]["invocation_id"]]}


@pytest.mark.usefixtures("metadata_db")
def test_mapping_runs_one_task_per_finished_invocation(
    emulator: FunctionComputeEmulator, dags_folder: Path, files: list[Path]
) -> None:
    values = run("fc_map_over_invocations", dags_folder, paths=[str(file) for file in files], seconds=0)

    assert sorted(values["words_of"]) == [2, 3, 400]
    assert values["total"] == 405


@pytest.mark.usefixtures("metadata_db")
def test_service_and_qualifier_reach_function_compute_2(
    emulator: FunctionComputeEmulator, dags_folder: Path, files: list[Path]
) -> None:
    values = run("fc_two_service_and_qualifier", dags_folder, paths=[str(file) for file in files], seconds=0)

    assert values["report"] == 3
    assert {request.generation for request in emulator.requests} == {"2016-08-15"}
    assert {request.parameters["service"] for request in emulator.requests} == {"texts"}
    assert {request.parameters["qualifier"] for request in emulator.requests} == {"LATEST"}


@pytest.mark.usefixtures("metadata_db")
def test_a_fan_out_over_many_files_executes_each_of_them_once(
    emulator: FunctionComputeEmulator, dags_folder: Path, tmp_path: Path
) -> None:
    count = 200
    paths = [tmp_path / f"{number:03}.txt" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text("word " * number)

    values = run("fc_fan_out", dags_folder, paths=[str(path) for path in paths])

    assert values["total"] == sum(range(count))
    assert values["failed"] == values["to_clear"] == []
    assert values["wait"]["by_status"] == {"Succeeded": count}
    assert len(emulator.executions) == count
    submitted = {row["invocation_id"] for row in values["invoke"]}
    assert {execution.invocation_id for execution in emulator.executions} == submitted
    assert len(submitted) == count


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = set() if ON_AIRFLOW3 else {"events.md"}  # asset watchers need Airflow 3


def blocks(language: str) -> list[Any]:
    """Every block of that language in the documentation."""
    found = []
    for page in [page for page in PAGES if page.name not in NOT_RUN]:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            found.append(pytest.param(match[1], id=f"{page.name}:{line}"))
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_the_documentation_s_python_runs(
    code: str, connection: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DAGs are built, hooks are used, functions are defined, and tests are called."""
    (tmp_path / "functions.py").write_text("def thumbnail(event, context): ...\n")  # what its readers have
    monkeypatch.chdir(tmp_path)
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        namespace: dict[str, Any] = {"__name__": "documentation"}
        exec(compile(code, "documentation", "exec"), namespace)
        for name, value in namespace.items():
            if name.startswith("test_"):
                value(emulator)
    assert len(namespace) > 1


@pytest.mark.parametrize("text", blocks("json"))
def test_the_documentation_s_json_is_json_and_its_scenarios_are_some(text: str) -> None:
    value = json.loads(text)

    if "invocations" in value:
        with FunctionComputeEmulator(scenario=value) as emulator:
            assert emulator.faults


@pytest.mark.parametrize("code", [block for block in blocks("bash") if "AIRFLOW_CONN_FC_DEFAULT=" in block.values[0]])
def test_the_documentation_s_connections_are_usable(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = ["bash", "-ec", f'{code}\nprintf %s "$AIRFLOW_CONN_FC_DEFAULT"']
    value = subprocess.run(shell, capture_output=True, check=True, text=True).stdout
    monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", value)

    settings = FunctionComputeHook().settings

    assert settings.region_id == "cn-hangzhou"
    assert settings.auth.access_key_id == ("LTAI5tExample" if "LTAI5tExample" in code else None)
    assert settings.auth.access_key_secret == ("the-secret" if "the-secret" in code else None)
    assert settings.account_id == ("1234567890123456" if "account_id" in code else None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []
