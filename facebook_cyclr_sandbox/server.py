"""
The sandbox as a server: one thread, one event loop, one loopback port for each site.

`Sandbox` runs inside a process, in a thread of its own.
"""

import asyncio
import errno
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import uvicorn

from facebook_cyclr_sandbox.control_api import ControlApi
from facebook_cyclr_sandbox.cyclr.cyclr_api import CyclrApiSite
from facebook_cyclr_sandbox.cyclr.cyclr_console import CyclrConsoleSite
from facebook_cyclr_sandbox.cyclr.service_domain import ServiceDomainSite
from facebook_cyclr_sandbox.facebook_web.dashboard import FacebookSite
from facebook_cyclr_sandbox.graph.graph_site import GraphSite
from facebook_cyclr_sandbox.http.asgi import SiteApplication
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.scenarios import build_state, list_scenarios
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState, SiteAddresses

Description = dict[str, str | int]

# Settings of no company: the place of the sandbox.
_LOCATION_SETTINGS = ("ca_file", "connect_to")
_IMITATED = ("facebook", "cyclr")

_ADDRESS = "127.0.0.1"
# Each has a port, in this order.
_SITES: dict[str, Callable[[SandboxState], Site]] = {
    "graph": GraphSite,
    "facebook": FacebookSite,
    "cyclr_api": CyclrApiSite,
    "cyclr_console": CyclrConsoleSite,
    "service_domain": ServiceDomainSite,
    "service_domain_http": ServiceDomainSite,
}
_START_TIMEOUT_SECONDS = 30.0
_LAST_ITERATIONS = 3
_DATE_INTERVAL_SECONDS = 1.0


class Sandbox:
    """
    All remote systems on loopback, for as long as the `with` block lasts.

    `port` is the first of its sites' ports in a row; 0 takes free ones. `seed` makes secrets, IDs
    and faults repeatable. Its certificates go into `folder`, or a temporary one. Raises ValueError
    for an unknown scenario and OSError if a port is taken.
    """

    def __init__(
        self,
        scenario: str = "approved",
        *,
        port: int = 0,
        seed: int | None = None,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state: SandboxState = build_state(scenario, seed=seed, clock=clock)
        self._port = port
        self._servers: list[_StoppableServer] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open = ExitStack()
        self._folder = folder

    @property
    def description(self) -> Description:
        """The settings of a client of the sandbox, with the secrets of the scenario."""
        state = self.state
        at = state.addresses
        values = state.operator_values
        hosts = state.cyclr.website_hosts
        return {
            "scenario": state.scenario,
            "graph_url": at.graph,
            "dialog_url": at.dialog,
            "dashboard_url": at.facebook,
            "cyclr_api_url": at.cyclr_api,
            "cyclr_console_url": at.cyclr_console,
            "service_domain": state.cyclr.service_domain,
            "service_domain_address": at.service_domain,
            "ca_file": str(self._ca_file),
            "redirect_uri": state.cyclr.redirect_uri,
            **values,
            "website_address": at.service_domain,
            "connect_to": ",".join(f"{host}={at.service_domain}" for host in hosts),
        }

    list_scenarios = staticmethod(list_scenarios)

    def settings(self, provider: str) -> Description:
        """
        Return the values of the inputs of `provider`; Facebook's and Cyclr's are the description.

        A provider that the sandbox does not imitate gets none, so that no value goes to another.
        """
        if provider in _IMITATED:
            return self.description
        shown = self.description if not provider else {}
        return {name: value for name, value in shown.items() if name in _LOCATION_SETTINGS}

    def __enter__(self) -> "Sandbox":
        with ExitStack() as stack:
            sockets = _listen(self._port, stack)
            if self._folder is None:
                made = tempfile.TemporaryDirectory(prefix="runbook-sandbox-")
                self._folder = Path(stack.enter_context(made))
            thread = self._start(sockets)
            stack.callback(thread.join)
            stack.callback(self._stop)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _stop(self) -> None:
        if self._loop is not None:
            for server in self._servers:
                self._loop.call_soon_threadsafe(server.stop.set)

    @property
    def _ca_file(self) -> Path:
        return (self._folder or Path()) / "ca.pem"

    def _start(self, sockets: list[socket.socket]) -> threading.Thread:
        """Start the thread that serves the sites, and wait until it does."""
        ports = dict(zip(_SITES, (sock.getsockname()[1] for sock in sockets), strict=True))
        urls = {name: f"http://{_ADDRESS}:{number}" for name, number in ports.items()}
        urls["service_domain"] = f"{_ADDRESS}:{ports['service_domain']}"
        state = self.state
        state.addresses = SiteAddresses(**urls)
        server_certificate = self._write_certificates()
        control = ControlApi(state, lambda: self.description)
        for name, make_site in _SITES.items():
            application = SiteApplication(make_site(state), state, control, abort=self._abort)
            path = server_certificate if name == "service_domain" else None
            self._servers.append(_make_server(application, path))
        thread = threading.Thread(
            target=lambda: asyncio.run(self._run(sockets)), name="runbook-sandbox", daemon=True
        )
        thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not all(server.started for server in self._servers):
            if time.monotonic() > deadline:  # pragma: no cover - a machine that stands still
                raise TimeoutError("the sandbox did not start")
            time.sleep(0.002)
        # NOTE: the server has read it by now; no private key stays in this folder.
        server_certificate.unlink()
        return thread

    def _write_certificates(self) -> Path:
        """Write the authority's certificate, and the partner domain's with its key."""
        import trustme  # noqa: PLC0415  (slow to import)

        cyclr = self.state.cyclr
        authority = trustme.CA(organization_name="SANDBOX runbook")
        issued = authority.issue_cert(cyclr.service_domain, *cyclr.website_hosts)
        authority.cert_pem.write_to_path(self._ca_file)
        path = self._ca_file.with_name("service_domain.pem")
        path.touch(mode=0o600)
        issued.private_key_and_cert_chain_pem.write_to_path(path)
        return path

    async def _run(self, sockets: list[socket.socket]) -> None:
        self._loop = asyncio.get_running_loop()
        pairs = zip(self._servers, sockets, strict=True)
        await asyncio.gather(*(server.serve(sockets=[sock]) for server, sock in pairs))
        # NOTE: a connection that is being reset may be in no server's list, but the loop has it.
        for transport in list(getattr(self._loop, "_transports", {}).values()):
            transport.abort()
        # NOTE: a transport closes its socket in the loop's next iteration, so run a few more.
        for _ in range(_LAST_ITERATIONS):
            await asyncio.sleep(0)

    def _abort(self, client: tuple[str, int]) -> None:
        """Reset the connection of a client, without a response."""
        for server in self._servers:
            for connection in list(server.server_state.connections):
                if getattr(connection, "client", None) == client:
                    transport = connection.transport
                    used = transport.get_extra_info("socket")
                    # NOTE: a reset (RST) instead of an orderly close.
                    if used is not None:
                        linger = struct.pack("ii", 1, 0)
                        used.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    transport.abort()


class _StoppableServer(uvicorn.Server):
    """A server that stops at once when `stop` is set; uvicorn's looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = asyncio.Event()

    async def main_loop(self) -> None:
        """Update the date of the headers until `stop` is set."""
        while not self.stop.is_set():
            await self.on_tick(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), _DATE_INTERVAL_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all sockets; waiting clients see the connection end."""
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()


def _listen(port: int, stack: ExitStack) -> list[socket.socket]:
    """Bind one loopback socket for each site, from `port` on; 0 takes free ports."""
    sockets = []
    for offset in range(len(_SITES)):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sockets.append(stack.enter_context(listener))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        number = port + offset if port else 0
        try:
            listener.bind((_ADDRESS, number))
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            reason = f"port {number} is taken" if is_taken else error.strerror
            raise OSError(error.errno, f"{_ADDRESS}: {reason}") from error
        listener.listen(256)
    return sockets


def _make_server(application: SiteApplication, certificate: Path | None) -> _StoppableServer:
    return _StoppableServer(
        uvicorn.Config(
            application,
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            log_level="critical",
            timeout_keep_alive=75,
            ssl_certfile=str(certificate) if certificate else None,
        )
    )
