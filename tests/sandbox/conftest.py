"""A sandbox over real HTTP, and clients for it."""

import ssl
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import httpcore
import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.facebook_state import App


def app_of(sandbox: Sandbox) -> App:
    """Return the scenario's app."""
    return sandbox.state.facebook.apps[str(sandbox.description["app_id"])]


def login_of(sandbox: Sandbox, who: str = "login") -> dict[str, str]:
    """Return the credentials of the operator (`login`) or the `customer`."""
    given = sandbox.description
    return {"email": str(given[f"{who}_email"]), "password": str(given[f"{who}_password"])}


def dialog(sandbox: Sandbox, **params: str) -> str:
    """Return the dialog's URL for the scenario's app."""
    given = sandbox.description
    known = {"client_id": str(given["app_id"]), "redirect_uri": str(given["redirect_uri"])}
    return f"{given['dialog_url']}?{urlencode({**known, **params})}"


class Graph:
    """A bare Graph client: it knows URLs, not responses."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client) -> None:
        self.sandbox = sandbox
        self.http = http
        self.given = sandbox.description
        self.base = f"{self.given['graph_url']}/v26.0"
        self.app_token = f"{self.given['app_id']}|{self.given['app_secret']}"
        self.credentials = {
            "client_id": str(self.given["app_id"]),
            "client_secret": str(self.given["app_secret"]),
        }

    def get(self, path: str, token: str | None = "user", **params: str) -> httpx.Response:
        """Call a path with one of the given tokens, any other token, or none."""
        tokens = {
            "user": self.given["user_access_token"],
            "page": self.given["page_access_token"],
            "customer": self.given["customer_access_token"],
            "app": self.app_token,
        }
        if token is not None:
            params = {"access_token": str(tokens.get(token, token)), **params}
        return self.http.get(f"{self.base}/{path}", params=params)

    def exchange(self, **params: str) -> httpx.Response:
        """Call the token endpoint with the given app."""
        form = {**self.credentials, **params}
        return self.http.post(f"{self.base}/oauth/access_token", data=form)

    def at(self, path: str, **params: str) -> httpx.Response:
        """Call a path that names its version, or none, with the operator's token."""
        params = {"access_token": str(self.given["user_access_token"]), **params}
        return self.http.get(f"{self.given['graph_url']}/{path}", params=params)


def list_live_permissions(graph: Graph) -> set[str]:
    """Return the permissions that the app's permissions edge lists."""
    rows = graph.get(f"{graph.given['app_id']}/permissions", "app").json()["data"]
    assert {row["status"] for row in rows} <= {"live"}
    return {row["permission"] for row in rows}


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    return error


class Form(HTMLParser):
    """The first form of a page: its action and its hidden fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.choices: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the form and its fields."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.action:
            self.action = given["action"]
        elif tag == "input" and given.get("type") == "hidden":
            self.fields[given["name"]] = given["value"]
        elif tag == "input" and given.get("type") == "checkbox":
            self.choices.append(given["value"])


class Cyclr:
    """A bare Cyclr client: API with a token, Service Domain over HTTPS."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client) -> None:
        self.sandbox = sandbox
        self.http = http
        self.given = sandbox.description
        self.credentials = {
            "grant_type": "client_credentials",
            "client_id": str(self.given["cyclr_client_id"]),
            "client_secret": str(self.given["cyclr_client_secret"]),
        }
        self.token_url = f"{self.given['cyclr_api_url']}/oauth/token"
        self.token = http.post(self.token_url, data=self.credentials).json()["access_token"]
        self.headers = {
            "Authorization": f"Bearer {self.token}",
            "X-Cyclr-Account": str(self.given["account_api_id"]),
        }

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the API for the given account."""
        headers = {**self.headers, **options.pop("headers", {})}
        url = f"{self.given['cyclr_api_url']}/v1.0/{path}"
        return self.http.request(method, url, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Read from the API."""
        return self.call("GET", path, **options)

    def connector_id(self, name: str = "Facebook Marketing API") -> int:
        """Return a connector's id by its name."""
        found = self.get("connectors", params={"query": name}).json()
        return int(next(connector["Id"] for connector in found if connector["Name"] == name))

    def installed(self) -> dict[str, Any]:
        """Return the first installed connector."""
        found: dict[str, Any] = self.get("account/connectors").json()[0]
        return found

    def methods(self) -> dict[str, dict[str, Any]]:
        """Return the methods of the Marketing connector by their names."""
        rows = self.get(f"connectors/{self.connector_id()}/methods").json()
        return {row["Name"]: row for row in rows}

    def run(self, unique_id: str, **body: Any) -> httpx.Response:
        """Run a method of the first installed connector."""
        path = f"account/connectors/{self.installed()['Id']}/methods/{unique_id}"
        return self.call("POST", path, json=body)

    def deauthenticate(self) -> int:
        """Forget the first connector's sign-in, as its console does; return its id."""
        number = int(self.installed()["Id"])
        installed = self.sandbox.state.cyclr.account_connectors[number]
        installed.is_authenticated = False
        installed.access_token = ""
        return number

    def sign_in_link(
        self, number: int, target: str = "https://app.partner.test/done", account: str = ""
    ) -> str:
        """Return a new sign-in link, with a token of another account if one is named."""
        path = f"accounts/{account or self.given['account_api_id']}/signintoken"
        token = self.call("POST", path, json={"Username": "someone"}).json()["Token"]
        query = httpx.QueryParams({"id": str(number), "token": token, "targetOrigin": target})
        domain = self.given["service_domain"]
        return f"https://{domain}/connectorauth/updateaccountconnectoroauth?{query}"


Start = Callable[..., Sandbox]
Open = Callable[[Sandbox], Graph]
OpenCyclr = Callable[[Sandbox], Cyclr]
Domain = Callable[[Sandbox], httpx.Client]
CompleteDialog = Callable[..., httpx.Response]


class _Pinned(httpcore.SyncBackend):
    """Connects to one address, whatever the host name."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.partition(":")

    def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> Any:
        """Connect to the one address."""
        return super().connect_tcp(self._host, int(self._port), *args, **options)


class Browser:
    """A minimal browser: cookies, HTML accepted, redirects followed."""

    def __init__(self, sandbox: Sandbox, client: httpx.Client) -> None:
        self.sandbox = sandbox
        self.given: dict[str, Any] = dict(sandbox.description)
        self.client = client
        self.page = httpx.Response(200)

    def open(self, url: str) -> str:
        """Open a page; a path alone is one of the dashboard."""
        self.page = self.client.get(urljoin(str(self.given["dashboard_url"]), url))
        return self.page.text

    def submit(self, action: str, **fields: Any) -> str:
        """Send the form that posts to `action`, with its hidden fields and these."""
        hidden = self._hidden(action)
        url = urljoin(str(self.page.url), action)
        self.page = self.client.post(url, data={**hidden, **fields})
        return self.page.text

    def fill_in(self, path: str, **fields: Any) -> str:
        """Open a page of the dashboard, and send its form with these fields."""
        self.open(path)
        return self.submit(path, **fields)

    def log_in(self) -> None:
        """Log in as the sandbox's person."""
        self.submit("/login", **login_of(self.sandbox))

    def enter(self, path: str = "/login") -> str:
        """Log in at the dashboard, then open a page of it."""
        self.open("/login")
        self.log_in()
        return self.open(path)

    def _hidden(self, action: str) -> dict[str, str]:
        for part in self.page.text.split("<form")[1:]:
            form = Form("<form" + part.partition("</form>")[0] + "</form>")
            if form.action == action:
                return form.fields
        return {}

    @property
    def path(self) -> str:
        """The path of the current page."""
        return self.page.url.path


Browse = Callable[[Sandbox], Browser]


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture(scope="module")
def approved() -> Iterator[Sandbox]:
    """Return a sandbox shared by the tests of a module that do not change it for others."""
    with Sandbox("approved", seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a sandbox for one test, and stop them all at its end."""
    running: list[Sandbox] = []

    def begin(scenario: str, **options: Any) -> Sandbox:
        sandbox = Sandbox(scenario, **options)
        sandbox.__enter__()
        running.append(sandbox)
        return sandbox

    yield begin
    for sandbox in running:
        sandbox.__exit__(None, None, None)


@pytest.fixture
def graph(approved: Sandbox, http: httpx.Client) -> Graph:
    return Graph(approved, http)


@pytest.fixture
def graph_of(http: httpx.Client) -> Open:
    return lambda sandbox: Graph(sandbox, http)


@pytest.fixture
def own(start: Start, graph_of: Open) -> Graph:
    """Return a client for a sandbox of the test's own."""
    return graph_of(start("approved"))


@pytest.fixture
def cyclr_of(http: httpx.Client) -> OpenCyclr:
    return lambda sandbox: Cyclr(sandbox, http)


@pytest.fixture
def domain_of() -> Iterator[Domain]:
    """
    Return a function that opens a client for the Service Domain, which trusts its certificate.
    """
    clients: list[httpx.Client] = []

    def open_client(sandbox: Sandbox) -> httpx.Client:
        given = sandbox.description
        context = ssl.create_default_context(cafile=str(given["ca_file"]))
        transport = httpx.HTTPTransport(verify=context)
        pool = httpcore.ConnectionPool(
            ssl_context=context, network_backend=_Pinned(str(given["service_domain_address"]))
        )
        transport._pool = pool
        client = httpx.Client(transport=transport, base_url=f"https://{given['service_domain']}")
        clients.append(client)
        return client

    yield open_client
    for client in clients:
        client.close()


@pytest.fixture
def complete_dialog(http: httpx.Client) -> CompleteDialog:
    """Return a function that completes the dialog as a program: GET it, log in, decide."""

    def response(sandbox: Sandbox, url: str, decision: str = "continue", **form: Any) -> Any:
        page = http.get(url)
        assert page.status_code == 200, page.text
        parsed = Form(page.text)
        split = urlsplit(url)
        action = f"{split.scheme}://{split.netloc}{parsed.action}"
        data = {**parsed.fields, **login_of(sandbox), "decision": decision, **form}
        return http.post(action, data=data)

    return response


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(headers={"Accept": "text/html"}, follow_redirects=True) as client:
        yield client


@pytest.fixture
def browse(client: httpx.Client) -> Browse:
    return lambda sandbox: Browser(sandbox, client)
