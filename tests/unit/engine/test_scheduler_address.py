"""The address of a scheduler: without TLS only on loopback, unless somebody insists."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook_lib.cli.main import main
from runbook_lib.engine import cluster
from runbook_lib.engine.scheduler_address import check_scheduler
from runbook_lib.errors import InsecureSchedulerError
from tests.support.fleets import table
from tests.support.hostile_server import hostile_server
from tests.support.wording import refused, wording


def resolve(host: str, port: object = 0, *_: object, **__: object) -> list[tuple[object, ...]]:
    """Stand for the resolver."""
    known = {
        "localhost": ["127.0.0.1", "::1"],
        "scheduler": ["10.0.0.1"],
        "both": ["127.0.0.1", "10.0.0.1"],
        "127.1": ["127.0.0.1"],
    }
    is_address = host.replace(".", "").isdigit() or ":" in host
    if host not in known and not is_address:
        raise socket.gaierror(-2, "Name or service not known")
    addresses = known.get(host, [host])
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (resolved, port)) for resolved in addresses]


@pytest.fixture(autouse=True)
def _resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook_lib.engine.scheduler_address.socket.getaddrinfo", resolve)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:8786",
        "tcp://127.9.9.9:8786",
        "TCP://127.1:8786",
        "tcp://localhost:8786",
        "localhost:8786",
        "127.0.0.1",
        "tcp://[::1]:8786",
        "tcp://[::ffff:127.0.0.1]:8786",
        "tls://10.0.0.1:8786",
        "TLS://scheduler:8786",
        "wss://scheduler:8786",
    ],
)
def test_loopback_and_tls_are_accepted(address: str) -> None:
    """Loopback needs no TLS, and with TLS any address is accepted."""
    check_scheduler(address, is_insecure=False)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.1:8786",
        "10.0.0.1:8786",
        "10.0.0.1",
        "TCP://10.0.0.1:8786",
        "ws://10.0.0.1:8786",
        "ucx://10.0.0.1:8786",
        "tcp://0.0.0.0:8786",
        "tcp://[::]:8786",
        "tcp://[fe80::1%eth0]:8786",
        "tcp://scheduler:8786",
        "tcp://both:8786",
        "tcp://nowhere:8786",
        "tls://tcp://10.0.0.1:8786",
        "tcp://localhost:1:2",
        "tcp://",
        "tcp://:8786",
    ],
)
def test_another_address_without_tls_is_refused(address: str) -> None:
    """An address that is not loopback alone, or cannot be resolved, needs TLS or a word."""
    with refused(InsecureSchedulerError, "run-code-on-workers") as caught:
        check_scheduler(address, is_insecure=False)
    assert "--insecure-scheduler" in caught.value.diagnostics()
    check_scheduler(address, is_insecure=True)


def test_the_refusal_shows_the_lines_for_tls(folder: Path) -> None:
    """Exit code 2, how to do it with TLS, and nothing is written."""
    Path("tenants.toml").write_text(table("a"))
    words = ("fleet", "tenants.toml", "--scheduler", "tcp://10.0.0.1:8786")
    result = CliRunner().invoke(main, words)

    assert result.exit_code == 2
    assert "dask scheduler --protocol tls --tls-ca-file ca.pem" in result.stderr
    assert "export DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT=cert.pem" in result.stderr
    assert [path.name for path in Path().iterdir()] == ["tenants.toml"]


@pytest.mark.parametrize("mode", ["429", "no HTTP", "a slow status line", "silence"])
def test_another_server_than_a_scheduler_is_refused(
    mode: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server there gives exit code 2 within 5 s, and nothing is written."""
    assert cluster._GREETING_SECONDS < 5
    monkeypatch.setattr(cluster, "_GREETING_SECONDS", 1)
    Path("tenants.toml").write_text(table("a"))
    with hostile_server(mode) as url:
        address = f"tcp://{url.partition('://')[2]}"
        result = CliRunner().invoke(main, ("fleet", "tenants.toml", "--scheduler", address))

    assert result.exit_code == 2, result.output
    assert wording("setting-invalid.no-scheduler-answers", address=address) in result.stderr
    assert "tls://scheduler:8786" in result.stderr
    assert [path.name for path in Path().iterdir()] == ["tenants.toml"]
