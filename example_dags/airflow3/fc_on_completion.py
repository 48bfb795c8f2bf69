"""Run whenever a batch of invocations has ended, whoever started it: a DAG scheduled by an asset.

Needs Airflow 3. The watcher's trigger polls once a minute, in the triggerer; no task waits. Each batch is announced
once, on Airflow 3.3 over restarts too. What is announced is that all have *ended*: look at ``by_status``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_fc.event_triggers import FunctionComputeInvocationsEventTrigger

word_counts = Asset(
    "word-counts",
    watchers=[
        AssetWatcher(
            name="word_counts_have_ended",
            trigger=FunctionComputeInvocationsEventTrigger(
                function_name="word_count", invocation_id_prefix="nightly-words-", mode="batch", poll_interval=60
            ),
        )
    ],
)

with DAG(
    "fc_on_completion",
    schedule=[word_counts],
    catchup=False,
    tags=["function compute", "example"],
    doc_md=__doc__,
):

    @task
    def report(triggering_asset_events: Any = None) -> list[dict[str, int]]:
        """The counts of each batch that led to this run, and its failures in the log."""
        batches = [event.extra["payload"] for event in triggering_asset_events[word_counts]]
        for batch in batches:
            print(f"{batch['total']} have ended: {batch['by_status']}; failed: {', '.join(batch['failed']) or 'none'}")
        return [batch["by_status"] for batch in batches]

    report()
