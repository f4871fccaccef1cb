"""What the metadata of installed packages says of their connectors; nothing of them is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbook_lib.connectors import connector_packages, registry
from runbook_lib.connectors.connector_packages import packaged_connectors
from runbook_lib.connectors.registry import (
    broken_connectors,
    connector_names,
    find_procedure,
    package_of,
    packaged_names,
    require_connector,
    working_procedures,
)
from runbook_lib.engine.doctor import _examine_connectors
from runbook_lib.errors import BrokenConnectorError, SettingsError
from tests.support.wording import refused, refused_naming, wording

NAME = "plainmark"
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a package as pip leaves it, with a connector that raises."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    forget()

    def put(
        distribution: str = "runbook-plainmark",
        *,
        name: str = NAME,
        module: str = NAME,
        folder: str = NAME,
    ) -> Path:
        home = site / folder
        home.mkdir(parents=True, exist_ok=True)
        for file in ("__init__.py", "procedure.py", "inputs.py"):
            (home / file).write_text("raise RuntimeError('it was loaded')\n")
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        metadata = ("Metadata-Version: 2.1", f"Name: {distribution}", "Version: 1.0", "")
        (info / "METADATA").write_text("\n".join(metadata))
        (info / "entry_points.txt").write_text(f"[runbook_connectors]\n{name} = {module}\n")
        forget()
        return home

    yield put
    forget()


def forget() -> None:
    """Forget what was read of packages, and what was loaded of them."""
    for kept in (packaged_connectors, registry._load_procedure, registry._load_inputs):
        kept.cache_clear()
    connector_packages.LOADED.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def test_it_is_found_and_not_loaded(install: Install) -> None:
    """Its name and package come from metadata; no list of the runbook's own connectors has it."""
    install()

    require_connector(NAME)
    package = package_of(NAME)
    assert packaged_names() == (NAME,)
    assert NAME not in connector_names()
    assert NAME not in working_procedures()
    assert package is not None
    assert (package.name, package.version) == ("runbook-plainmark", "1.0")
    assert NAME not in sys.modules


def test_an_error_of_its_code_stops_no_other_connector(install: Install) -> None:
    """A command that names it is refused; no other one notices."""
    install()

    with pytest.raises(BrokenConnectorError) as caught:
        find_procedure(NAME)
    assert "RuntimeError" in str(caught.value)
    assert broken_connectors() == {}
    assert [*broken_connectors([NAME])] == [NAME]


@pytest.mark.parametrize(
    ("packages", "reason"),
    [
        ([{}, {"distribution": "runbook-second"}], "several-packages"),
        ([{"module": "other"}], "entry-point-name"),
    ],
)
def test_an_unusable_one_is_refused_before_it_is_loaded(
    install: Install, packages: list[dict[str, str]], reason: str
) -> None:
    """It is named with the reason, also by `doctor`."""
    for package in packages:
        install(**package)

    with refused(BrokenConnectorError, reason):
        find_procedure(NAME)
    (item,) = [item for item in _examine_connectors() if NAME in item.subject]
    assert item.is_warning
    assert wording(f"connector-broken.{reason}") in item.message
    assert NAME not in sys.modules


def test_no_package_replaces_an_own_connector(install: Install) -> None:
    """A package with the name of an own connector is ignored, and `doctor` says so."""
    own = connector_names()[0]
    install(name=own, module=own)

    assert package_of(own) is None
    assert packaged_names() == ()
    assert find_procedure(own).id == own
    (item,) = [item for item in _examine_connectors() if own in item.subject]
    assert item.is_warning
    assert "runbook-plainmark" in item.message


def test_an_entry_points_file_that_cannot_be_read_stops_nothing_else(install: Install) -> None:
    """Its package is named with the reason; connectors and other packages work."""
    home = install("runbook-broken")
    info = home.parent / "runbook_broken-1.0.dist-info"
    (info / "entry_points.txt").write_text("[runbook_connectors]\nplainmark\n")
    install("runbook-second")

    assert "runbook-broken" in packaged_names()
    assert package_of(NAME) is not None
    assert find_procedure(connector_names()[0])
    (item,) = [item for item in _examine_connectors() if "runbook-broken" in item.subject]
    assert item.is_warning
    with refused_naming(BrokenConnectorError, "entry_points.txt"):
        find_procedure("runbook-broken")


def test_an_unknown_one_is_refused(install: Install) -> None:
    """The message names the known ones, with those of packages."""
    install()

    with pytest.raises(SettingsError) as caught:
        require_connector("plainmarc")
    assert NAME in caught.value.diagnostics()
    assert NAME in str(caught.value)
