"""What the metadata of installed packages says of their connectors; nothing of them is imported."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbook_lib.connectors import connector_packages, registry
from runbook_lib.connectors.connector_packages import PackagedConnector, packaged_connectors
from runbook_lib.connectors.registry import (
    broken_connectors,
    connector_names,
    find_procedure,
    package_of,
    packaged_names,
    require_connector,
    working_procedures,
)
from runbook_lib.engine.doctor import _connectors
from runbook_lib.errors import BrokenConnectorError, SettingsError
from tests.support.wording import refused, wording

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
        source: Path | None = None,
    ) -> Path:
        home = (source or site) / folder
        home.mkdir(parents=True, exist_ok=True)
        for file in ("__init__.py", "procedure.py", "inputs.py"):
            (home / file).write_text("raise RuntimeError('it was loaded')\n")
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        metadata = ("Metadata-Version: 2.1", f"Name: {distribution}", "Version: 1.0", "")
        (info / "METADATA").write_text("\n".join(metadata))
        (info / "entry_points.txt").write_text(f"[runbook_connectors]\n{name} = {module}\n")
        files = [] if source else sorted(home.rglob("*.py"))
        rows = [f"{path.relative_to(site)},," for path in files]
        (info / "RECORD").write_text("\n".join([*rows, f"{info.name}/METADATA,,", ""]))
        if source:
            (info / "direct_url.json").write_text(
                json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}})
            )
            (site / "plainmark.pth").write_text(f"{source}\n")
            monkeypatch.syspath_prepend(source)
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


def found() -> PackagedConnector:
    """Return the only packaged connector."""
    (connector,) = packaged_connectors().values()
    return connector


def test_it_is_found_and_not_loaded(install: Install) -> None:
    """Its name and package come from metadata; no list of the runbook's own connectors has it."""
    folder = install()

    require_connector(NAME)
    package = package_of(NAME)
    assert packaged_names() == (NAME,)
    assert NAME not in connector_names()
    assert NAME not in working_procedures()
    assert found().folder == folder
    assert package is not None
    assert (package.name, package.version, package.is_editable) == (
        "runbook-plainmark",
        "1.0",
        False,
    )
    assert NAME not in sys.modules


def test_what_its_code_raises_is_its_fault_alone(install: Install) -> None:
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
        ([{"folder": "elsewhere"}], "no-module"),
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
    (item,) = [item for item in _connectors() if NAME in item.subject]
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
    (item,) = [item for item in _connectors() if own in item.subject]
    assert item.is_warning
    assert "runbook-plainmark" in item.message


def test_the_digest_is_about_files_and_names(install: Install) -> None:
    """Each byte, each name and each further file counts; bytecode does not."""
    folder = install()
    first = found().package().digest

    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/x.pyc").write_bytes(b"1")
    assert found().package().digest == first
    changed = {first}
    (folder / "procedure.py").write_text("raise RuntimeError('it was Loaded')\n")
    changed.add(found().package().digest)
    (folder / "procedure.py").rename(folder / "procedures.py")
    changed.add(found().package().digest)
    (folder / "not_listed.py").write_text("")
    changed.add(found().package().digest)
    assert len(changed) == 4


def test_an_editable_one_is_digested_where_it_is(install: Install, tmp_path: Path) -> None:
    """It lists no file of its own, so the folder counts that its entry point names."""
    folder = install(source=tmp_path / "work")
    first = found().package()

    (folder / "inputs.py").write_text("changed")
    assert first.is_editable
    assert "editable" in str(first)
    assert found().package().digest != first.digest


def test_a_part_of_a_package_is_found_without_loading_it(install: Install) -> None:
    """The entry point may name a module below another package."""
    folder = install(folder=f"{NAME}/{NAME}", module=f"{NAME}.{NAME}")

    assert found().folder == folder
    found().require_usable()
    assert NAME not in sys.modules


def test_an_unknown_one_is_refused(install: Install) -> None:
    """The message names the known ones, with those of packages."""
    install()

    with pytest.raises(SettingsError) as caught:
        require_connector("plainmarc")
    assert NAME in caught.value.diagnostics()
    assert NAME in str(caught.value)
