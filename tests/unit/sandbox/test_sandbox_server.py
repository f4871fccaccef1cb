"""Starting, stopping, serving until interrupted."""

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import httpx
import pytest

from runbook_lib.sandbox.http.faults import Fault, FaultKind
from runbook_lib.sandbox.server import Description, Sandbox, serve


def test_it_stops_without_a_trace() -> None:
    """No thread, no socket and no file is left; the ports are free again."""
    before = threading.active_count()
    with Sandbox("approved") as sandbox:
        given = sandbox.description
        assert Path(str(given["ca_file"])).exists()
        httpx.get(f"{given['graph_url']}/v26.0/me")
    assert threading.active_count() == before
    assert not Path(str(given["ca_file"])).parent.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{given['graph_url']}/v26.0/me")


def free_ports() -> int:
    """Return the first of six free ports in a row."""
    for first in range(21_000, 60_000, 10):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + 6):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise AssertionError("no six free ports in a row")


def test_ports_follow_each_other() -> None:
    """`port` is the first of six."""
    first = free_ports()
    with Sandbox("fresh", port=first) as sandbox:
        at = sandbox.world.addresses
        urls = [at.graph, at.facebook, at.cyclr_api, at.cyclr_console]
        assert urls == [f"http://127.0.0.1:{first + index}" for index in range(4)]
        assert at.service_domain == f"127.0.0.1:{first + 4}"


def test_a_taken_port_is_an_error() -> None:
    """OSError, and nothing is left open."""
    first = free_ports()
    with (
        socket.create_server(("127.0.0.1", first + 2)),
        pytest.raises(OSError, match=f"port {first + 2} is taken"),
    ):
        Sandbox("fresh", port=first).__enter__()


def test_no_private_key_stays_on_the_disk(tmp_path: Path) -> None:
    """It was read when the server started; a killed sandbox leaves the authority's certificate."""
    with Sandbox("fresh", folder=tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]
        assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()


def test_an_open_connection_does_not_keep_it_alive() -> None:
    """A client that keeps its connection open cannot stop the sandbox from ending."""
    with httpx.Client() as client, Sandbox("fresh") as sandbox:
        client.get(f"{sandbox.description['graph_url']}/v26.0/me")


def test_a_slow_answer_does_not_keep_it_alive() -> None:
    """Stopping takes a second or two even while an answer is held back for a minute."""
    answers: list[object] = []

    def ask(url: str) -> None:
        try:
            answers.append(httpx.get(url, timeout=30).status_code)
        except httpx.TransportError as error:
            answers.append(error)

    begun = time.monotonic()
    with Sandbox("approved") as sandbox:
        sandbox.world.faults.active = [Fault(FaultKind.SLOW, seconds=60)]
        url = f"{sandbox.description['graph_url']}/v26.0/me"
        client = threading.Thread(target=ask, args=(url,))
        client.start()
        while not sandbox.world.faults.struck:
            time.sleep(0.01)
    client.join()
    assert time.monotonic() - begun < 10
    assert len(answers) == 1


def test_serve_can_announce_and_stop_in_this_process() -> None:
    """The handlers of the signals are put back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Description] = []

    def announce(given: Description) -> None:
        seen.append(given)
        os.kill(os.getpid(), signal.SIGTERM)

    serve("fresh", announce=announce)
    assert seen[0]["scenario"] == "fresh"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_on_a_signal(number: signal.Signals) -> None:
    """It announces the description once, and a signal ends it with exit code 0."""
    code = (
        "import json, logging; from runbook_lib.sandbox.server import serve\n"
        # NOTE: in this mode asyncio also names what took long, which on a busy machine is anything.
        "logging.getLogger('asyncio').setLevel(logging.ERROR)\n"
        "serve('approved', announce=lambda given: print(json.dumps(given), flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        given = json.loads(process.stdout.readline())
        assert httpx.get(f"{given['graph_url']}/v26.0/me").status_code == 400
        os.kill(process.pid, number)
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""


def test_no_connection_is_left_open_behind_a_sandbox() -> None:
    """One that is reset while the sandbox ends may be in none of the server's own lists."""

    with Sandbox("approved") as sandbox:
        host, _, port = sandbox.description["graph_url"].removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET /v26.0/me HTTP/1.1\r\nhost: x\r\n\r\n")
            assert client.recv(4_096)
            for server in sandbox._servers:
                server.server_state.connections.clear()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                sandbox.__exit__(None, None, None)
                sandbox._servers.clear()
                gc.collect()

    assert [str(each.message) for each in caught if "unclosed" in str(each.message)] == []
