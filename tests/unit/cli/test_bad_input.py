"""
Invalid input of every kind gives exit code 2 and one message, no traceback, and writes nothing.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runbook_lib.cli.main import main
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from tests.support.wording import wording

pytestmark = pytest.mark.matrix

DOMAIN = "service_domain=acme-h.cyclr.com"
SETTINGS = "RUNBOOK_CYCLR_SERVICE_DOMAIN=acme-h.cyclr.com\n"
WORD = '[[attestation]]\nstep = "fb-01-log-in"\nby = "Ada"\nat = 2026-11-24T09:30:00Z\n'
HUGE = "9" * 5_000
# Invisible characters: control characters, zero-width ones, and direction overrides.
UNSEEN = ("a\x07b", "a\x1b[2Jb", "a\x85b", "a\u200bb", "a\u202eb", "\u2066a", "\ufeffa", "a\ud800")

# Invalid values for each setting.
BAD_SETTINGS: dict[str, tuple[str, ...]] = {
    "service_domain": ("", "a", "a b.c", "http://a.b", "a.b:99999", "a..b", "-a.b", "1.2.3.4"),
    "permissions": ("Leads!", "ads_read;leads_retrieval", "ads-read"),
    "app_id": ("abc", "12", "1" * 400, "１２３４５６７８９", "-12345678"),
    "graph_version": ("26", "v26", "latest", "v26.00"),
    "account_api_id": ("a\nb",),
    "install_connector": ("perhaps", "2", "None"),
    "create_test_account": ("ja",),
    "four_eyes": ("fb-99", "everybody"),
    "graph_url": ("graph.facebook.com", "http://graph.example", "https://a b.c", "https://",
                  "https://a.b:port", "https://u:p@a.b", "https://a.b?x=1", "ftp://a.b",
                  "https://a.b:99999", "https://[::1", "https://a.b/\x01", "https://a\\b.c",
                  "https://exa mple.com/path", "https://a.b/pa th"),
    "dialog_url": ("www.facebook.com", "https://a b"),
    "dashboard_url": ("developers", "https://a\tb.c"),
    "cyclr_api_url": ("api", "https://api.cyclr.com#x"),
    "cyclr_console_url": ("my", "http://my.cyclr.com"),
    "service_domain_address": ("127.0.0.1", "a:0", "a:99999", ":1", "a b:80", "a:８０"),
    "ca_file": ("nowhere.pem", ".", "/dev/zero", "/dev/null", "fifo"),
    "queue_seconds": ("-1", "1.5", "ten", "86401", HUGE, "１"),
    "attestation_days": ("-1", "1.5", "ten", "3651", HUGE, "１"),
    "signing_key": ("nowhere.pem", ".", "/dev/zero", "/dev/null", "fifo", "nosuch:thing"),
    "tsa": ("timestamp", "https://a b", "ftp://a.b"),
    "archive": ("ftp://a", "s3://", "s3://key:secret@bucket", "s3://a?b=c"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder that has a named pipe."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))
    for name in ("walkthrough.lab.serve_lab", "engine.headless.execute_and_seal"):
        monkeypatch.setattr(
            f"runbook_lib.{name}", lambda *_, **__: pytest.fail("the command started")
        )
    os.mkfifo("fifo")


def everything(folder: Path) -> set[str]:
    """Return the paths of all files and folders in `folder`."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def refused(*arguments: str, folder: Path, env: dict[str, str] | None = None) -> Result:
    """Run `runbook`; assert that it ends with 2 and one message, and writes nothing."""
    before = everything(folder)
    result = CliRunner().invoke(main, list(arguments), env=env)
    said = f"{result.exit_code} {result.output!r} {result.exception!r}"
    assert isinstance(result.exception, SystemExit), said
    assert result.exit_code == 2, said
    assert result.stdout == "", said
    assert result.stderr.count("runbook: ") + result.stderr.count("Error: ") == 1, said
    assert "Traceback" not in result.stderr
    assert len(result.stderr) < 2_000, said
    assert result.stderr.isprintable() or result.stderr.replace("\n", "").isprintable(), said
    assert everything(folder) == before
    return result


# NOTE: an empty value in the environment or in `.env` means: not known yet.
SETTING_CASES = [
    *((name, text, "--set") for name, texts in BAD_SETTINGS.items() for text in texts),
    *(
        (name, BAD_SETTINGS[name][-1], source)
        for source in ("environment", ".env")
        for name in ("service_domain", "graph_url", "queue_seconds", "signing_key")
    ),
]
VARIABLES = {item.name: item.variable for item in inputs_of(PROCEDURE)}
TEXT_INPUTS = [
    item.name for item in inputs_of(PROCEDURE) if not item.secret and item.default is None
]


def identified(value: object) -> str:
    return ascii(value)[:40]


@pytest.mark.parametrize(("name", "text", "source"), SETTING_CASES, ids=identified)
def test_an_invalid_setting_is_refused(name: str, text: str, source: str, folder: Path) -> None:
    """An invalid setting is refused, from every source, before a key or a journal is written."""
    variable = VARIABLES[name]
    given = () if name == "service_domain" else ("--set", DOMAIN)
    if source == "--set":
        refused("run", *given, "--set", f"{name}={text}", folder=folder)
    elif source == "environment":
        refused("run", *given, folder=folder, env={variable: text})
    else:
        quoted = text.replace("\\", "\\\\").replace("'", "\\'").encode("utf-8", "surrogatepass")
        Path(".env").write_bytes(variable.encode() + b"='" + quoted + b"'\n")
        refused("run", *given, folder=folder)


@pytest.mark.parametrize("text", UNSEEN, ids=ascii)
@pytest.mark.parametrize("name", TEXT_INPUTS)
def test_invisible_characters_are_refused_in_every_text(name: str, text: str, folder: Path) -> None:
    """A record shows exactly what was given: an invisible character is refused."""
    given = () if name == "service_domain" else ("--set", DOMAIN)
    refused("run", *given, "--set", f"{name}={text}", folder=folder)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"# nothing\n", b"\xff\xfe", b"no setting\n", b"RUNBOOK_CYCLR_SERVICE_DOMAIN\n",
        b"RUNBOOK_CYCLR_SERVICE_DOMAIN='acme\n", b"=x\n", b"RUNBOOK_TENNANT=acme\n", b"\0\0\0\0",
        SETTINGS.encode() + b"RUNBOOK_FACEBOOK_APP_SECRET=short\n",
        SETTINGS.encode() + b"RUNBOOK_FACEBOOK_APP_SECRET=env:NOT_THERE\n",
        SETTINGS.encode() + b"RUNBOOK_FACEBOOK_APP_SECRET=file:nowhere\n",
        SETTINGS.encode() + b"RUNBOOK_FACEBOOK_APP_SECRET=file:/dev/zero\n",
        SETTINGS.encode() + b"RUNBOOK_FACEBOOK_APP_SECRET=file:fifo\n",
        SETTINGS.encode() + b"RUNBOOK_FACEBOOK_APP_SECRET=file:.\n",
        SETTINGS.encode() + b"RUNBOOK_CYCLR_CLIENT_SECRET='two words'\n",
        SETTINGS.encode() + b"RUNBOOK_ENV_FILE=other.env\n",
        SETTINGS.encode() + b"RUNBOOK_TENANT=a/b\n",
        SETTINGS.encode() + b"X=" + b"x" * 3_000_000 + b"\n",
    ],
    ids=identified,
)  # fmt: skip
@pytest.mark.parametrize("command", ["run", "status", "lab", "report"])
def test_an_invalid_settings_file_is_refused(command: str, content: bytes, folder: Path) -> None:
    """Every command that reads the settings file refuses one with invalid content."""
    Path(".env").write_bytes(content)
    refused(command, folder=folder)


@pytest.mark.parametrize(
    "path", ["nowhere", ".", "/dev/zero", "/dev/null", "fifo", "loop", "a\x07"]
)
@pytest.mark.parametrize("command", ["run", "status", "lab", "report"])
def test_a_settings_path_that_is_not_a_file_is_refused(
    command: str, path: str, folder: Path
) -> None:
    """A pipe, device, folder or missing path as settings file is refused at once."""
    Path("loop").symlink_to("loop")
    refused(command, "--env-file", path, folder=folder)
    refused(command, folder=folder, env={"RUNBOOK_ENV_FILE": path})


@pytest.mark.parametrize(
    "content",
    [
        "[[attestation]]", "[attestation]\n", "attestation = 1\n", "step = 'x'\n", "[[other]]\n",
        "[[", "\x00", WORD + 'subject = 1\n', WORD + 'subject = {app_secret = "x"}\n',
        WORD + 'subject = {app_id = ["1"]}\n', WORD + "note = ['x']\n", WORD + "note = 7\n",
        WORD + "reason = 'x'\n", WORD + 'note = "a\\u202Eb"\n', WORD + 'note = "\\u0007"\n',
        WORD.replace('"Ada"', '["Ada"]'), WORD.replace('"Ada"', '""'), WORD.replace('"Ada"', "7"),
        WORD.replace('"Ada"', '"\\u200b"'), WORD.replace('"Ada"', '"A\\u0007da"'),
        WORD.replace('"Ada"', '"\\u202eada"'), WORD.replace('"Ada"', "true"),
        WORD.replace('"Ada"', '{name = "Ada"}'), WORD.replace('"Ada"', f'"{"A" * 3000}"'),
        WORD.replace('"fb-01-log-in"', '["fb-01-log-in"]'), WORD.replace("fb-01-log-in", "fb-99"),
        WORD.replace("2026-11-24T09:30:00Z", '"2026-11-24T09:30:00Z"'),
        WORD.replace("2026-11-24T09:30:00Z", "2026-11-24"),
        WORD.replace("2026-11-24T09:30:00Z", "2999-01-01T00:00:00Z"),
        WORD.replace("2026-11-24T09:30:00Z", "0001-01-01T00:00:00+23:59"),
        "a = " + "[" * 20_000 + "]" * 20_000, "a." * 5_000 + "b = 1", "[" + "a." * 5_000 + "b]",
        WORD + "subject = " + "{a = " * 5_000 + "1" + "}" * 5_000,
        WORD.replace('"Ada"', "[" * 300 + "]" * 300), "x = " + HUGE, "#" * 5_000_000,
    ],
    ids=identified,
)  # fmt: skip
def test_invalid_attestations_are_refused(content: str, folder: Path) -> None:
    """Each entry of an attestations file has a valid step, author, time and subject."""
    Path("attestations.toml").write_text(content, encoding="utf-8")
    refused("run", "--set", DOMAIN, "--attestations", "attestations.toml", folder=folder)


@pytest.mark.parametrize("path", ["nowhere", ".", "/dev/zero", "fifo", "loop"])
def test_an_attestations_path_that_is_not_a_file_is_refused(path: str, folder: Path) -> None:
    """A pipe, device, folder or missing path as attestations file is refused at once."""
    Path("loop").symlink_to("loop")
    refused("run", "--set", DOMAIN, "--attestations", path, folder=folder)


@pytest.mark.parametrize(
    "tenant",
    [
        "../a", "a/b", ".", "..", "keys", "KEYS", "Keys",
        "a b", "a\x07", "ａcme", "a" * 64, "-a", "a.", "a\u200b",
    ],
    ids=ascii,
)  # fmt: skip
@pytest.mark.parametrize("command", ["run", "status", "lab", "report", "journal"])
def test_an_invalid_tenant_name_is_refused(command: str, tenant: str, folder: Path) -> None:
    """A tenant name is refused if it is unsafe as a folder name."""
    more = ("--trusted-keys", ".") if command == "journal" else ()
    refused(command, "--tenant", tenant, *more, folder=folder)
    refused(command, *more, folder=folder, env={"RUNBOOK_TENANT": tenant})
    Path(".env").write_text(f"{SETTINGS}RUNBOOK_TENANT='{tenant}'\n", encoding="utf-8")
    refused(command, *more, folder=folder)


@pytest.mark.parametrize(
    "evidence", ["/dev/null", "fifo", "file", "file/below", "loop", "n" * 300, "x/" + "n" * 300]
)
@pytest.mark.parametrize("command", ["run", "status", "lab", "report"])
def test_an_evidence_path_that_is_not_a_folder_is_refused(
    command: str, evidence: str, folder: Path
) -> None:
    """A file, device, pipe, link loop or overlong name as evidence folder is refused."""
    Path("file").write_text("")
    Path("loop").symlink_to("loop")
    Path(".env").write_text(SETTINGS)
    refused(command, "--evidence", evidence, folder=folder)


@pytest.mark.parametrize("command", ["run", "status", "lab", "report", "archive", "key"])
def test_an_unknown_environment_variable_is_refused(command: str, folder: Path) -> None:
    """A misspelled RUNBOOK_ variable is refused as it is in the settings file."""
    more = ("ev", "--to", "x") if command == "archive" else ()
    environ = {"RUNBOOK_SERVICE_DOMIAN": "acme-h.cyclr.com"}
    result = refused(command, *more, folder=folder, env=environ)
    assert (
        wording("setting-invalid.did-you-mean", name="RUNBOOK_CYCLR_SERVICE_DOMAIN")
        in result.stderr
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("sandbox", "--port", "99999"), ("sandbox", "--port", "-1"), ("sandbox", "--port", "65533"),
        ("sandbox", "--port", "x"), ("sandbox", "--port", "9" * 30), ("sandbox", "--scenario", "x"),
        ("run", "--sandbox", "paradise"), ("run", "--sandbox", "approved", "--env-file", "x"),
        ("run", "--set", "x"), ("run", "--set", "=x"), ("run", "--set", "x=y"),
        ("run", "--set", DOMAIN, "--set", "app_secret=x"), ("run", "--no-such"), ("run", "extra"),
        ("run", "--set", DOMAIN, "--set", "app_secret=file:/dev/zero"), ("status", "extra"),
        ("run", "--set", DOMAIN, "--archive", "ftp://x"), ("run", "--set", DOMAIN, "--tsa", "x y"),
        ("lab", "--sandbox", "paradise"), ("notebooks", "extra"), ("nosuch",),
        ("verify", "nowhere", "--key", "nowhere"), ("verify", ".", "--key", "/dev/zero"),
        ("verify", ".", "--key", "fifo"), ("verify", ".", "--trusted-keys", "nowhere"), ("verify",),
        ("verify", ".", "--key", "."), ("archive", "nowhere", "--to", "x"), ("archive", "."),
        ("archive", ".", "--to", "ftp://x"), ("report", "nowhere"), ("report", "fifo"),
        ("key", "--successor", "nowhere"), ("journal", "x"), ("journal", "--connector", "../x"),
        ("journal", "--trusted-keys", "nowhere"),
    ],
    ids=identified,
)  # fmt: skip
def test_invalid_arguments_are_refused(arguments: tuple[str, ...], folder: Path) -> None:
    """An unknown option, a number out of range or a missing path is refused."""
    refused(*arguments, folder=folder)


def test_a_port_in_use_is_named(folder: Path) -> None:
    """If a port is in use, the message names the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # NOTE: the sandbox takes six ports in a row; the highest first one is 65,530.
        result = refused("sandbox", "--port", str(min(port, 65_530)), folder=folder)
    assert f"port {port} is taken" in result.stderr
