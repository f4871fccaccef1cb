"""What connectors use a permission for, from their `uses.toml`; `review_kit` makes a kit of it."""

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
    rename={"made": "calls", "tried": "test_calls", "needed": "depends_on"},
):
    """
    How a connector uses a permission or a feature.

    `usage` is the text for App Review, `scene` what the recording must show of it.
    """

    usage: Text
    scene: Text
    source: Text
    made: str = ""
    tried: str = ""
    needed: str = ""
    is_feature: bool = False
    name: str = ""

    @property
    def calls(self) -> tuple[PermissionCall, ...]:
        """Return the calls that the connector makes, then those that a person can make."""
        calls = [(text, False) for text in items(self.made)]
        calls += [(text, True) for text in items(self.tried)]
        parts = (([*text.split(" | "), ""], is_test) for text, is_test in calls)
        return tuple(PermissionCall(text[0], text[1], text[2], is_test) for text, is_test in parts)

    @property
    def depends_on(self) -> tuple[Dependency, ...]:
        """Return what must be asked for beside it."""
        parts = (text.partition(" | ") for text in items(self.needed))
        return tuple(Dependency(name, why) for name, _, why in parts)


class ConnectorUses(Struct, frozen=True, kw_only=True):
    """
    What one connector uses each permission for, in the order in which a recording shows it.

    `purpose` says what the app does, `end` what the recording and the reviewer see last; `trigger`
    makes it happen.
    """

    title: Text
    purpose: Text
    choice: Text
    trigger: Text
    end: Text
    uses: tuple[PermissionUse, ...] = ()

    def find(self, name: str) -> PermissionUse | None:
        """Return the use of the permission `name`, if there is one."""
        return next((use for use in self.uses if use.name == name), None)


@cache
def permission_uses(connector: str) -> ConnectorUses:
    """Return what the connector uses each permission for, and what all connectors do."""
    _, shared = _read(_FOLDER)
    texts, own = _read(_FOLDER.parent / connector)
    read = TomlTable(_FOLDER.parent / connector / "uses.toml").read(texts, ConnectorUses)
    return structs.replace(read, uses=(*shared, *own))


def _read(folder: Path) -> tuple[dict[str, Any], tuple[PermissionUse, ...]]:
    """Return what the `uses.toml` of a folder says, and each use in it."""
    place = TomlTable(folder / "uses.toml")
    document = place.filled(read_file(place.path), read_sources(_FOLDER))
    place.blanks("purpose", str(document.get("purpose", "")), {"app": "", "domain": ""})
    tables = TomlTable(place.path, "uses").read(document.pop("uses", {}), dict[str, Any])
    return document, tuple(
        _use(TomlTable(place.path, f"uses.{name}"), name, table) for name, table in tables.items()
    )


def _use(place: TomlTable, name: str, table: object) -> PermissionUse:
    use = place.read(table, PermissionUse)
    place.blanks("usage", use.usage, {"app": ""})
    for key, text in (("calls", use.made), ("test_calls", use.tried), ("depends_on", use.needed)):
        place.pairs(key, text)
    return structs.replace(use, name=name)
