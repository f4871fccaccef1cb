"""A broken connector stops its own commands, and no other one's; who lists connectors names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbook_lib.config.fleet_file import read_fleet_file
from runbook_lib.config.settings import KnownVariables
from runbook_lib.connectors import registry
from runbook_lib.connectors.registry import (
    DEFAULT,
    broken_connectors,
    connector_names,
    find_procedure,
    known_variables,
    working_procedures,
)
from runbook_lib.core.clock import utc_now
from runbook_lib.core.model import Mode
from runbook_lib.engine.cluster import connector_versions
from runbook_lib.engine.practice import practice_environment
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.errors import BrokenConnectorError, ExitCode, FleetFileError, SettingsError
from runbook_lib.operations.tenant_reader import read_tenants
from tests.support.commands import runbook
from tests.support.other_connectors import NAME, beside, forget
from tests.support.wording import refused, wording

IS_BROKEN = wording("connector-broken.is-broken", connector=NAME)
UNREADABLE = wording("status.record-unreadable")
NO_FILE = wording("connector-broken.file-missing")

# The names of the product's own connectors.
OWN = connector_names()

Break = Callable[[Path], object]


def text(file: str, content: str) -> Break:
    """Return a change that gives a file this content."""
    return lambda folder: (folder / file).write_text(content)


def edited(file: str, old: str, new: str) -> Break:
    """Return a change that replaces a part of a file."""

    def edit(folder: Path) -> None:
        before = (folder / file).read_text()
        assert old in before
        (folder / file).write_text(before.replace(old, new))

    return edit


def without(file: str) -> Break:
    """Return a change that removes a file."""
    return lambda folder: (folder / file).unlink()


def first(file: str, line: str) -> Break:
    """Return a change that begins a module with this line."""
    return lambda folder: (folder / file).write_text(f"{line}\n{_without_future(folder / file)}")


def _without_future(path: Path) -> str:
    return path.read_text().replace("from __future__ import annotations\n", "")


def there_is_no(name: str) -> str:
    """Return the sentence about a name that a connector's file does not have."""
    return wording("connector-broken.there-is-no", name=name)


DEEP = "def deep(): return deep()\ndeep()"
ODD = "class Odd(ImportError):\n    def __str__(self): raise RuntimeError\nraise Odd"
SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
# Changes that break a connector, each with a part of the message.
BROKEN: dict[str, tuple[Break, str]] = {
    "a slip in its TOML": (edited("steps.toml", "[values]", "[values"), "plainpost/steps.toml"),
    "no TOML": (text("steps.toml", "{}"), "plainpost/steps.toml"),
    "no UTF-8": (lambda f: (f / "steps.toml").write_bytes(b"\xff"), "plainpost/steps.toml"),
    "an unknown key": (edited("steps.toml", "instructions =", "instructoins ="),
                       "steps.toml, [steps.pp-01"),
    "an unknown check": (edited("steps.toml", "takes-pair", "gives"),
                         f"checks: {wording('texts-invalid.unknown', kind='check')}"),
    "a number for a list": (edited("steps.toml", 'inputs = ["app_id", "app_secret"]',
                                   "inputs = 5"), "steps.toml, [steps.pp-01"),
    "a text for a table": (edited("steps.toml", '[values]\ncredentials = "pp-01-credentials"',
                                  'values = "x"'), "plainpost/steps.toml"),
    "a list for a table": (edited("steps.toml", '[values]\ncredentials = "pp-01-credentials"',
                                  "values = [1]"), "plainpost/steps.toml"),
    "a table for a text": (edited("steps.toml", 'instructions = "Register it."',
                                  "instructions = {a = 1}"),
                           "steps.toml, [steps.pp-01"),
    "sections that are none": (edited("steps.toml", "[[sections]]", "[sections]"),
                               "plainpost/steps.toml"),
    "steps that are none": (edited("steps.toml", "page = 1", 'page = "1"'), "steps.toml"),
    "no steps.toml": (without("steps.toml"), "plainpost/steps.toml"),
    "no inputs.py": (without("inputs.py"), f"(plainpost/inputs.py): {NO_FILE}"),
    "no checks.py": (without("checks.py"), "checks"),
    "no procedure.py": (without("procedure.py"), f"(plainpost/procedure.py): {NO_FILE}"),
    "no PROCEDURE": (text("procedure.py", ""),
                     f"(plainpost/procedure.py): {there_is_no('PROCEDURE')}"),
    "a PROCEDURE that is none": (text("procedure.py", "PROCEDURE = 5"),
                                 wording("connector-broken.no-procedure")),
    "another one's PROCEDURE": (
        text("procedure.py", "from runbook_lib.connectors.facebook_marketing.procedure "
             "import PROCEDURE"),
                 wording("connector-broken.anothers-procedure", connector="facebook_marketing")),
    "another name for the app's id": (
        lambda folder: [
            edited(file, "app_id", "client_id")(folder) for file in ("inputs.py", "steps.toml")
        ],
        wording("connector-broken.other-credentials"),
    ),
    "no INPUTS": (text("inputs.py", "PROVIDERS = ()"),
                  f"(plainpost/inputs.py): {there_is_no('INPUTS')}"),
    "INPUTS that are none": (text("inputs.py", "INPUTS, PROVIDERS = (1,), ()"),
                             wording("connector-broken.not-all-of-its")),
    "no list of INPUTS": (text("inputs.py", "INPUTS = PROVIDERS = 1"), "plainpost/inputs.py"),
    "a slip in its inputs": (first("inputs.py", "x = ("), "plainpost/inputs.py, line"),
    "a slip in its checks": (first("checks.py", "def"), "plainpost/checks.py, line 1): invalid"),
    "a slip in its package": (first("__init__.py", "1 +"), "plainpost/__init__.py, line 1)"),
    "a null byte": (first("procedure.py", "\0"), "plainpost/procedure.py"),
    "an odd encoding": (first("checks.py", "# coding: nonsense"), "plainpost/"),
    "a missing package": (first("inputs.py", "import nowhere_at_all"),
                          "(plainpost/inputs.py, line 1): No module named 'nowhere_at_all'"),
    "a missing name": (first("checks.py", "from json import nothing"), "plainpost/checks.py, line"),
    "an error": (first("procedure.py", f"raise ValueError({SECRET!r})"),
                 "(plainpost/procedure.py, line 1): ValueError"),
    "an error of the system": (first("checks.py", "open('/nowhere/at/all')"),
                               "plainpost/checks.py, line 1): No such file"),
    "an error that cannot be shown": (first("checks.py", ODD), "plainpost/checks.py, line 3): Odd"),
    "an endless recursion": (first("inputs.py", DEEP), "plainpost/inputs.py, line"),
    "the end of the program": (first("__init__.py", "import sys; sys.exit(0)"), "SystemExit"),
    "a base exception": (first("checks.py", "raise GeneratorExit"), "GeneratorExit"),
    "a cycle": (first("inputs.py", "from runbook_lib.connectors.plainpost.procedure import X"),
                "plainpost/"),
    "control characters": (first("checks.py", r"raise ImportError('a\x1b[2J\nb')"),
                           "plainpost/checks.py, line 1): a"),
}  # fmt: skip
each = pytest.mark.parametrize("how", BROKEN)
OWN_COMMANDS = [
    ("run",),
    ("run", "--sandbox"),
    ("lab",),
    ("doctor",),
    ("watch", "--once"),
    ("kit",),
    ("init",),
    ("connections",),
    ("explain", "x"),
    ("notebooks",),
    ("sandbox",),
]
# Loading one of these is enough to see that it is broken: the variables are not known either.
WITHOUT_INPUTS = ("no inputs.py", "a slip in its package", "an endless recursion", "no INPUTS")


@pytest.fixture
def plainpost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install a connector that a test may break."""
    with beside(tmp_path_factory.mktemp("connectors")) as folder:
        yield folder


@pytest.fixture
def tenants(folder: Path) -> Path:
    """Give a tenant of Facebook's a journal, and two of Plainpost's."""
    marketing = find_procedure(DEFAULT)
    settings = {"service_domain": "acme-h.cyclr.com"}
    run = open_run(marketing, settings, mode=Mode.INTERACTIVE, tenant="acme", evidence="evidence")
    run.start()
    run.close()
    for tenant in ("acme", "beta"):
        shutil.copytree(folder / "evidence/acme" / DEFAULT, folder / "evidence" / tenant / NAME)
    return folder / "evidence"


def broken(folder: Path, how: str) -> str:
    """Break the connector for a new process, and return what is said of it."""
    act, said = BROKEN[how]
    act(folder)
    forget()
    return said


def line_of(shown: str) -> str:
    return " ".join(shown.split())


def test_the_connector_works_before_it_is_broken(plainpost: Path) -> None:
    """The later tests fail only because of the change that breaks it."""
    assert find_procedure(NAME).id == NAME
    assert broken_connectors() == {}
    assert "RUNBOOK_PLAINPOST_APP_ID" in known_variables()
    assert known_variables().is_complete


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "how"),
    [
        *((("status",), how) for how in BROKEN),
        *((words, "a missing package") for words in OWN_COMMANDS),
        *((words, "the end of the program") for words in OWN_COMMANDS),
    ],
)
def test_its_own_commands_name_the_file(plainpost: Path, words: tuple[str, ...], how: str) -> None:
    """With exit code 2, what is wrong and what to do; no traceback, and no text of an error."""
    said = broken(plainpost, how)

    result = runbook(*words, "--connector", NAME)

    assert result.exit_code == ExitCode.USAGE, result.output
    shown = line_of(result.stderr)
    assert IS_BROKEN in shown
    assert said in shown
    assert f"Next: {wording('connector-broken.correct-that-file')}" in shown
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    assert "\x1b" not in result.output


@each
def test_status_and_inbox_of_others_name_it(plainpost: Path, tenants: Path, how: str) -> None:
    """They say of the others what they said before, and of its tenants why, and what to do."""
    before = json.loads(runbook("status", "--tenant", "acme", "--json").stdout)
    said = broken(plainpost, how)

    status = runbook("status", "--tenant", "acme", "--json")
    document = json.loads(status.stdout)
    unreadable, other = document.pop("states")
    (same,) = [one for one in before.pop("states") if one["connector"] == DEFAULT]
    assert (document, other) == (before, same)
    assert status.exit_code == ExitCode.COMPLETE
    assert (unreadable["tenant"], unreadable["connector"]) == ("acme", NAME)
    (item,) = unreadable["open"]
    assert item["title"] == UNREADABLE
    assert said in item["places"][0]["reason"]
    assert wording("connector-broken.correct-that-file") in item["advice"]
    assert said in line_of(status.stderr)
    inbox = runbook("inbox", "--json")
    rows = json.loads(inbox.stdout)
    assert [(row["tenant"], row["connector"]) for row in rows] == [
        ("acme", NAME),
        ("beta", NAME),
        ("acme", DEFAULT),
    ]
    assert all(said in row["open"][0]["places"][0]["reason"] for row in rows[:2])
    assert said in line_of(inbox.stderr)


def test_other_commands_work_and_name_it(plainpost: Path, tenants: Path) -> None:
    """Texts for people name it, too; commands without a connector work."""
    said = broken(plainpost, "a missing package")

    for words in (("inbox",), ("status",)):
        shown = runbook(*words)
        assert shown.exit_code == ExitCode.COMPLETE
        assert said in line_of(shown.stderr)
        assert UNREADABLE in shown.stdout
    inbox = runbook("inbox").stdout
    status = runbook("status").stdout
    assert said in line_of(inbox)
    assert f"acme, beta (plainpost): {UNREADABLE}" in inbox
    assert wording("connector-broken.correct-that-file") in inbox
    assert "beta (plainpost): needs you" in status
    assert "acme (facebook_marketing)" in status
    assert "beta" in runbook("inbox", "--tenant", "beta").stdout
    assert f"acme (plainpost): {UNREADABLE}" in runbook("status", "--tenant", "acme").stdout
    assert "beta" not in runbook("status", "--tenant", "acme").stdout
    doctor = runbook("doctor", "--json")
    (item,) = [one for one in json.loads(doctor.stdout) if one["subject"] == f"Connector {NAME}"]
    assert said in item["message"]
    assert item["is_warning"]
    assert runbook("init").exit_code == ExitCode.COMPLETE
    assert runbook("explain", "URL Blocked").exit_code == ExitCode.COMPLETE


@each
def test_other_connectors_are_listed(plainpost: Path, tenants: Path, how: str) -> None:
    """The others are found, each with its procedure; why this one is not is kept once."""
    broken(plainpost, how)

    assert {*connector_names()} == {*OWN, NAME}
    assert [*working_procedures()] == [*OWN]
    assert [*broken_connectors()] == [NAME]
    assert [name for name, _ in connector_versions()] == [*OWN]
    read = read_tenants("evidence", utc_now()).statuses
    unusable = [
        (one.tenant, one.connector) for one in read if any(i.stops_checks for i in one.items)
    ]
    assert unusable == [("acme", NAME), ("beta", NAME)]
    assert len(read) == len(unusable) + 1
    with pytest.raises(BrokenConnectorError):
        find_procedure(NAME)


def test_an_interruption_is_none_of_its_faults(plainpost: Path) -> None:
    """Ctrl+C during the loading ends the command."""
    first("inputs.py", "raise KeyboardInterrupt")(plainpost)

    with pytest.raises(KeyboardInterrupt):
        find_procedure(NAME)


def test_shared_folders_are_no_connectors() -> None:
    """Shared folders have no procedure, and need none."""
    assert {"facebook_marketing", "facebook_messenger"} <= {*connector_names()}
    assert not {"facebook", "cyclr"} & {*connector_names()}


# --- settings ---------------------------------------------------------------------------------
@pytest.mark.parametrize("how", WITHOUT_INPUTS)
def test_its_settings_stop_nobody_else(plainpost: Path, folder: Path, how: str) -> None:
    """The names are unknown while its inputs are broken: a variable may be one of them."""
    Path(".env").touch(mode=0o600)
    Path(".env").write_text(
        "RUNBOOK_PLAINPOST_APP_ID=x\nRUNBOOK_FACEBOOK_OF_PLAINPOST=y\n"
        "RUNBOOK_CYCLR_SERVICE_DOMAIN=acme-h.cyclr.com\n"
    )
    with refused(SettingsError, "unknown-variable", name="RUNBOOK_FACEBOOK_OF_PLAINPOST"):
        open_run(find_procedure(DEFAULT), {}, mode=Mode.HEADLESS, tenant="acme")
    broken(plainpost, how)

    run = open_run(find_procedure(DEFAULT), {}, mode=Mode.HEADLESS, tenant="acme")
    run.close()
    assert run.values["service_domain"] == "acme-h.cyclr.com"
    assert not known_variables().is_complete
    with refused(SettingsError, "no-such-parameter", name="app_idd"):
        open_run(find_procedure(DEFAULT), {"app_idd": "1"}, mode=Mode.HEADLESS, tenant="acme")


@pytest.mark.parametrize("how", ["", *WITHOUT_INPUTS])
def test_a_practice_server_gets_none_of_its_settings(plainpost: Path, how: str) -> None:
    """Whether or not their names are known."""
    if how:
        broken(plainpost, how)
    kept = {"PATH": "/bin", "RUNBOOK_TENANT": "acme", "RUNBOOK_FOUR_EYES": "all"}

    assert practice_environment({"RUNBOOK_PLAINPOST_APP_SECRET": SECRET, **kept}) == kept


def test_known_variables_are_a_set() -> None:
    """Only those that are not complete may have others, and never a command's own."""
    known = KnownVariables({"RUNBOOK_A"})
    partial = KnownVariables({"RUNBOOK_A"}, is_complete=lambda: False)

    assert known == {"RUNBOOK_A"} == partial
    assert [x for x in ("RUNBOOK_A", "RUNBOOK_B", "PATH") if known.may_have(x)] == ["RUNBOOK_A"]
    assert partial.may_have("RUNBOOK_B")
    assert not any(map(partial.may_have, ("PATH", "RUNBOOK_TENANT", "RUNBOOK_EVIDENCE")))


# --- notebooks and fleets ---------------------------------------------------------------------
def test_the_notebooks_of_the_others_are_built(plainpost: Path, folder: Path) -> None:
    """The command names the broken one, with exit code 2; alone, another one's succeeds."""
    broken(plainpost, "a slip in its TOML")

    every = runbook("notebooks")
    assert every.exit_code == ExitCode.USAGE
    assert every.stdout.splitlines() == [f"built: {name}.ipynb" for name in OWN]
    assert "plainpost/steps.toml" in every.stderr
    assert runbook("notebooks", "--connector", DEFAULT).exit_code == ExitCode.COMPLETE
    assert runbook("notebooks", "--connector", NAME).exit_code == ExitCode.USAGE


def test_the_server_of_a_fleet_starts(plainpost: Path) -> None:
    """The server loads all connectors but the broken one."""
    broken(plainpost, "the end of the program")
    procedures = working_procedures()

    for name in procedures:
        registry.load_texts([name])
    with pytest.raises(BrokenConnectorError):
        registry.load_texts()


TOML = f"""
[defaults]
service_domain = "acme-h.cyclr.com"
of_plainpost = "x"

[[tenant]]
tenant = "acme"

[[tenant]]
tenant = "beta"
connector = "{NAME}"
region = "eu"
secrets = {{app_secret = "env:BETA"}}
"""


def test_a_file_of_tenants_may_name_it(plainpost: Path, folder: Path) -> None:
    """Its tenants are named with why; the others are read, and a slip of theirs is one still."""
    broken(plainpost, "a missing package")
    path = folder / "t.toml"
    path.write_text(TOML)

    read = read_fleet_file(path, working_procedures(), DEFAULT, broken_connectors())

    assert [(one.tenant, one.procedure.id) for one in read.tenants] == [("acme", DEFAULT)]
    (said,) = read.unusable
    assert f"beta: {IS_BROKEN} (plainpost/inputs.py, line 1)" in said
    path.write_text(TOML.replace('tenant = "acme"', 'tenant = "acme"\nregion = "x"'))
    with pytest.raises(FleetFileError) as caught:
        read_fleet_file(path, working_procedures(), DEFAULT, broken_connectors())
    assert [
        wording("tenants-file-invalid.name-not-known", key="region") in line
        for line in caught.value.mistakes
    ] == [True]


def test_a_fleet_with_its_tenants_is_refused_and_a_watch_goes_on(
    plainpost: Path, tenants: Path
) -> None:
    """A fleet is validated as a whole; a watch looks at the others, and says who is left out."""
    broken(plainpost, "a missing package")
    path = Path("t.toml")
    path.write_text(TOML)

    fleet = runbook("fleet", "t.toml")
    watch = runbook("watch", "t.toml", "--once", "--connector", NAME)

    assert fleet.exit_code == ExitCode.USAGE
    assert f"beta: {IS_BROKEN}" in line_of(fleet.stderr)
    assert wording("connector-broken.fleet-names-it") in fleet.stderr
    assert watch.exit_code == ExitCode.INCOMPLETE, watch.output
    assert f"beta: {IS_BROKEN}" in line_of(watch.stderr)
    page = (tenants / "index.html").read_text()
    assert "acme" in page
    path.write_text('[[tenant]]\ntenant = "acme"\nservice_domain = "acme-h.cyclr.com"\n')
    assert "plainpost" not in runbook("watch", "t.toml", "--once").output
