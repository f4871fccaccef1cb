"""The settings file that `runbook init` writes: every setting, explained, to be filled in."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from runbook_lib.config.env_file import env_template, write_env_file
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import read_env_file, resolve
from runbook_lib.connectors.registry import connector_names, find_procedure, known_variables
from runbook_lib.core.procedure import Procedure
from runbook_lib.errors import SettingsError
from tests.support.wording import refused, wording

PROCEDURES = [find_procedure(name) for name in connector_names()]

procedures = pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda each: each.id)


@procedures
def test_it_names_every_setting_with_its_help(procedure: Procedure) -> None:
    """The template has a line for every setting with its help text, and no values."""
    text = env_template(procedure, ".env")

    for item in inputs_of(procedure):
        assert len(re.findall(rf"^(# )?{item.variable}=", text, flags=re.MULTILINE)) == 1
        assert item.help, f"give the input {item.name} a `help`"
        assert item.help.split()[0] in text
    assert not re.search(r"^RUNBOOK_\w+=.+$", text, flags=re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 110


@procedures
def test_it_begins_with_the_four_settings_that_matter(procedure: Procedure) -> None:
    """Domain and the app's name, ID and secret come first; a line tells most people to stop."""
    has_name = any(item.name == "app_display_name" for item in inputs_of(procedure))
    first, line, _ = env_template(procedure, ".env").partition(
        wording("screens.most-people-never-need")
    )

    assert line
    names = re.findall(r"^RUNBOOK_(\w+)=", first, flags=re.MULTILINE)
    app_name = ("APP_DISPLAY_NAME",) if has_name else ()
    wanted = ("SERVICE_DOMAIN", *app_name, "APP_ID", "APP_SECRET")
    assert len(names) == len(wanted)
    assert all(name.endswith(end) for name, end in zip(names, wanted, strict=True))


@procedures
def test_it_can_be_used_as_it_is(procedure: Procedure, tmp_path: Path) -> None:
    """The template loads unchanged: an empty value means not known yet."""
    path = write_env_file(tmp_path / "x.env", procedure)
    settings = resolve(
        inputs_of(procedure),
        given={},
        env_file=read_env_file(path),
        environ={},
        connector=procedure.id,
        others=known_variables(),
    )

    assert (dict(settings.values), dict(settings.secrets)) == ({}, {})


@procedures
def test_every_uncommented_line_is_a_setting(procedure: Procedure, tmp_path: Path) -> None:
    """A line without its comment mark sets the default value."""
    path = write_env_file(tmp_path / "x.env", procedure)
    text = re.sub(r"^# (RUNBOOK_\w+=)", r"\1", path.read_text("utf-8"), flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    settings = resolve(
        inputs_of(procedure),
        given={},
        env_file=read_env_file(path),
        environ={},
        connector=procedure.id,
        others=known_variables(),
    )

    for item in inputs_of(procedure):
        if item.default not in (None, ()):
            assert settings.values[item.name] == item.default


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """The file is written with mode 0600, because it will hold credentials."""
    path = write_env_file(tmp_path / ".env", PROCEDURES[0])

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_env_file(path)


@pytest.mark.parametrize("put", ["text", "link", "folder"])
def test_an_existing_path_is_not_changed(tmp_path: Path, put: str) -> None:
    """If the path exists, as a file, link or folder, an error is raised and nothing is changed."""
    path = tmp_path / ".env"
    if put == "text":
        path.write_text("RUNBOOK_FACEBOOK_APP_ID=1\n", encoding="utf-8")
    elif put == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.mkdir()

    with refused(SettingsError, "exists") as caught:
        write_env_file(path, PROCEDURES[0])

    assert "--output" in caught.value.diagnostics()
    assert list(tmp_path.iterdir()) == [path]
    assert put != "text" or path.read_text(encoding="utf-8") == "RUNBOOK_FACEBOOK_APP_ID=1\n"


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """A missing folder raises `SettingsError`."""
    with refused(SettingsError, "env-not-writable"):
        write_env_file(tmp_path / "nowhere" / ".env", PROCEDURES[0])
