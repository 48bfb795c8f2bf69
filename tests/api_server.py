"""Lets all tasks of a ``dag.test()`` share one API server, as Airflow 3.3 itself does.

Airflow 3.0 to 3.2 make one for each task, which takes 1.4 seconds of a processor. As a program: what ``airflow`` does
with the same arguments.
"""

from __future__ import annotations

from functools import lru_cache


def share_api_server() -> None:
    try:
        from airflow.sdk.execution_time import supervisor
    except ImportError:  # Airflow 2 has none
        return
    if not hasattr(supervisor.in_process_api_server, "cache_clear"):
        supervisor.in_process_api_server = lru_cache(maxsize=1)(supervisor.in_process_api_server)


if __name__ == "__main__":
    from airflow.__main__ import main

    share_api_server()
    main()
