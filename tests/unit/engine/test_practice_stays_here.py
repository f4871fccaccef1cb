"""Practice never reaches a real host, whatever settings, environment and answers name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from facebook_cyclr_sandbox import SCENARIOS, serve
from facebook_cyclr_sandbox.scenarios import list_scenarios
from runbook_lib.config.settings import Settings
from runbook_lib.config.workspace import require_evidence_here
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.core.clock import utc_now
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.model import Finding, Mode
from runbook_lib.core.procedure import Input
from runbook_lib.engine import tenant_run as run_module
from runbook_lib.engine.headless import RunRequest, archive_sealed
from runbook_lib.engine.practice import practice, practise_tenant, scenarios_of
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import (
    ExitCode,
    OutsidePracticeError,
    RemoteError,
    SettingsError,
)
from runbook_lib.evidence.signing.keys import key_from_settings
from runbook_lib.notebook.session import open_run as open_from_notebook
from runbook_lib.operations.watch.channels import try_channels
from runbook_lib.operations.watch.channels.base import NotSentError
from runbook_lib.operations.watch.cycle import _ping
from runbook_lib.remote.domain import (
    AllowedRedirects,
    follow_to_sign_in,
    read_certificate,
    resolve_name,
)
from runbook_lib.remote.http_messages import Request
from runbook_lib.remote.page_reader import open_page
from runbook_lib.walkthrough.consent import Consent
from tests.support.commands import runbook
from tests.support.internet import ADDRESS, Internet, internet
from tests.support.other_connectors import NAME, beside
from tests.support.post import SECRET as HOOK_SECRET
from tests.support.post import receiving
from tests.support.wording import refused, wording

DOMAIN = "acme-h.cyclr.com"
PAIR = {"app_id": "partner-app-4711", "app_secret": "0ther-c0mpany-Secret-4711"}
# Some of Cyclr is on this machine, so that the run is practice.
NOT_CONTACTED = (
    f"{wording('outside-practice.not-contacted')}: {wording('outside-practice.is-practice')}"
)
HERE = "http://127.0.0.1:9"
MIXED = f"RUNBOOK_CYCLR_API_URL={HERE}\nRUNBOOK_CYCLR_SERVICE_DOMAIN={DOMAIN}\n"
OUTSIDE = {
    "archive": "s3://bucket/evidence",
    "tsa": "http://timestamp.digicert.com",
    "signing_key": "awskms:1234abcd-12ab-34cd-56ef-1234567890ab",
}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """Return the addresses beyond this machine."""
    with internet(monkeypatch) as there:
        yield there


@pytest.fixture
def plainpost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the connector of a company without a sandbox."""
    with beside(tmp_path_factory.mktemp("connectors")) as folder:
        yield folder


def opened(connector: str, **environ: str) -> Run:
    """Return a run with Plainpost's credentials, and with more settings."""
    known = {
        "RUNBOOK_CYCLR_SERVICE_DOMAIN": DOMAIN,
        **{f"RUNBOOK_PLAINPOST_{name.upper()}": value for name, value in PAIR.items()},
        **{f"RUNBOOK_{name.upper()}": value for name, value in environ.items()},
    }
    if connector != NAME:
        known = {name: text for name, text in known.items() if "PLAINPOST" not in name}
    return open_run(
        find_procedure(connector),
        {},
        mode=Mode.HEADLESS,
        tenant="acme",
        evidence="evidence",
        environ=known,
    )


def performed(run: Run, step: str = "pp-01-credentials") -> Finding:
    """Return the finding of the step's only check, and close the run."""
    run.start()
    state = run.perform(step)
    run.close()
    (finding,) = state.findings
    return finding


def nothing_is_written() -> bool:
    return not list(Path().glob("**/journal.jsonl")) and not Path("walkthrough").exists()


# --- a company without a sandbox --------------------------------------------------------------
@pytest.mark.usefixtures("folder", "plainpost")
def test_a_real_run_of_it_reaches_its_real_address(world: Internet) -> None:
    """The listener hears a run that is not practice, so its silence proves something."""
    performed(opened(NAME))

    assert world.asked == ["login.plainpost.example"]
    assert (ADDRESS, 443) in world.reached
    assert world.heard.startswith(b"\x16\x03")  # the beginning of a TLS handshake


@pytest.mark.usefixtures("folder", "plainpost")
@pytest.mark.parametrize("setting", ["", "login_url"])
def test_practice_of_it_reaches_nobody(
    world: Internet, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """Even where nothing refused the run, its check is not sent, and says why."""
    monkeypatch.setattr(run_module, "require_within_reach", lambda *_: None)
    more = {"plainpost_login_url": f"https://{ADDRESS}"} if setting else {}

    finding = performed(opened(NAME, cyclr_api_url=HERE, **more))

    assert world.is_silent
    assert finding.code == OutsidePracticeError.code
    assert NOT_CONTACTED in finding.reason


def entries(command: str) -> list[tuple[str, ...]]:
    return [(command, "--sandbox", "--connector", NAME), (command, "--connector", NAME)]


ENTRIES = [
    *entries("run"),
    *entries("lab"),
    *entries("doctor"),
    ("watch", "--once", "--sandbox", "--connector", NAME),
    ("watch", "--once", "--connector", NAME),
    ("connections", "--sandbox", "--connector", NAME),
    ("sandbox", "--connector", NAME),
    ("fleet", "tenants.toml"),
]


@pytest.mark.usefixtures("plainpost")
@pytest.mark.parametrize("words", ENTRIES, ids=" ".join)
def test_each_entry_refuses_to_practise_it(
    folder: Path, world: Internet, words: tuple[str, ...]
) -> None:
    """By name, with exit code 2 and advice; nothing is written, and no host is reached."""
    Path(".env").touch(mode=0o600)
    Path(".env").write_text(MIXED)
    Path("tenants.toml").write_text(f'[[tenant]]\ntenant = "acme"\nconnector = "{NAME}"\n')

    result = runbook(*words)

    output = " ".join(f"{result.stdout} {result.stderr}".split())
    assert result.exit_code == ExitCode.USAGE, output
    assert NAME in output
    assert "Plainpost" in output
    assert wording("setting-invalid.nothing-done") in output
    assert nothing_is_written()
    assert world.is_silent


@pytest.mark.usefixtures("plainpost", "folder")
@pytest.mark.parametrize("mode", Mode)
def test_a_plain_notebook_refuses_to_practise_it(
    world: Internet, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """The notebook's first cell raises the same, headless and for a person."""
    monkeypatch.setenv("RUNBOOK_CYCLR_API_URL", HERE)
    namespace = {"mode": str(mode), "tenant": "acme", "service_domain": DOMAIN}

    with refused(SettingsError, "not-practised", connector="plainpost") as caught:
        open_from_notebook(NAME, namespace)

    assert wording("setting-invalid.nothing-done") in caught.value.diagnostics()
    assert nothing_is_written()
    assert world.is_silent


@pytest.mark.usefixtures("plainpost", "folder")
def test_the_engine_refuses_to_practise_it() -> None:
    """No sandbox is served for it, and the refusal names connectors that can be practised."""
    procedure = find_procedure(NAME)
    with (
        refused(SettingsError, "not-imitated", vendor="Plainpost") as caught,
        practice("approved", procedure, FingerprintKey()),
    ):
        pass
    with refused(SettingsError, "not-practised", connector="plainpost"):
        practise_tenant("approved", RunRequest(procedure=procedure, tenant="acme"))

    assert (
        wording(
            "setting-invalid.or-practise", connectors="facebook_marketing or facebook_messenger"
        )
        in caught.value.diagnostics()
    )


@pytest.mark.usefixtures("plainpost", "folder", "world")
def test_a_company_whose_addresses_are_all_here_may_be_practised() -> None:
    """Somebody may imitate it on this machine: that run is practice, and leaves it no more."""
    run = opened(NAME, cyclr_api_url=HERE, plainpost_login_url=HERE)
    run.require_startable()

    assert run.is_sandbox


def test_a_sandbox_gives_nobody_what_is_another_companys() -> None:
    """It has nothing of a company that it does not imitate, and tells nobody where it is."""
    with serve("approved", seed=5) as sandbox:
        assert sandbox.settings("plainpost") == {}
        assert set(sandbox.settings("")) == {"ca_file", "connect_to"}
        assert sandbox.settings("facebook")["app_secret"]


@pytest.mark.parametrize("name", connector_names())
def test_product_and_sandbox_agree_which_companies_are_imitated(name: str) -> None:
    """`has_sandbox` is the sandbox's own value."""
    vendor = vendor_of(find_procedure(name))

    assert bool(scenarios_of(find_procedure(name))) is vendor.has_sandbox


# --- scenarios --------------------------------------------------------------------------------
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("connector", "scenario"),
    [
        ("facebook_marketing", "messenger-wrong-scopes"),
        ("facebook_marketing", "messenger-wrong-verify-token"),
        ("facebook_marketing", "messenger-page-not-subscribed"),
        ("facebook_messenger", "permission-missing"),
        ("facebook_messenger", "customer-disconnected"),
    ],
)
@pytest.mark.parametrize("command", ["run", "lab", "watch", "doctor", "connections", "sandbox"])
def test_a_scenario_that_changes_nothing_is_refused(
    command: str, connector: str, scenario: str
) -> None:
    """It would silently be `approved`; the refusal names the scenarios that there are."""
    option = "--scenario" if command == "sandbox" else "--sandbox"
    once = ["--once"] if command == "watch" else []

    result = runbook(command, option, scenario, "--connector", connector, *once)

    output = " ".join(result.stderr.split())
    assert result.exit_code == ExitCode.USAGE
    assert (
        wording("setting-invalid.scenario-not-imitated", scenario=scenario, connector=connector)
        in output
    )
    names = output.partition("Its scenarios: ")[2].rstrip(".").split(", ")
    assert names == list(scenarios_of(find_procedure(connector)))
    assert scenario not in names
    assert {*names} < {*SCENARIOS}
    assert nothing_is_written()


def test_every_scenario_is_one_of_some_connector() -> None:
    """Every scenario can be practised."""
    theirs = [scenarios_of(find_procedure(name)) for name in connector_names()]

    assert set().union(*theirs) == {*SCENARIOS}
    assert list_scenarios("nobody") == ()


# --- the transport ----------------------------------------------------------------------------
FACEBOOK_HERE = {"facebook_graph_url": HERE, "cyclr_api_url": HERE}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"connect_to": f"graph.facebook.com={ADDRESS}:443"},
        {"connect_to": "graph.facebook.com=real.example:443"},
        {"cyclr_service_domain_address": f"{ADDRESS}:443"},
        {"cyclr_redirect_hosts": "graph.facebook.com"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "url",
    [
        "https://graph.facebook.com/v26.0/me",
        f"https://{ADDRESS}/",
        "https://[2001:db8::7]/",
        "https://[::ffff:203.0.113.7]/",
        f"http://{ADDRESS}/",
        "http://2130706433/",
        f"https://{DOMAIN}/connector/callback",
        "https://localhost.example/",
        "http://0.0.0.0:9/",
        "https://led-astray.localhost/",
    ],
)
def test_no_request_of_practice_leaves_this_machine(
    world: Internet, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], url: str
) -> None:
    """No setting makes practice ask a name server or proxy, or send anything."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{world.place[1]}")
    world.names["led-astray.localhost"] = ADDRESS
    run = opened("facebook_marketing", **FACEBOOK_HERE, **environ)

    with pytest.raises(RemoteError) as caught:
        run.open_session().send(Request(method="GET", url=url))
    run.close()

    assert isinstance(caught.value, OutsidePracticeError)
    assert "--sandbox" in caught.value.diagnostics()
    assert world.is_silent


@contextmanager
def redirecting(target: str) -> Iterator[str]:
    """Serve a page on loopback that leads to `target`; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        """Answers each request with the redirect."""

        def do_GET(self) -> None:
            """Lead elsewhere."""
            self.send_response(302)
            self.send_header("location", target)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.usefixtures("folder")
def test_a_redirect_out_of_practice_is_not_followed(world: Internet) -> None:
    """Neither of a page nor of Cyclr's sign-in link, although settings name the target's host."""
    vendor = vendor_of(find_procedure("facebook_marketing"))
    run = opened("facebook_marketing", **FACEBOOK_HERE, cyclr_redirect_hosts="www.partner.example")
    server = vendor.oauth(run.values)
    target = "https://www.partner.example/next"
    with redirecting(target) as url:
        allowed = AllowedRedirects([url, target], ["www.partner.example"])
        with pytest.raises(RemoteError, match=r"www\.partner\.example"):
            follow_to_sign_in(run.open_session(), url, server, allowed)
        with pytest.raises(RemoteError):
            open_page(run.open_session(), url)
    run.close()

    assert world.is_silent


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("place", ["", f"{ADDRESS}:443", "real.example:443"])
@pytest.mark.parametrize("ask", [resolve_name, read_certificate])
def test_name_and_certificate_of_another_machine_are_not_asked_for(
    world: Internet, ask: Callable[..., object], place: str
) -> None:
    """The Service Domain's name server and TLS server are real hosts, too."""
    run = opened("facebook_marketing", **FACEBOOK_HERE, cyclr_service_domain_address=place)

    with refused(OutsidePracticeError, "not-contacted", code="outside-practice"):
        ask(run.open_session(), DOMAIN)
    run.close()

    assert world.is_silent


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "sandbox.localhost"])
def test_practice_reaches_this_machine(world: Internet, host: str) -> None:
    """Loopback by address and by name is what practice is served at."""
    world.names["sandbox.localhost"] = "127.0.0.1"
    run = opened("facebook_marketing", **FACEBOOK_HERE)
    with redirecting("/") as url:
        request = Request(method="GET", url=url.replace("127.0.0.1", host))
        assert run.open_session().send(request).status == 302
    run.close()

    assert world.is_silent


@pytest.mark.usefixtures("folder")
def test_a_tenant_of_practice_is_bound_whatever_its_settings_are_now(world: Internet) -> None:
    """
    Without its sandbox a practice tenant's settings name the real systems: they are not asked.
    """
    run = opened("facebook_marketing", **FACEBOOK_HERE)
    run.start()
    run.close()
    later = opened("facebook_marketing")

    with pytest.raises(OutsidePracticeError):
        later.open_session().send(Request(method="GET", url="https://graph.facebook.com/"))
    later.close()

    assert not later.is_sandbox
    assert world.is_silent


@pytest.mark.usefixtures("folder")
def test_a_whole_practice_run_stays_here(world: Internet) -> None:
    """From its start to its sealed bundle, cells and all, though a given address is a real one."""
    real = ("--set", "graph_url=https://graph.facebook.com")
    page = ("--set", "data_deletion_url=https://www.partner.example/data-deletion")

    result = runbook("run", "--sandbox", "approved", *real, *page, "--json")

    record = json.loads(result.stdout)
    assert record["sandbox"] is True
    codes = {check["code"] for step in record["steps"] for check in step["findings"]}
    assert OutsidePracticeError.code in codes
    outcomes = {step["id"]: step["outcome"] for step in record["steps"]}
    assert outcomes["fb-13-app-id-and-secret"] == "inconclusive"
    assert outcomes["test-01-install"] == "verified"
    assert world.is_silent


@pytest.mark.usefixtures("folder")
def test_values_that_replace_the_sandboxs_addresses_are_refused(world: Internet) -> None:
    """With `--sandbox` no given value makes the run a real one."""
    real = {
        "graph_url": "https://graph.facebook.com",
        "dialog_url": "https://www.facebook.com/dialog/oauth",
        "dashboard_url": "https://developers.facebook.com",
        "cyclr_api_url": "https://api.cyclr.com",
        "cyclr_console_url": "https://my.cyclr.com",
    }
    words = [word for name, url in real.items() for word in ("--set", f"{name}={url}")]

    result = runbook("run", "--sandbox", *words)

    assert result.exit_code == ExitCode.USAGE
    assert wording("setting-invalid.not-practice") in result.stderr
    assert nothing_is_written()
    assert world.is_silent


@pytest.mark.usefixtures("folder")
def test_a_person_is_not_sent_to_a_real_consent_page() -> None:
    """If the sign-in page is the real one, practice shows no link to it."""
    run = opened("facebook_marketing", **FACEBOOK_HERE, facebook_app_id="1234567890123456")
    run.set_secret(secret_of("facebook_marketing"), "0f1e2d3c4b5a69788796a5b4c3d2e1f0")
    consent = Consent(run, lambda *_: None, lambda _: None)

    with refused(SettingsError, "real-consent-page", address="https://www.facebook.com"):
        consent.ask(run.procedure.steps[0])
    run.close()


def secret_of(connector: str) -> Input:
    return vendor_of(find_procedure(connector)).client_secret


@pytest.mark.usefixtures("folder")
def test_the_doctor_asks_nobody_about_practice(world: Internet) -> None:
    """It looks at addresses of this machine only, and says of others that it did not."""
    Path(".env").touch(mode=0o600)
    Path(".env").write_text(MIXED)

    items = {
        item["subject"]: item["message"] for item in json.loads(runbook("doctor", "--json").stdout)
    }

    assert wording("outside-practice.is-practice") in items["https://graph.facebook.com"]
    assert world.is_silent


# --- the evidence of practice -----------------------------------------------------------------
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("source", ["--set", "environment", "option"])
@pytest.mark.parametrize(("name", "address"), OUTSIDE.items())
def test_practice_uses_no_archive_time_stamp_or_key_elsewhere(
    world: Internet, monkeypatch: pytest.MonkeyPatch, name: str, address: str, source: str
) -> None:
    """It is refused with exit code 2 before anything is written; the message names the address."""
    Path(".env").touch(mode=0o600)
    Path(".env").write_text(f"{MIXED}RUNBOOK_FACEBOOK_GRAPH_URL={HERE}\n")
    words = ["run"]
    if source == "environment":
        monkeypatch.setenv(f"RUNBOOK_{name.upper()}", address)
    elif source == "option" and name != "signing_key":
        words += ["--sandbox", f"--{name}", address]
    else:
        words += ["--sandbox", "--set", f"{name}={address}"]

    result = runbook(*words)

    assert result.exit_code == ExitCode.USAGE, result.stderr
    assert address.partition(":")[0] in result.stderr
    assert wording("setting-invalid.not-on-this-machine") in result.stderr
    assert f"RUNBOOK_{name.upper()}" in result.stderr
    assert nothing_is_written()
    assert world.is_silent


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("address", [*OUTSIDE["archive"].split(), "gs://b/x", "az://b/x"])
def test_no_bundle_of_practice_is_archived_elsewhere(address: str) -> None:
    """Also where a run turns out to be practice only after it is sealed, as on a cluster."""
    for is_trial in (True, False):
        with refused(SettingsError, "not-on-this-machine"):
            archive_sealed(
                Path("evidence/a/p/b"),
                {"archive": address},
                {"archive": address},
                is_sandbox=True,
                is_trial=is_trial,
            )


@pytest.mark.usefixtures("folder")
def test_no_key_service_signs_practice() -> None:
    """Neither a run's evidence nor a fleet's record."""
    for scheme in ("awskms", "gcpkms", "azurekms", "hv", "sigstore", "unknown"):
        settings = Settings({"signing_key": f"{scheme}:key"})
        with refused(SettingsError, "key-service-not-here", scheme=scheme):
            key_from_settings(settings, is_sandbox=True)


@pytest.mark.usefixtures("folder")
def test_stores_and_keys_on_this_machine_may_be_used_in_practice() -> None:
    """A folder, an authority on loopback and a key file or a security module are allowed."""
    for values in (
        {"archive": str(Path("archive").absolute())},
        {"tsa": "http://127.0.0.1:9/tsa"},
        {"tsa": "http://localhost:9/tsa"},
        {"signing_key": "key.pem"},
        {"signing_key": "hsm:2?label=evidence"},
    ):
        require_evidence_here(values)


# --- messages to the operator -----------------------------------------------------------------
@pytest.mark.usefixtures("folder")
def test_messages_of_practice_reach_the_operator_and_say_so() -> None:
    """Mail and webhook name SANDBOX first, where a person looks first."""
    with receiving() as post:
        lines = (line.partition("=") for line in post.settings.splitlines())
        more = {name.removeprefix("RUNBOOK_").lower(): text for name, _, text in lines}
        run = opened("facebook_marketing", **FACEBOOK_HERE, **more)
        run.journal.clock = utc_now
        assert try_channels(run) == ["mail", "webhook"]
        run.close()

    (mail,) = post.mails
    (hook,) = post.hooks
    assert post.recipients == ["all@acme.example"]
    assert mail["Subject"].startswith("SANDBOX acme: ")
    assert mail.get_content().startswith("SANDBOX acme: ")
    assert hook["data"]["sandbox"] is True
    assert hook["data"]["subject"] == mail["Subject"]


@pytest.mark.usefixtures("folder")
def test_the_operators_webhook_may_be_elsewhere(world: Internet) -> None:
    """It is no remote system of the checks: the operator wants to be told."""
    url = f"https://{ADDRESS}/hook"
    run = opened(
        "facebook_marketing", **FACEBOOK_HERE, webhook=url, webhook_secret=HOOK_SECRET,
        exchange_seconds="5",
    )  # fmt: skip
    with pytest.raises(NotSentError):  # the listener speaks no TLS
        try_channels(run)
    run.close()

    assert world.reached == [(ADDRESS, 443)]


@pytest.mark.usefixtures("folder")
def test_practice_does_not_say_elsewhere_that_a_real_watch_runs(world: Internet) -> None:
    """A health check cannot be told that this is practice, so it is not asked; a line says so."""
    run = opened("facebook_marketing", **FACEBOOK_HERE, healthcheck="https://hc.example/ping")
    (line,) = _ping(run)
    run.close()

    assert f"hc.example {NOT_CONTACTED}" in line
    assert world.is_silent
