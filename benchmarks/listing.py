"""``make benchmark``: what reading, listing and importing cost beside what one would use without us.

One row alone: ``python benchmarks/listing.py blocking-sdk``. All runs go to ``.benchmarks/listing.json``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from side_by_side import HEADING, ROUNDS, Result, Row, compare, contender, entry, save

HERE = Path(__file__).parent
MEGABYTE = 1_000_000
MEMORY_TARGET = 10
MODULES_TARGET = 20


def does(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(HERE / "contenders.py"), name, *arguments]


def rows(plain: str, tls: str, ca: str) -> dict[str, Row]:
    return {
        "reading": Row(
            "read a page of 100 (1,000 times) / json.loads", does("read_ours"), does("read_with_json"), 0.45
        ),
        "blocking-sdk": Row(
            "list 100,000, blocking / official SDK",
            does("list_ours", plain, "100000"),
            does("list_with_sdk", plain, "100000"),
            0.65,
        ),
        "blocking-requests": Row(
            "list 100,000, blocking / requests + json.loads",
            does("list_ours", plain, "100000"),
            does("list_with_requests", plain, "100000"),
            0.7,
        ),
        "loop-aiohttp": Row(
            "list 100,000, on a loop / aiohttp + json.loads",
            does("list_ours_on_loop", plain, "100000"),
            does("list_with_aiohttp", plain, "100000"),
            0.9,
        ),
        "loop-sdk-tls": Row(
            "list 5,000 over TLS, on a loop / official SDK",
            does("list_ours_on_loop", tls, "5000", ca),
            does("list_with_sdk_on_loop", tls, "5000", ca),
            0.02,
        ),
        "first-use": Row(
            "first use of a hook / import requests",
            does("first_use", plain),
            does("import_requests"),
            1.2,
            fresh=True,
        ),
        "import": Row(
            "import operators and sensors / import requests",
            does("import_operators"),
            does("import_requests"),
            0.1,
            fresh=True,
        ),
    }


@contextmanager
def server(*options: str) -> Iterator[int]:
    """A server process; its port."""
    command = [sys.executable, str(HERE / "pages.py"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def certificates(folder: Path) -> tuple[Path, Path]:
    """An authority of our own and, certified by itself, a server's key and certificate."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(certificate)
    (folder / "server.pem").write_bytes(secret + certificate)
    return folder / "ca.pem", folder / "server.pem"


def measure_memory(origin: str) -> tuple[dict[str, Any], dict[str, int]]:
    with contender(does("memory", origin, "1000000")) as run:
        answer = run()
    return entry(
        "list 1,000,000: growth after the first page", answer["growth"] / MEGABYTE, "MB", MEMORY_TARGET
    ), answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", nargs="*", help="these rows alone, or memory; all by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, default=HERE.parent / ".benchmarks" / "listing.json")
    options = parser.parse_args()
    results: list[Result] = []
    content: dict[str, object] = {}
    entries: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        ca, certificate = certificates(Path(folder))
        with server() as port, server("--certificate", str(certificate)) as tls_port:
            plain = f"http://127.0.0.1:{port}"
            table = rows(plain, f"https://127.0.0.1:{tls_port}", str(ca))
            known = [*table, "memory"]
            chosen = options.row or known
            if unknown := [name for name in chosen if name not in known]:
                parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}")
            print(HEADING, flush=True)
            for name in [name for name in chosen if name in table]:
                results.append(compare(table[name], options.rounds))
                print(results[-1].line(), flush=True)
                entries.append(results[-1].entry())
                modules = results[-1].ours[0].get("modules")
                if modules is not None:
                    print(f"  it adds {modules} modules, target {MODULES_TARGET}")
                    entries.append(entry("  modules that it adds", modules, "", MODULES_TARGET))
            if "memory" in chosen:
                line, content["memory"] = measure_memory(plain)
                entries.append(line)
                print(f"{line['what']}: {line['value']:.1f} MB, target {line['target']:g}", flush=True)
    save(options.json, table=entries, rows=[result.to_dict() for result in results], **content)
    return 0 if all(line["met"] for line in entries) else 1


if __name__ == "__main__":
    sys.exit(main())
