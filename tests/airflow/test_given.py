"""Every parameter of every operator and of the sensor: what was given is never lost in silence, mapped or not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, task
from jinja2 import Undefined
from running import context

from airflow_provider_fc.base import FunctionComputeTask
from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.execution.given import settle
from airflow_provider_fc.operators import (
    FunctionComputeInvokeOperator,
    FunctionComputeListInvocationsOperator,
    FunctionComputeStopInvocationsOperator,
)
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

CLASSES: list[Any] = [
    FunctionComputeInvocationsSensor,
    FunctionComputeListInvocationsOperator,
    FunctionComputeInvokeOperator,
    FunctionComputeStopInvocationsOperator,
]
EVERY_PARAMETER = [(cls, name) for cls in CLASSES for name in cls.parameters]
IDS = [f"{cls.__name__.removeprefix('FunctionCompute')}-{name}" for cls, name in EVERY_PARAMETER]
every_parameter = pytest.mark.parametrize(("cls", "name"), EVERY_PARAMETER, ids=IDS)

TEXTS = (
    "function_name",
    "service_name",
    "qualifier",
    "invocation_id",
    "invocation_id_prefix",
    "fc_conn_id",
    "region_id",
)
MAY_BE_NONE_WHEN_MAPPED = {"payload", "delay", "order"}


@pytest.fixture
def emulator(connection: Callable[..., str]) -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def make(cls: Any, dag: DAG, **given: Any) -> FunctionComputeTask:
    needed = {"function_name": "resize"}
    if "invocation_id_prefix" in cls.parameters and not {"invocation_ids", "invocation_id"} & given.keys():
        needed["invocation_id_prefix"] = "job-"
    return cls(task_id="task", dag=dag, **{**needed, **given})


def mapped(cls: Any, dag: DAG, arguments: dict[str, Any], **for_all: Any) -> FunctionComputeTask:
    """The object that Airflow makes of a mapped task on the worker."""
    whole = cls.partial(task_id="task", dag=dag, **for_all).expand_kwargs([arguments], strict=False)
    task = whole.unmap(arguments)
    render(task)
    return task


def render(task: FunctionComputeTask, **variables: Any) -> None:
    environment = task.get_template_env()
    task._do_render_template_fields(
        task, task.template_fields, {**context(), "none": None, "params": {}, **variables}, environment, set()
    )


@pytest.fixture(params=[False, True], ids=["text", "native"])
def dag(request: pytest.FixtureRequest) -> DAG:
    return DAG("dag", schedule=None, render_template_as_native_obj=request.param)


def refusal(act: Callable[[], Any]) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        act()
    return caught.value


@every_parameter
@pytest.mark.parametrize("template", ["{{ none }}", "{{ none or '' }}"], ids=["none", "blank"])
def test_a_template_that_comes_to_nothing_is_an_error_that_names_the_parameter(
    emulator: FunctionComputeEmulator, dag: DAG, cls: Any, name: str, template: str
) -> None:
    task = make(cls, dag, **{name: template})
    render(task)

    error = refusal(lambda: task.execute(context()))

    assert error.name == name
    assert "has become" in str(error) or name in ("fc_conn_id", "region_id")  # which the connection is read with
    assert not emulator.requests


def ways_out(task: FunctionComputeTask, name: str) -> str:
    return str(refusal(lambda: settle(task))).partition("; ")[2]


def both_ways(cls: Any, name: str, **others: Any) -> list[str]:
    """What is said of a template and of a mapped argument that have come to nothing."""
    lost = cls(
        task_id="task", dag=DAG("dag", schedule=None), **{"function_name": "resize", **others, name: "{{ none }}"}
    )
    render(lost)
    if name in MAY_BE_NONE_WHEN_MAPPED:
        return [ways_out(lost, name)]
    arguments = {"function_name": "resize", **others, name: None}
    return [ways_out(lost, name), ways_out(mapped(cls, DAG("dag", schedule=None), arguments), name)]


@every_parameter
def test_nobody_is_told_to_leave_out_what_must_be_given(cls: Any, name: str) -> None:
    needed = inspect.signature(cls.__init__).parameters[name].default is inspect.Parameter.empty
    others = {
        one: "job-1" for one in ("invocation_ids", "invocation_id_prefix") if one in cls.parameters and one != name
    }

    for said in both_ways(cls, name, **others):
        assert ("leave" in said) != needed
        assert said.startswith("correct " if needed else ("correct that, or leave ", "leave its key out"))


@pytest.mark.parametrize("cls", [FunctionComputeInvocationsSensor, FunctionComputeStopInvocationsOperator])
@pytest.mark.parametrize(
    ("name", "other"),
    [("invocation_id_prefix", "invocation_ids"), ("invocation_ids", "invocation_id_prefix")],
)
def test_where_one_of_two_must_be_given_the_other_is_named(cls: Any, name: str, other: str) -> None:
    assert both_ways(cls, name) == [
        f"correct that, or give {other} instead",
        f"correct the result, or give {other} instead",
    ]


@every_parameter
def test_a_result_that_is_none_is_an_error_that_names_the_parameter(
    emulator: FunctionComputeEmulator, cls: Any, name: str
) -> None:
    task = make(cls, DAG("dag", schedule=None), **{name: lambda context, jinja_env: None})
    task.written = {name: "what the author wrote"}
    setattr(task, name, None)

    assert refusal(lambda: task.execute(context())).name == name
    assert not emulator.requests


@every_parameter
def test_an_undefined_variable_is_nothing_as_well(cls: Any, name: str) -> None:
    task = make(cls, DAG("dag", schedule=None, render_template_as_native_obj=True, template_undefined=Undefined))
    setattr(task, name, "{{ nobody_knows }}")
    render(task)

    assert refusal(lambda: settle(task)).name == name


@every_parameter
def test_a_literal_none_leaves_out_what_can_be_left_out(dag: DAG, cls: Any, name: str) -> None:
    task = make(cls, dag, **{name: None})
    render(task)
    if isinstance(inspect.signature(cls.__init__).parameters[name].default, bool):
        assert refusal(lambda: settle(task)).name == name  # None says neither yes nor no
    else:
        settle(task)
        assert getattr(task, name) is None


@every_parameter
def test_none_in_a_mapped_argument_is_refused_where_it_protects_or_narrows(
    emulator: FunctionComputeEmulator, dag: DAG, cls: Any, name: str
) -> None:
    task = mapped(cls, dag, {"function_name": "resize", name: None})
    if name in MAY_BE_NONE_WHEN_MAPPED:
        settle(task)
        return

    error = refusal(lambda: task.execute(context()))

    assert error.name == name
    assert "is None in a mapped argument" in str(error) or name == "fc_conn_id"  # which has no None at all
    assert ("'unlimited'" in str(error)) == (name == "max_failed")
    assert not emulator.requests


@every_parameter
def test_expand_tells_mapped_arguments_as_well(cls: Any, name: str) -> None:
    for_all = {} if name == "function_name" else {"function_name": "resize"}
    dag = DAG("dag", schedule=None)
    whole = cls.partial(task_id="task", dag=dag, **for_all).expand(**{name: [None]})
    task = whole.unmap({name: None})
    render(task)

    if name not in MAY_BE_NONE_WHEN_MAPPED:
        assert refusal(lambda: settle(task)).name == name


@every_parameter
def test_none_in_partial_is_the_author_s_own(dag: DAG, cls: Any, name: str) -> None:
    other = "service_name" if name == "function_name" else "function_name"
    task = mapped(cls, dag, {other: "resize"}, **{name: None})
    if not isinstance(inspect.signature(cls.__init__).parameters[name].default, bool):
        settle(task)
    assert getattr(task, name) is None


@every_parameter
def test_a_template_in_partial_that_comes_to_nothing_is_an_error(dag: DAG, cls: Any, name: str) -> None:
    other = "service_name" if name == "function_name" else "function_name"
    task = mapped(cls, dag, {other: "resize"}, **{name: "{{ none }}"})

    assert refusal(lambda: settle(task)).name == name


def test_a_mapped_none_does_not_hide_behind_partial(dag: DAG) -> None:
    task = mapped(FunctionComputeInvocationsSensor, dag, {"function_name": "f", "max_failed": None}, max_failed=5)

    assert refusal(lambda: settle(task)).name == "max_failed"


def test_a_word_says_in_a_mapped_argument_that_failures_do_not_matter(emulator: FunctionComputeEmulator) -> None:
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Failed"]}])
    given = {"invocation_id_prefix": "job-", "max_failed": "unlimited"}
    dag = DAG("dag", schedule=None)

    task = mapped(FunctionComputeInvocationsSensor, dag, given, function_name="resize", settle_seconds=0)

    assert task.execute(context())["by_status"] == {"Failed": 1}


NAMED_TEXTS = [(cls, name) for cls, name in EVERY_PARAMETER if name in TEXTS]


@pytest.mark.parametrize(("cls", "name"), NAMED_TEXTS)
@pytest.mark.parametrize(
    ("template", "text"), [("{{ n }}", "20261127"), ("{{ n }}_{{ 1 }}", "20261127_1"), ("0{{ 7 }}", "07")]
)
def test_digits_of_a_text_stay_text(dag: DAG, cls: Any, name: str, template: str, text: str) -> None:
    task = make(cls, dag, **{name: template})

    render(task, n=20261127)
    settle(task)

    assert getattr(task, name) == text
    assert type(getattr(task, name)) is str


@pytest.mark.parametrize(("cls", "name"), NAMED_TEXTS)
def test_a_number_for_a_text_is_taken_where_nothing_can_be_lost(dag: DAG, cls: Any, name: str) -> None:
    task = make(cls, dag, **{name: 20261127})
    render(task)
    of_map = mapped(cls, DAG("other", schedule=None), {"function_name": "resize", name: 20261127})
    for each in (task, of_map):
        settle(each)
        assert getattr(each, name) == "20261127"


def test_what_comes_from_upstream_is_not_rendered(emulator: FunctionComputeEmulator, dag: DAG) -> None:
    value = "".join(["job-", "{{ n }}"])
    task = make(FunctionComputeListInvocationsOperator, dag, invocation_id_prefix=value)

    task._do_render_template_fields(task, task.template_fields, {"n": 1}, task.get_template_env(), {id(value)})

    assert "is a template that nothing has rendered" in str(refusal(lambda: task.execute(context())))


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_of_our_own_is_a_template_field_but_deferrable(cls: Any) -> None:
    own = set(inspect.signature(cls.__init__).parameters) - {"self", "kwargs", "deferrable"}

    assert set(cls.parameters) == own
    assert tuple(cls.template_fields) == cls.parameters


@pytest.mark.parametrize("cls", [FunctionComputeInvocationsSensor, FunctionComputeInvokeOperator])
def test_deferrable_is_no_template(dag: DAG, cls: Any) -> None:
    task = make(cls, dag, deferrable="{{ params.deferrable }}")

    assert refusal(lambda: task.execute(context())).name == "deferrable"


def test_a_subclass_may_have_template_fields_of_its_own(dag: DAG) -> None:
    class Own(FunctionComputeListInvocationsOperator):
        template_fields = (*FunctionComputeListInvocationsOperator.template_fields, "note")
        note: Any = "{{ none }}"

    task = make(Own, dag)
    render(task)
    settle(task)

    assert task.function_name == "resize"


DAG_OF_NOTHING = """
import pendulum
from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_fc.operators import (
    FunctionComputeInvokeOperator,
    FunctionComputeListInvocationsOperator,
    FunctionComputeStopInvocationsOperator,
)
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

with DAG("nothing", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:

    @task
    def nothing():
        return None

    @task
    def some():
        return [{"invocation_id_prefix": "job-", "max_failed": None}]

    result = nothing()
    function = {"function_name": "resize"}
    FunctionComputeListInvocationsOperator(task_id="list", invocation_id_prefix=result, **function)
    FunctionComputeInvokeOperator(task_id="invoke", qualifier=result, **function)
    FunctionComputeStopInvocationsOperator(task_id="stop", invocation_ids=result, **function)
    FunctionComputeInvocationsSensor(task_id="wait", invocation_id_prefix="job-", expected_count=result, **function)
    FunctionComputeInvocationsSensor.partial(task_id="wait_each", **function).expand_kwargs(some())
    FunctionComputeListInvocationsOperator.partial(task_id="list_each", statuses=result, **function).expand(
        invocation_id_prefix=["job-"]
    )
"""


@pytest.mark.usefixtures("metadata_db")
def test_in_a_dag_run_what_upstream_does_not_return_is_an_error_mapped_or_not(
    emulator: FunctionComputeEmulator, dags_folder: Path
) -> None:
    emulator.add_invocations([{"function": "resize", "id": "job-1", "statuses": ["Failed"]}])
    file = dags_folder / "nothing.py"
    file.write_text(DAG_OF_NOTHING, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "nothing", "__file__": str(file)}
    exec(compile(DAG_OF_NOTHING, str(file), "exec"), namespace)
    dag = namespace["dag"]
    dag.fileloc = str(file)

    states = {(ti.task_id, ti.map_index): str(ti.state) for ti in dag.test().get_task_instances()}

    assert states == {
        ("nothing", -1): "success",
        ("some", -1): "success",
        **dict.fromkeys(((name, -1) for name in ("list", "invoke", "stop", "wait")), "failed"),
        ("wait_each", 0): "failed",
        ("list_each", 0): "failed",
    }
    assert not emulator.requests


# Literal mistakes, named when the DAG file is read


def read(cls: Any, **given: Any) -> FunctionComputeTask:
    dag = DAG("dag", schedule=None)
    task = make(cls, dag, **given)
    dag.resolve_template_files()  # as Airflow does when it has read a DAG file
    return task


MISTAKES: list[tuple[Any, dict[str, Any], str]] = [
    (FunctionComputeInvocationsSensor, {"success_statuses": ["Succeded"]}, "success_statuses"),
    (FunctionComputeInvocationsSensor, {"success_statuses": ["Running"]}, "success_statuses"),
    (FunctionComputeInvocationsSensor, {"on_empty": "skip"}, "on_empty"),
    (FunctionComputeInvocationsSensor, {"on_missing": "skip"}, "on_missing"),
    (FunctionComputeInvocationsSensor, {"max_failed": -1}, "max_failed"),
    (FunctionComputeInvocationsSensor, {"settle_seconds": -1}, "settle_seconds"),
    (FunctionComputeInvocationsSensor, {"invocation_id_prefix": "a-", "invocation_ids": ["a"]}, "invocation_id_prefix"),
    (FunctionComputeInvocationsSensor, {"invocation_id_prefix": "华东-"}, "invocation_id_prefix"),
    (FunctionComputeInvocationsSensor, {"invocation_id_prefix": ""}, "invocation_id_prefix"),
    (FunctionComputeListInvocationsOperator, {"statuses": "Suceeded"}, "statuses"),
    (FunctionComputeListInvocationsOperator, {"started_after": "2026-11-22"}, "started_after"),
    (FunctionComputeListInvocationsOperator, {"order": "up"}, "order"),
    (FunctionComputeListInvocationsOperator, {"fields": ["id"]}, "fields"),
    (FunctionComputeListInvocationsOperator, {"limit": -1}, "limit"),
    (FunctionComputeListInvocationsOperator, {"on_overflow": "drop"}, "on_overflow"),
    (FunctionComputeInvokeOperator, {"poll_interval": -5}, "poll_interval"),
    (FunctionComputeInvokeOperator, {"timeout": 10**12}, "timeout"),
    (FunctionComputeInvokeOperator, {"delay": timedelta(hours=2)}, "delay"),
    (FunctionComputeInvokeOperator, {"invocation_id_prefix": "a-", "invocation_id": "a"}, "invocation_id_prefix"),
    (FunctionComputeInvokeOperator, {"wait_for_completion": "later"}, "wait_for_completion"),
    (FunctionComputeStopInvocationsOperator, {"max_concurrency": 0}, "max_concurrency"),
    (FunctionComputeStopInvocationsOperator, {"max_concurrency": 10**6}, "max_concurrency"),
    (FunctionComputeStopInvocationsOperator, {"poll_interval": 0}, "poll_interval"),
]


@pytest.mark.parametrize(("cls", "given", "name"), MISTAKES)
def test_a_literal_mistake_is_named_when_the_dag_file_is_read(cls: Any, given: dict[str, Any], name: str) -> None:
    error = refusal(lambda: read(cls, **given))

    assert error.name == name
    assert str(error).startswith(f"{name}: ")
    assert str(error).endswith("(task 'task')")


@pytest.mark.parametrize(("cls", "given", "name"), MISTAKES)
def test_a_literal_mistake_in_partial_is_named_there(cls: Any, given: dict[str, Any], name: str) -> None:
    error = refusal(lambda: cls.partial(task_id="task", dag=DAG("dag", schedule=None), **given))

    assert error.name == name


@every_parameter
def test_a_template_is_no_mistake_before_it_is_rendered(cls: Any, name: str) -> None:
    for value in ("{{ params.x }}", ["{{ params.x }}"], object()):
        assert getattr(read(cls, **{name: value}), name) is value


@every_parameter
def test_what_is_right_is_taken_when_the_dag_file_is_read(cls: Any, name: str) -> None:
    value = "resize" if name == "function_name" else inspect.signature(cls.__init__).parameters[name].default

    assert getattr(read(cls, **{name: value}), name) == value


def test_a_mistake_is_an_import_error_of_its_dag_file(dags_folder: Path) -> None:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 2.11
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]
    (dags_folder / "mistake.py").write_text(
        "from airflow.providers.common.compat.sdk import DAG\n"
        "from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator\n"
        "with DAG('mistake', schedule=None):\n"
        "    FunctionComputeListInvocationsOperator(task_id='rows', function_name='resize', statuses='Suceeded')\n",
        encoding="utf-8",
    )

    [error] = DagBag(str(dags_folder)).import_errors.values()

    assert "statuses: 'Suceeded' is not one of" in error
    assert "(task 'rows')" in error


def resize() -> None:
    """What a DAG file has as the function of a task."""


def add_to(context: Any, jinja_env: Any) -> str:
    return "a-text"


HOLDS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda value: value,
    "in a list": lambda value: [value],
    "in a dict": lambda value: {"a": value},
}
NOT_ITS_RESULT = {
    "a task": (
        lambda: FunctionComputeInvokeOperator(task_id="upstream", function_name="resize"),
        "is the task 'upstream', not its result; give the task's .output",
    ),
    "a task function": (lambda: task(resize), "is the function resize, not what it returns; give resize(...)"),
    "one with a context": (
        lambda: task(lambda **context: context),
        "is the function <lambda>, not what it returns; give <lambda>(...)",
    ),
    "a function": (lambda: resize, "is the function resize, not what it returns; give resize(...)"),
    "a class": (lambda: dict, "is the function dict, not what it returns; give dict(...)"),
    "a part of a function": (
        lambda: partial(resize),
        "is the function partial, not what it returns; give partial(...)",
    ),
}


@every_parameter
@pytest.mark.parametrize("what", NOT_ITS_RESULT)
@pytest.mark.parametrize("inside", HOLDS)
def test_a_task_or_a_function_in_the_place_of_its_result_is_named_with_the_way_to_its_result(
    cls: Any, name: str, what: str, inside: str
) -> None:
    make_it, problem = NOT_ITS_RESULT[what]
    with DAG("dag", schedule=None) as dag:
        value = HOLDS[inside](make_it())
        one = make(cls, dag)
    setattr(one, name, value)

    assert str(refusal(one.prepare_template)) == f"{name}: {problem} (task 'task')"
    assert str(refusal(lambda: settle(one))) == f"{name}: {problem}"


@every_parameter
def test_a_function_that_airflow_calls_when_it_renders_is_no_mistake(cls: Any, name: str) -> None:
    assert getattr(read(cls, **{name: add_to}), name) is add_to


def test_one_pair_of_a_dict_is_no_payload(emulator: FunctionComputeEmulator, dag: DAG) -> None:
    whole = FunctionComputeInvokeOperator.partial(task_id="task", dag=dag, function_name="resize").expand(
        payload={"key": "cat.jpg"}
    )
    one = whole.unmap({"payload": ("key", "cat.jpg")})
    render(one)

    assert str(refusal(lambda: one.execute(context()))) == (
        "payload: is one pair of a dict, as expand() maps over pairs; give a list: expand(payload=[{...}])"
    )
    assert not emulator.requests
