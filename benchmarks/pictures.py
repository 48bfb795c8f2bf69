"""``make benchmark-pictures``: draw what ``make benchmark`` has measured, for ``docs/performance.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images"
OURS, OTHER, LIMIT = "#1f5fa8", "#b5541c", "#777777"

# The same numbers give the same file, and texts stay texts.
mpl.rcParams.update({"svg.hashsalt": "airflow-provider-fc", "svg.fonttype": "none", "font.size": 9})


def draw_requests(axes: Axes, hours: list[dict[str, Any]]) -> None:
    sizes = [one["size"] for one in hours]
    for label, color, counts in (
        ("listing everything at each poll", OTHER, [one["naive"] for one in hours]),
        ("this sensor", OURS, [sum(one["requests"].values()) for one in hours]),
    ):
        axes.loglog(sizes, counts, "o-", color=color, label=label)
        for size, count in zip(sizes, counts, strict=True):
            axes.annotate(f"{count:,}", (size, count), (0, 6), textcoords="offset points", ha="center", color=color)
    axes.set(xlabel="invocations in the batch", ylabel="requests in an hour, a poll a minute")
    axes.margins(0.1, 0.15)
    axes.legend(frameon=False)


def draw_sensors(axes: Axes, sensors: list[dict[str, Any]], label: str, values: list[float], limit: float) -> None:
    counts = [one["triggers"] for one in sensors]
    axes.semilogx(counts, values, "o-", color=OURS)
    for count, value in zip(counts, values, strict=True):
        axes.annotate(f"{value:.1f}", (count, value), (0, 6), textcoords="offset points", ha="center", color=OURS)
    axes.axhline(limit, color=LIMIT, linestyle="--", linewidth=1)
    axes.annotate("goal for 1,000", (counts[0], limit), (0, 3), textcoords="offset points", color=LIMIT)
    axes.set(xlabel="deferred sensors, a poll every 10 s", ylabel=label, ylim=(0, 1.3 * max(limit, *values)))
    axes.set_xticks(counts, [f"{count:,}" for count in counts], minor=False)
    axes.minorticks_off()
    axes.margins(x=0.1)


def save(figure: Figure, name: str) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    file = IMAGES / name
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    print(file.relative_to(HERE.parent))


def main() -> None:
    measured = json.loads((HERE.parent / ".benchmarks" / "scale.json").read_text())
    IMAGES.mkdir(exist_ok=True)
    figure = Figure(figsize=(6, 3.4))
    draw_requests(figure.subplots(), measured["hours"]["hours"])
    save(figure, "requests.svg")
    figure = Figure(figsize=(8, 3))
    left, right = figure.subplots(1, 2)
    sensors = [measured[f"sensors-{count}"] for count in (100, 1000, 5000)]
    draw_sensors(left, sensors, "lag of the loop, p99, ms", [1000 * one["steady_late_p99"] for one in sensors], 50)
    draw_sensors(right, sensors, "share of a core, %", [100 * one["cpu_share"] for one in sensors], 25)
    figure.subplots_adjust(wspace=0.3)
    save(figure, "sensors.svg")


if __name__ == "__main__":
    main()
