"""``make release-check``: what is in dist/ is what a release needs, and works where nothing else of us is.

Usage: release_check.py UV VERSION...: installs the wheel into a new environment for each version of Airflow.
"""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
MOST_BYTES = 250_000
NEEDED_IN_SDIST = (
    "tests/conftest.py", "example_dags/fc_wait_for_prefix.py", "docs/index.md", "scripts/local_airflow.py", "Makefile",
    "constraints/docs.txt", "mkdocs.yml", "hatch_build.py", "CONTRIBUTING.md", "SECURITY.md", ".ci/run", "PKG-INFO",
)  # fmt: skip
IMPORTS = (
    "hooks", "operators", "sensors", "triggers", "exceptions", "invocations", "links", "emulator.server",
    "emulator.app",
)  # fmt: skip
USE_IT = """
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.hooks import FunctionComputeHook
import json, os
with FunctionComputeEmulator() as emulator:
    emulator.add_invocations([{"function": "thumbnail", "id": "thumb-1", "statuses": ["Succeeded"]}])
    os.environ["AIRFLOW_CONN_FC_DEFAULT"] = json.dumps(emulator.connection)
    print([each.status for each in FunctionComputeHook().list_invocations("thumbnail")])
"""


class Wrong(Exception):
    """Something in dist/ is not as it must be."""


def main(uv: str, versions: Sequence[str]) -> int:
    try:
        wheel, sdist = only("*.whl"), only("*.tar.gz")
        check_wheel(wheel)
        check_sdist(sdist)
        for version in versions:
            check_installation(uv, wheel, version)
    except Wrong as error:
        print(f"WRONG: {error}", file=sys.stderr)
        return 1
    return 0


def only(pattern: str) -> Path:
    found = sorted(DIST.glob(pattern))
    if len(found) != 1:
        raise Wrong(f"dist/ must hold one {pattern}, not {[path.name for path in found]}")
    return found[0]


def check_wheel(wheel: Path) -> None:
    """Check size, contents and metadata."""
    if (size := wheel.stat().st_size) > MOST_BYTES:
        raise Wrong(f"{wheel.name} has {size:,} bytes, more than {MOST_BYTES:,}")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [about] = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(about))
    strangers = [name for name in names if not name.startswith(("airflow_provider_fc/", about.split("/")[0]))]
    if strangers or "airflow_provider_fc/py.typed" not in names:
        raise Wrong(f"{wheel.name} must hold the package, with py.typed, and nothing else; it also has {strangers}")
    text = str(metadata.get_payload())
    if relative := re.findall(r"\]\((?![a-z]+:|#)[^)]+\)", text):
        raise Wrong(f"links in the metadata lead nowhere: {relative}")
    if not any(url.startswith("Documentation, http") for url in metadata.get_all("Project-URL", [])):
        raise Wrong("the metadata has no Project-URL for Documentation, which Airflow shows")
    print(f"{wheel.name}: {size:,} bytes, {len(names)} files, metadata in order")


def check_sdist(sdist: Path) -> None:
    """Check that what the tests need is there, and that the tests which read it pass in it."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
        [root] = Path(folder).iterdir()
        if missing := [name for name in NEEDED_IN_SDIST if not (root / name).exists()]:
            raise Wrong(f"{sdist.name} lacks {missing}")
        files = ["tests/test_docs.py", "tests/test_packaging.py", "tests/test_reference.py", "tests/core/test_api.py"]
        run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files], cwd=root, path=str(root))
        run([sys.executable, "-m", "pytest", "-q", "--collect-only", "tests"], cwd=root, path=str(root))
    print(f"{sdist.name}: its tests find what they need")


def check_installation(uv: str, wheel: Path, version: str) -> None:
    """Install the wheel beside an Airflow and nothing else of ours; ask Airflow, import all, use it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "venv"
        pins = ROOT / "constraints" / f"airflow-{version}.txt"
        requirements = [str(wheel), f"apache-airflow=={version}"]
        if uv:
            run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)], cwd=folder)
            install = [uv, "pip", "install", "--quiet", "--python", f"{environment}/bin/python"]
        else:
            run([sys.executable, "-m", "venv", str(environment)], cwd=folder)
            install = [f"{environment}/bin/python", "-m", "pip", "install", "--quiet"]
        run([*install, "--constraint", str(pins), *requirements], cwd=folder)
        ask = [f"{environment}/bin/airflow", "providers", "get", "airflow-provider-fc", "--full", "--output", "json"]
        told = run(ask, cwd=folder, home=folder)
        # Some versions log to stdout before they answer.
        [about] = json.JSONDecoder().raw_decode(told[max(told.find("[{"), 0) :])[0]
        # Airflow 3.3 shows it here; earlier ones on their page of providers, from the same metadata (see check_wheel).
        if not str(about.get("documentation-url", "http")).strip().startswith("http"):
            raise Wrong(f"Airflow {version} shows no address of the documentation: {told}")
        python = [f"{environment}/bin/python", "-c"]
        run([*python, "".join(f"import airflow_provider_fc.{name}\n" for name in IMPORTS)], cwd=folder, home=folder)
        for example in sorted(ROOT.glob("example_dags/*.py")):
            run([*python, f"import runpy; runpy.run_path({str(example)!r})"], cwd=folder, home=folder)
        found = run([*python, USE_IT], cwd=folder, home=folder)
        if "['Succeeded']" not in found:
            raise Wrong(f"on Airflow {version} the installed package does not work: {found}")
    print(f"Airflow {version}: installed, found by Airflow, imported and used; the example DAGs load")


def run(command: Sequence[str], *, cwd: str | Path, home: str | None = None, path: str | None = None) -> str:
    """Run a command in an environment that knows nothing of this checkout.

    :raises Wrong: it fails; with what it said.
    """
    env: Mapping[str, str] = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHONPATH"))},
        **({"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"} if home else {}),
        **({"PYTHONPATH": path} if path else {}),
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
    }
    done = subprocess.run(
        list(command), cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Wrong(f"{' '.join(map(str, command))[:300]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
