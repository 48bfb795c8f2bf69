"""Builds the description in the package's metadata: README.md, whose links must work where the repository is not.

Links to files of the repository lead into it once ``[project.urls]`` names a ``Repository``; until then they are text,
and the source distribution holds the files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

NOTE = "\nThe files named here, the documentation among them, are in the source distribution.\n"


class CustomMetadataHook(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text, repository)}


def description(readme: str, repository: str | None) -> str:
    """Turn relative links into absolute ones, or into text where there is nothing to lead to."""
    relative = r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)"
    if repository is None:
        return re.sub(relative, lambda link: link[2], readme) + NOTE
    kinds = {"!": "raw", "": "blob"}
    return re.sub(relative, lambda link: f"{link[1]}[{link[2]}]({repository}/{kinds[link[1]]}/main/{link[3]})", readme)
