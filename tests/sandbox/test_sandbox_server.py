"""Starting and stopping the sandbox, and serving until interrupted."""

import gc
import socket
import threading
import warnings
from pathlib import Path

import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.fault_injection import Fault, FaultKind
from tests.support.ports import free_ports
from tests.support.wording import refused


def test_it_stops_without_a_trace() -> None:
    """After the sandbox stops, no thread, socket or file is left."""
    before = threading.active_count()
    with Sandbox("approved") as sandbox:
        given = sandbox.description
        assert Path(str(given["ca_file"])).exists()
        httpx.get(f"{given['graph_url']}/v26.0/me")
    assert threading.active_count() == before
    assert not Path(str(given["ca_file"])).parent.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{given['graph_url']}/v26.0/me")


def test_ports_follow_each_other() -> None:
    """`port` is the first of six ports in a row."""
    first = free_ports(6)
    with Sandbox("fresh", port=first) as sandbox:
        at = sandbox.state.addresses
        urls = [at.graph, at.facebook, at.cyclr_api, at.cyclr_console]
        assert urls == [f"http://127.0.0.1:{first + index}" for index in range(4)]
        assert at.service_domain == f"127.0.0.1:{first + 4}"


def test_a_port_in_use_is_an_error() -> None:
    """A port in use raises `OSError` that names the port."""
    first = free_ports(6)
    with (
        socket.create_server(("127.0.0.1", first + 2)),
        refused(OSError, "port-taken", port=first + 2),
    ):
        Sandbox("fresh", port=first).__enter__()


def test_no_private_key_stays_on_the_disk(tmp_path: Path) -> None:
    """Only the authority's certificate is on the disk, no private key."""
    with Sandbox("fresh", folder=tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]
        assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()


def test_an_open_connection_does_not_keep_it_alive() -> None:
    """A client's open connection does not keep the sandbox from stopping."""
    with httpx.Client() as client, Sandbox("fresh") as sandbox:
        client.get(f"{sandbox.description['graph_url']}/v26.0/me")


def test_a_slow_answer_does_not_keep_it_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping does not wait for a response that is delayed by an hour."""
    answers: list[object] = []
    drawn = threading.Event()

    def ask(url: str) -> None:
        try:
            answers.append(httpx.get(url, timeout=30).status_code)
        except httpx.TransportError as error:
            answers.append(error)

    with Sandbox("approved") as sandbox:
        faults = sandbox.state.faults
        faults.active = [Fault(FaultKind.SLOW, seconds=3600)]
        draw_fault = faults.draw_fault

        def noted(site: str) -> Fault | None:
            fault = draw_fault(site)
            drawn.set()
            return fault

        monkeypatch.setattr(faults, "draw_fault", noted)
        url = f"{sandbox.description['graph_url']}/v26.0/me"
        client = threading.Thread(target=ask, args=(url,))
        client.start()
        assert drawn.wait(30)
    client.join()
    assert len(answers) == 1


def test_no_connection_is_left_open_behind_a_sandbox() -> None:
    """A connection that is missing from the server's lists is closed too when the sandbox stops."""
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

    assert [str(warning.message) for warning in caught if "unclosed" in str(warning.message)] == []
