"""The connectors' uses of permissions, from their `uses.toml`; `review_kit` makes a kit of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct, structs

from runbook_lib.connectors.review_kit import PermissionCall
from runbook_lib.connectors.texts import Text, TomlTable, items, read_file, read_sources

_FOLDER = Path(__file__).parent


class Dependency(NamedTuple):
    """Another permission that Facebook demands beside this one, and why."""

    name: str
    why: str


class PermissionUse(
    Struct,
    frozen=True,
    kw_only=True,
    rename={
        "call_lines": "calls",
        "test_call_lines": "test_calls",
        "dependency_lines": "depends_on",
    },
):
    """A connector's use of a permission or a feature."""

    usage: Text
    """The text for App Review; `{app}` stands for the app's name."""

    scene: Text
    """The part of the recording that shows the use."""

    source: Text
    """The pages or readings that it was taken from, separated by `; `."""

    call_lines: str = ""
    """List of the calls that the connector makes: request, purpose, method (key `calls`)."""

    test_call_lines: str = ""
    """List of the test calls that a person can make: request, purpose (key `test_calls`)."""

    dependency_lines: str = ""
    """List of the permissions that Facebook demands too, with reasons (key `depends_on`)."""

    is_feature: bool = False
    """Whether it is a feature, not a permission."""

    name: str = ""
    """Name of the permission: the name of its table."""

    @property
    def calls(self) -> tuple[PermissionCall, ...]:
        """The calls that the connector makes, then the test calls that a person can make."""
        calls = [(text, False) for text in items(self.call_lines)]
        calls += [(text, True) for text in items(self.test_call_lines)]
        parts = (([*text.split(" | "), ""], is_test) for text, is_test in calls)
        return tuple(PermissionCall(text[0], text[1], text[2], is_test) for text, is_test in parts)

    @property
    def depends_on(self) -> tuple[Dependency, ...]:
        """The permissions that must be requested together with it."""
        parts = (text.partition(" | ") for text in items(self.dependency_lines))
        return tuple(Dependency(name, why) for name, _, why in parts)


class ConnectorUses(Struct, frozen=True, kw_only=True):
    """A connector's uses of permissions: the content of its `uses.toml`."""

    title: Text
    """Title of the connector in the texts for the review."""

    purpose: Text
    """A sentence about the purpose of the app; names `{app}` and `{domain}`."""

    choice: Text
    """The objects that a user chooses at sign-in, such as pages."""

    trigger: Text
    """The action that makes the app transfer data."""

    end: Text
    """The result that the recording and the reviewer see last."""

    uses: tuple[PermissionUse, ...] = ()
    """The uses in the order of the recording: the shared ones first."""

    def find(self, name: str) -> PermissionUse | None:
        """Return the use of the permission `name`, if there is one."""
        return next((use for use in self.uses if use.name == name), None)


@cache
def permission_uses(connector: str) -> ConnectorUses:
    """Return the connector's uses of permissions, after the shared ones."""
    _, shared = _read_uses_file(_FOLDER)
    texts, own = _read_uses_file(_FOLDER.parent / connector)
    connector_uses = TomlTable(_FOLDER.parent / connector / "uses.toml").read(texts, ConnectorUses)
    return structs.replace(connector_uses, uses=(*shared, *own))


def _read_uses_file(folder: Path) -> tuple[dict[str, Any], tuple[PermissionUse, ...]]:
    """Return the texts in the `uses.toml` of a folder, and each use in it."""
    place = TomlTable(folder / "uses.toml")
    document = place.filled(read_file(place.path), read_sources(_FOLDER))
    place.blanks("purpose", str(document.get("purpose", "")), {"app": "", "domain": ""})
    tables = TomlTable(place.path, "uses").read(document.pop("uses", {}), dict[str, Any])
    return document, tuple(
        _read_use(TomlTable(place.path, f"uses.{name}"), name, table)
        for name, table in tables.items()
    )


def _read_use(place: TomlTable, name: str, table: object) -> PermissionUse:
    use = place.read(table, PermissionUse)
    place.blanks("usage", use.usage, {"app": ""})
    for key, text in (
        ("calls", use.call_lines),
        ("test_calls", use.test_call_lines),
        ("depends_on", use.dependency_lines),
    ):
        place.pairs(key, text)
    return structs.replace(use, name=name)
