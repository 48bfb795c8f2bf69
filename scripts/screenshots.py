"""``make screenshots``: the pictures that ``make e2e-browser`` has taken, made small for the documentation."""

from __future__ import annotations

import sys

from deployment_report import FOLDER
from local_airflow import REPOSITORY
from PIL import Image

IMAGES = REPOSITORY / "docs" / "images"
PICTURES = ("connection-form", "connection-form-account", "connection-test", "grid", "task-log")
COLOURS = 64
"""Enough for an interface of few colours, and a third of the bytes."""
MOST_BYTES = 60_000


def main() -> int:
    for name in PICTURES:
        target = IMAGES / f"{name}.png"
        with Image.open(FOLDER / "browser" / f"{name}.png") as picture:
            small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            small.save(target, optimize=True)
        size = target.stat().st_size
        print(f"{target.relative_to(REPOSITORY)}: {size:,} bytes")
        if size > MOST_BYTES:
            print(f"that is more than {MOST_BYTES:,}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
