"""
What the review kit says for App Review: permissions and names in, a `Kit` out. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from runbook_lib.connectors.facebook.permission_uses import ConnectorUses, Use
from runbook_lib.connectors.facebook.sources import RENEWAL, SUBMISSION
from runbook_lib.connectors.review_kit import Because, Kit, KitPermission, Preparation, Shot
from runbook_lib.core.model import Value
from runbook_lib.plain_text import one_line

_PUBLIC_PROFILE = "public_profile"
_NO_APP_NAME, _NO_DOMAIN = "‹App Display Name›", "‹Service Domain›"
_LONGEST_NAME = 200

_DECLINED = (
    "What Facebook declines, it nearly always declines as “Screencast Not Aligned with Use Case "
    "Details” (Developer Policy 1.6)."
)
# That objection names these; what a first consent must show, two readings of a submission that was
# approved after it (2026-07-17).
_RULES = (
    "Begin signed out of Facebook.",
    "Record the whole Meta login, from the button in ‹our product› to the return to it.",
    (
        "Show the first consent. Who consented before gets a short page without the list: press "
        "Edit settings there (or remove the app from the account first), and the list is back."
    ),
    "Show the grant screen long enough to read each permission on it; open the list of details.",
    "Show which page and account the customer chooses, and at the end what comes of it.",
    "Show each permission in use, from the choice to the result, in the app that is submitted.",
    "Say in English captions, or by voice, what is seen; set Facebook and your pages to English.",
    "Say on screen and in the text that the app works from server to server.",
    "Use test data: no real customer's name, address or lead. Cover passwords and tokens.",
)
# Its page of the content, read in November 2026; what each section asks in our own words.
_RENEWAL_CONTENT = f"{RENEWAL}/content"
_RENEWAL = (
    Preparation(
        "Business connection",
        "Connect the app with your company's business portfolio. One that is not verified must "
        "pass Business Verification first.",
    ),
    Preparation(
        "Allowed usage",
        "Certify that the app uses each permission, feature and API with Advanced Access only as "
        "it is allowed. Remove what the app does not need.",
    ),
    Preparation(
        "Data handling",
        "List the processors and service providers that receive personal data from Meta, and in "
        "which countries; have at hand how you answer requests of public authorities. Ask your "
        "legal and privacy people.",
    ),
    Preparation(
        "Data protection",
        "Asked of some apps only: what the app is for, with whom data is shared, how it is deleted "
        "and how it is secured.",
    ),
    Preparation(
        "Reviewer instructions",
        "Say where the app is opened, and how a reviewer reaches every part of it: what stands "
        "above as steps for the reviewer, with test credentials in Facebook's form only.",
    ),
)
_POLICY = "https://developers.facebook.com/devpolicy/"
_SERVER_TO_SERVER = (
    "https://developers.facebook.com/docs/app-review/resources/sample-submissions/server-to-server"
)


def permission_uses(connector: str) -> ConnectorUses:
    """Return what the connector uses each permission for, from its package."""
    uses: ConnectorUses = import_module(f"runbook_lib.connectors.{connector}.permission_uses").USES
    return uses


def kit_of(connector: str, values: Mapping[str, Value]) -> Kit:
    """Return the kit of `connector` for the known `values` of a run."""
    permissions = values.get("permissions", ())
    return review_kit(
        permissions if isinstance(permissions, tuple) else (),
        app_name=str(values.get("app_display_name", "")),
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
    Return the kit for `permissions` of `connector`, with all that they depend on.

    Unknown names and domains become blanks to fill in; an unknown permission
    gets a warning and a blank text.
    """
    uses = permission_uses(connector)
    app = one_line(app_name.strip())[:_LONGEST_NAME] or _NO_APP_NAME
    domain = one_line(service_domain.strip())[:_LONGEST_NAME] or _NO_DOMAIN
    chosen = tuple(dict.fromkeys((_PUBLIC_PROFILE, *permissions)))
    parts = tuple(
        _part(name, uses, chosen, because, app) for name, because in _wanted(chosen, uses).items()
    )
    named = [source for part in parts for source in part.source.split("; ") if source]
    return Kit(
        review="Facebook’s App Review",
        declined=_DECLINED,
        connector=uses.title,
        app_name=app,
        service_domain=domain,
        warnings=tuple(_warnings(parts, uses)),
        about=tuple(
            text.format(app=app, domain=domain) for text in (uses.purpose, uses.server_to_server)
        ),
        permissions=parts,
        rules=_RULES,
        shots=_shots(parts, uses, app),
        reviewer=_reviewer(parts, uses, app),
        prepare_for="Data Access Renewal, where Facebook asks for it",
        prepare=_RENEWAL,
        sources=tuple(
            dict.fromkeys((SUBMISSION, _POLICY, _SERVER_TO_SERVER, _RENEWAL_CONTENT, *named))
        ),
    )


def _wanted(chosen: tuple[str, ...], uses: ConnectorUses) -> dict[str, tuple[Because, ...]]:
    """Return each chosen permission and all that it depends on, with what asks for it."""
    reasons: dict[str, list[Because]] = {name: [] for name in chosen}
    waiting = list(chosen)
    while waiting:
        name = waiting.pop(0)
        use = uses.find(name)
        for dependency in use.depends_on if use else ():
            if dependency.name not in reasons:
                reasons[dependency.name] = []
                waiting.append(dependency.name)
            reasons[dependency.name].append(Because(name, dependency.why))
    return {name: tuple(because) for name, because in reasons.items()}


def _part(
    name: str, uses: ConnectorUses, chosen: tuple[str, ...], because: tuple[Because, ...], app: str
) -> KitPermission:
    use = uses.find(name)
    text = use.usage if use else "‹What {app} does with this permission, and for whom.›"
    return KitPermission(
        name=name,
        is_feature=use.is_feature if use else False,
        is_chosen=name in chosen,
        because=because,
        usage=text.format(app=app),
        calls=use.calls if use else (),
        shot=use.shot if use else "‹What the recording shows of it.›",
        warning=_warning(name, use, uses, because),
        source=use.source if use else "",
    )


def _warning(name: str, use: Use | None, uses: ConnectorUses, because: tuple[Because, ...]) -> str:
    if use is None:
        return (
            f"Nothing in the {uses.title} connector is known to use {name}. Facebook declines what "
            "an app does not use: leave it out, or say and show yourself what uses it."
        )
    if all(call.is_test for call in use.calls):
        names = " and ".join(asking.name for asking in because)
        reason = f"It is asked for because {names} depends on it. " if because else ""
        return (
            f"No call of the {uses.title} connector is known that needs {name}. {reason}Facebook "
            "wants to see one call with it before the submission: make the test call, and show in "
            "the recording what the person chooses."
        )
    return ""


def _warnings(parts: tuple[KitPermission, ...], uses: ConnectorUses) -> list[str]:
    warnings = [part.warning for part in parts if part.warning]
    added = [part.name for part in parts if not part.is_chosen]
    if added:
        names = ", ".join(added)
        warnings.append(
            f"Not among the chosen permissions, but asked for by them: {names}. Facebook offers "
            "the others only beside these: request them in the same submission."
        )
    if [part.name for part in parts] == [_PUBLIC_PROFILE]:
        warnings.append(
            "Only public_profile is chosen, which needs no review: with it alone the connector "
            "reads nothing of a customer's."
        )
    if parts and not any(call.method for part in parts for call in part.calls):
        warnings.append(
            f"Of these permissions' calls Cyclr documents no method of the {uses.title} connector: "
            "show in your own workflow that each is made."
        )
    return warnings


def _shots(parts: tuple[KitPermission, ...], uses: ConnectorUses, app: str) -> tuple[Shot, ...]:
    permissions = tuple(part.name for part in parts if not part.is_feature)
    begin = (
        Shot(
            "‹Our product›, signed in as a customer, before anything is connected. The browser is "
            "signed out of Facebook.",
            f"This is ‹our product›. {app} connects it to Facebook.",
        ),
        Shot(
            f"The customer opens the {uses.title} connector and presses Authenticate. The address "
            "bar shows facebook.com.",
            "The customer connects a Facebook account.",
        ),
        Shot(
            "The whole Meta login: name and password are typed (covered), and the login goes on.",
            "The customer logs in to Facebook.",
        ),
        Shot(
            "The grant screen of a first consent, with every permission visible and the details "
            "opened (if Facebook only asks to go on, press Edit settings); the customer chooses "
            "the page and the account, grants all permissions and returns to ‹our product›.",
            f"The customer grants {app} these permissions.",
            permissions,
        ),
    )
    story = [use.name for use in uses.uses]
    used = tuple(
        Shot(part.shot, f"{part.name} is used here.", (part.name,))
        for part in sorted(
            (part for part in parts if not part.is_feature),
            key=lambda part: story.index(part.name) if part.name in story else len(story),
        )
    )
    end = (
        Shot(
            f"The end of the way: {uses.end}.",
            "From here on the data goes from server to server, without a person.",
        ),
        Shot(
            "The customer removes the connection in ‹our product›.",
            "The customer can end it at any time.",
        ),
    )
    return (*begin, *used, *end)


def _reviewer(parts: tuple[KitPermission, ...], uses: ConnectorUses, app: str) -> tuple[str, ...]:
    names = ", ".join(part.name for part in parts if not part.is_feature)
    return (
        "Open ‹the address of our product› and sign in as the test user of this submission.",
        f"Open ‹Integrations› and choose {uses.title}. Press ‹Connect›: Facebook's login opens.",
        f"Log in to Facebook and grant {app} everything that is asked for: {names}.",
        f"Back in ‹our product›, {uses.choice}, and switch ‹the workflow› on.",
        f"{uses.trigger}.",
        f"See {uses.end}. It may take ‹a minute›.",
        "To end it, press ‹Disconnect› in ‹our product›.",
    )
