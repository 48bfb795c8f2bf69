"""Two DAGs scheduled by what the invocations of one function come to: one by each of them, one by their batch."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_fc.event_triggers import FunctionComputeInvocationsEventTrigger

for mode in ("each", "batch"):
    watched = FunctionComputeInvocationsEventTrigger(
        function_name="resize", invocation_id_prefix=f"{mode}-", mode=mode, poll_interval=3
    )
    asset = Asset(f"e2e-{mode}", watchers=[AssetWatcher(name=f"e2e_{mode}", trigger=watched)])
    with DAG(f"e2e_on_{mode}", schedule=[asset], catchup=False):

        @task
        def told(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
            return [event.extra["payload"] for events in triggering_asset_events.values() for event in events]

        told()
