"""What the documentation site adds to docs/: pages made of files beside that folder, and links that lead to them.

The pages of docs/ also stand for themselves, in a checkout. So they link to files as they lie in the repository, and
this hook of MkDocs turns such links into links of the site.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from airflow_provider_fc.core.connection_fields import EXTRA_FIELDS, STANDARD_FIELDS  # noqa: E402 - plain data

ROOT_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
EXAMPLES = sorted(ROOT.glob("example_dags/**/*.py"))


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made of other files."""
    pages = {
        "examples/index.md": _index_of_examples(),
        **{f"examples/{path.stem}.md": _listing(path) for path in EXAMPLES},
        **{page: _read(ROOT / name) for name, page in ROOT_PAGES.items()},
    }
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn links to files of the repository into links of the site, and put the table of connection fields in."""
    depth = page.file.src_uri.count("/")
    return re.sub(
        r"\]\(((?:\.\./)*(?:docs|example_dags)/[^)#]*|(?:\.\./)*[A-Z]+\.md)(#[^)]*)?\)",
        lambda link: f"]({'../' * depth}{_uri(link[1])}{link[2] or ''})",
        markdown,
    ).replace("<!-- connection fields -->", _connection_fields())


def on_page_content(html: str, **_: Any) -> str:
    """Drop the names of Sphinx's roles, which docstrings hold: ``:class:`` and the like."""
    return re.sub(r":(?:class|meth|data|func):(?=<code)", "", html)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Refuse a page that loads anything from elsewhere: it must work where there is no network."""
    fetched = r"<(?:script|img|iframe|source)\b|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|icon|pre))"
    loads = rf"(?:{fetched})[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^\s>]*"
    if found := re.findall(loads, output):
        raise PluginError(f"{page.file.src_uri} loads what is not part of the site: {found}")
    return output


def _uri(target: str) -> str:
    path = target.replace("../", "")
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.endswith(".py"):
        return f"examples/{Path(path).stem}.md"
    return "examples/index.md"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _index_of_examples() -> str:
    rows = "".join(
        f"| [{path.relative_to(ROOT / 'example_dags')}]({path.stem}.md) | {_title(path)} |\n" for path in EXAMPLES
    )
    return (
        "# Example DAGs\n\nEach runs as it is, against the emulator or against Function Compute: copy it and change "
        f"the names.\n\n| file | what it shows |\n|---|---|\n{rows}"
    )


def _title(path: Path) -> str:
    """Take the first sentence of a file's docstring."""
    found = re.match(r'"""(.+?)(?:\n\n|""")', _read(path), re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _listing(path: Path) -> str:
    return f"# {path.name}\n\n```python\n{_read(path)}```\n"


def _connection_fields() -> str:
    rows = "".join(
        f"| `{row.name}` | {where} | {row.label}. {row.help or _capital(row.placeholder or '')} | "
        f"{', '.join(f'`{each}`' for each in row.choices)} |\n"
        for where, rows in (("standard", STANDARD_FIELDS), ("extra", EXTRA_FIELDS))
        for row in rows
    )
    return f"| field | where | meaning | values |\n|---|---|---|---|\n{rows}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
