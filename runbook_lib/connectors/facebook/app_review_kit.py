"""
The review kit for App Review: permissions and names in, a `Kit` out. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from msgspec import Struct

from runbook_lib.connectors.facebook.permission_uses import (
    ConnectorUses,
    PermissionUse,
    permission_uses,
)
from runbook_lib.connectors.review_kit import (
    Kit,
    KitPermission,
    PermissionReason,
    Preparation,
    RecordingScene,
)
from runbook_lib.connectors.texts import Text, TomlTable, items, read_file, read_sources
from runbook_lib.core.model import Value
from runbook_lib.text import one_line

_PUBLIC_PROFILE = "public_profile"
_NO_APP_NAME = "‹App Display Name›"
_NO_DOMAIN = "‹Service Domain›"
_LONGEST_NAME = 200

_PLACE = TomlTable(Path(__file__).with_suffix(".toml"))
# The names in braces that its texts may use.
_BLANKS = ("app", "connector", "choice", "trigger", "end", "names")


class _KitTexts(Struct):
    """The whole `app_review_kit.toml`."""

    server_to_server: Text
    """Paragraph about Cyclr's access without a user; names `{app}` and `{domain}`."""

    declined: Text
    """A sentence: why most submissions are declined."""

    rules: Text
    """List of rules for the recording."""

    renewal: Text
    """List of the parts of Data Access Renewal, each with advice behind ` | `."""

    sources: Text
    """List of addresses of the pages that the texts were taken from."""

    begin: Text
    """List of the first scenes, each with a caption behind ` | `; the last is the consent."""

    end: Text
    """List of the last scenes, each with a caption behind ` | `."""

    reviewer: Text
    """List of the reviewer's steps."""


@cache
def _read_kit_texts() -> _KitTexts:
    document = _PLACE.filled(read_file(_PLACE.path), read_sources(_PLACE.path.parent))
    read = _PLACE.read(document, _KitTexts)
    _PLACE.blanks("server_to_server", read.server_to_server, {"app": "", "domain": ""})
    for key in ("begin", "end", "reviewer"):
        _PLACE.blanks(key, getattr(read, key), dict.fromkeys(_BLANKS))
    return read


def kit_of(connector: str, values: Mapping[str, Value]) -> Kit:
    """Return the kit of `connector` for the known `values` of a run."""
    permissions = values.get("permissions", ())
    # The chosen name, else the app's name at Facebook.
    app_name = values.get("app_display_name") or values.get("app_name", "")
    return review_kit(
        permissions if isinstance(permissions, tuple) else (),
        app_name=str(app_name),
        service_domain=str(values.get("service_domain", "")),
        connector=connector,
    )


def review_kit(
    permissions: tuple[str, ...],
    *,
    app_name: str,
    service_domain: str,
    connector: str,
) -> Kit:
    """
    Return the kit for `permissions` of `connector`, with all their dependencies.

    Unknown names and domains become blanks to fill in; an unknown permission
    gets a warning and a blank text.
    """
    texts = _read_kit_texts()
    uses = permission_uses(connector)
    app = one_line(app_name.strip())[:_LONGEST_NAME] or _NO_APP_NAME
    domain = one_line(service_domain.strip())[:_LONGEST_NAME] or _NO_DOMAIN
    chosen = tuple(dict.fromkeys((_PUBLIC_PROFILE, *permissions)))
    parts = tuple(
        _kit_permission(name, uses, chosen, reasons, app)
        for name, reasons in _with_reasons(chosen, uses).items()
    )
    blanks = _values_of_blanks(parts, uses, app)
    unknown = [
        blank for blank, name in ((_NO_APP_NAME, app), (_NO_DOMAIN, domain)) if name == blank
    ]
    named = [source for part in parts for source in part.source.split("; ") if source]
    return Kit(
        review="Facebook’s App Review",
        access_level="Advanced Access",
        declined=texts.declined,
        connector=uses.title,
        app_name=app,
        service_domain=domain,
        warnings=tuple(_all_warnings(parts, uses)),
        about=tuple(
            text.format(app=app, domain=domain) for text in (uses.purpose, texts.server_to_server)
        ),
        permissions=parts,
        rules=tuple(items(texts.rules)),
        scenes=_scenes(parts, uses, blanks),
        reviewer=tuple(text.format_map(blanks) for text in items(texts.reviewer)),
        prepare_for="Data Access Renewal, if Facebook asks for it",
        prepare=tuple(Preparation(*part) for part in _PLACE.pairs("renewal", texts.renewal)),
        sources=tuple(dict.fromkeys((*items(texts.sources), *named))),
        unknown=tuple(blank.strip("‹›") for blank in unknown),
    )


def _with_reasons(
    chosen: tuple[str, ...], uses: ConnectorUses
) -> dict[str, tuple[PermissionReason, ...]]:
    """Return each chosen permission and its dependencies, with the permissions that need it."""
    reasons: dict[str, list[PermissionReason]] = {name: [] for name in chosen}
    waiting = list(chosen)
    while waiting:
        name = waiting.pop(0)
        use = uses.find(name)
        for dependency in use.depends_on if use else ():
            if dependency.name not in reasons:
                reasons[dependency.name] = []
                waiting.append(dependency.name)
            reasons[dependency.name].append(PermissionReason(name, dependency.why))
    return {name: tuple(reasons) for name, reasons in reasons.items()}


def _kit_permission(
    name: str,
    uses: ConnectorUses,
    chosen: tuple[str, ...],
    reasons: tuple[PermissionReason, ...],
    app: str,
) -> KitPermission:
    use = uses.find(name)
    text = use.usage if use else "‹Say what {app} does with this permission, and for whom.›"
    return KitPermission(
        name=name,
        is_feature=use.is_feature if use else False,
        is_chosen=name in chosen,
        reasons=reasons,
        usage=text.format(app=app),
        calls=use.calls if use else (),
        scene=use.scene if use else "‹Say what the recording shows of it.›",
        warning=_warning_about(name, use, uses, reasons),
        source=use.source if use else "",
    )


def _warning_about(
    name: str, use: PermissionUse | None, uses: ConnectorUses, reasons: tuple[PermissionReason, ...]
) -> str:
    if use is None:
        return (
            f"We know of nothing in the {uses.title} connector that uses {name}. Facebook declines "
            "unused permissions: leave it out, or explain and show its use yourself."
        )
    if all(call.is_test for call in use.calls):
        names = " and ".join(asking.name for asking in reasons)
        reason = f"You request it because {names} depends on it. " if reasons else ""
        return (
            f"We know of no call of the {uses.title} connector that needs {name}. {reason}Facebook "
            "wants to see one call with it before the submission: make the test call, and show in "
            "the recording what the person chooses."
        )
    return ""


def _all_warnings(parts: tuple[KitPermission, ...], uses: ConnectorUses) -> list[str]:
    warnings = [part.warning for part in parts if part.warning]
    added = [part.name for part in parts if not part.is_chosen]
    if added:
        names = ", ".join(added)
        warnings.append(
            f"The chosen permissions also need these: {names}. Facebook offers the "
            "chosen ones only together with these: request all in the same submission."
        )
    if [part.name for part in parts] == [_PUBLIC_PROFILE]:
        warnings.append(
            "You chose only public_profile, which needs no review. With it alone, the connector "
            "reads no customer data."
        )
    if parts and not any(call.method for part in parts for call in part.calls):
        warnings.append(
            f"Cyclr documents no method of the {uses.title} connector for the calls of these "
            "permissions: show each call in your own workflow."
        )
    return warnings


def _scenes(
    parts: tuple[KitPermission, ...], uses: ConnectorUses, values: Mapping[str, str]
) -> tuple[RecordingScene, ...]:
    story = [use.name for use in uses.uses]
    used = sorted(
        (part for part in parts if not part.is_feature),
        key=lambda part: story.index(part.name) if part.name in story else len(story),
    )
    begin, end = (
        [
            RecordingScene(shows.format_map(values), caption.format_map(values))
            for shows, caption in _PLACE.pairs(key, getattr(_read_kit_texts(), key))
        ]
        for key in ("begin", "end")
    )
    permissions = tuple(part.name for part in parts if not part.is_feature)
    consent = replace(begin.pop(), permissions=permissions)
    of_permissions = (
        RecordingScene(part.scene, f"{part.name} is used here.", (part.name,)) for part in used
    )
    return (*begin, consent, *of_permissions, *end)


def _values_of_blanks(
    parts: tuple[KitPermission, ...], uses: ConnectorUses, app: str
) -> dict[str, str]:
    names = ", ".join(part.name for part in parts if not part.is_feature)
    values = (app, uses.title, uses.choice, uses.trigger, uses.end, names)
    return dict(zip(_BLANKS, values, strict=True))
