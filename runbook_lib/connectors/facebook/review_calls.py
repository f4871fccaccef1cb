"""
The test calls that App Review asks for: one successful call with each permission.

"Request advanced access" stays grey until Facebook has logged one, made in the
30 days before the submission (App Review: Submission Guide). Only reads are
made, and each once: no call is made to reach a number.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from msgspec import structs

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.access import user_graph, wanted_permissions
from runbook_lib.connectors.facebook.errors import GraphAPIError
from runbook_lib.connectors.facebook.formats import is_token
from runbook_lib.connectors.facebook.permissions import with_dependencies
from runbook_lib.connectors.facebook.tokens import inspect_token
from runbook_lib.connectors.findings import inconclusive, verified
from runbook_lib.core.model import Finding, Table
from runbook_lib.core.redaction import Secret
from runbook_lib.remote.documents import Document

COUNTED_FOR = timedelta(days=30)
_NOT_LOGGED = (
    "That Facebook has logged these calls: no API shows it; the dashboard does, up to two days "
    "later."
)
_AD_ACCOUNT, _PAGE, _FORM = "ad account", "page", "lead form"


@dataclass(frozen=True, slots=True)
class ReadCall:
    """
    A read call; any one of `served_by` is enough for it.

    `{…}` in `path` is an object of the person's; the call is made with that
    page's token where it names a page.
    """

    path: str
    served_by: tuple[str, ...]
    fields: str = "id"

    def proves(self, permission: str, carried: Collection[str]) -> bool:
        """Return whether, of what the token carries, `permission` alone serves this call."""
        return permission in self.served_by and not (set(self.served_by) - {permission}) & set(
            carried
        )


# Each call's permissions: Graph reference, "Permissions" of the node or edge; a refusal without it
# was read in November 2026.
_CALLS = (
    ReadCall("me", ("public_profile",)),
    ReadCall("me/businesses", ("business_management",)),
    ReadCall("{ad account}/campaigns", ("ads_read", "ads_management")),
    ReadCall("me/accounts", ("pages_show_list",)),
    ReadCall("{page}", ("pages_read_engagement",), "id,name"),
    ReadCall("{page}/leadgen_forms", ("pages_manage_ads",)),
    ReadCall("{page}/subscribed_apps", ("pages_manage_metadata",)),
    ReadCall("{page}/conversations", ("pages_messaging",)),
    ReadCall("{lead form}/leads", ("leads_retrieval",)),
)


@dataclass(frozen=True, slots=True)
class _Made:
    """What became of the call for one permission; `problem` is empty after a success."""

    permission: str
    call: ReadCall | None
    problem: str = ""
    is_empty: bool = False
    is_proven: bool = False

    @property
    def text(self) -> str:
        """Return the result in words."""
        if self.problem:
            return self.problem
        if self.is_empty:
            return "made, but the list is empty, as it may be without the permission"
        served_by = self.call.served_by if self.call else ()
        others = ", ".join(permission for permission in served_by if permission != self.permission)
        return "made" if self.is_proven else f"made, but {others} serves it too"


def each_permission_is_used(context: CheckContext) -> Finding:
    """
    Make one read call for each wanted permission, with the token of a person who has a role.

    A successful call shows that its permission was used only where it read
    something, and the token carries no other one that serves it. What Facebook
    logs of it no API shows.
    """
    wanted = with_dependencies(wanted_permissions(context))
    token = context.secrets["user_access_token"]
    data, problem = inspect_token(context, token)
    if problem:
        return inconclusive(reason=f"No test call was made. {problem}")
    caller = _Caller(context, token, data)
    made = [caller.try_for(permission) for permission in wanted]
    return _judge(context, made, caller)


class _Caller:
    """Makes the calls with one token, each once, and finds the objects that they are about."""

    def __init__(self, context: CheckContext, token: Secret, inspected: Document) -> None:
        self._context = context
        self._graph = user_graph(context)
        self._token = token
        self._carried = inspected.texts("scopes")
        self._user_id = inspected.identifier("user_id")
        self._problems: dict[str, str] = {}
        self._empty: set[str] = set()
        self._page_token: Secret | None = None
        self._found: dict[str, str] = {}
        self.ad_account_calls = 0
        self.tier = ""

    def try_for(self, permission: str) -> _Made:
        """Make the call that `permission` serves, unless it was made already."""
        call = next((call for call in _CALLS if permission in call.served_by), None)
        if permission not in self._carried:
            return _Made(permission, None, "the token does not carry it")
        if call is None:
            return _Made(permission, None, "no read call is known for it: make one yourself")
        if call.path not in self._problems:
            try:
                self._problems[call.path] = self._make(call)
            except GraphAPIError as error:
                self._problems[call.path] = f"refused: {error}"
        problem = self._problems[call.path]
        is_empty = call.path in self._empty
        is_proven = not (problem or is_empty) and call.proves(permission, self._carried)
        return _Made(permission, call, problem, is_empty, is_proven)

    def _make(self, call: ReadCall) -> str:
        kind = call.path.partition("{")[2].partition("}")[0]
        target = self._find(kind) if kind else "me"
        if not target:
            return f"there is no {kind} to read"
        token = self._page_token if kind in (_PAGE, _FORM) and self._page_token else self._token
        path = call.path.replace(f"{{{kind}}}", target)
        if "/" in path:
            rows = self._graph.rows(path, token, fields=call.fields, limit="1")
            for row in rows:
                row.identifier("id")
            if not rows:
                self._empty.add(call.path)
        else:
            node = self._graph.get(path, token, fields=call.fields)
            node.expect("id", target if kind else self._user_id)
        if kind == _AD_ACCOUNT:
            self.ad_account_calls += 1
            self.tier = self._graph.access_tier
        return ""

    def _find(self, kind: str) -> str:
        """Return the id of the first object of this kind that the person has, or nothing."""
        if kind not in self._found:
            self._found[kind] = self._search(kind)
        return self._found[kind]

    def _search(self, kind: str) -> str:
        if kind == _AD_ACCOUNT:
            rows = self._graph.rows("me/adaccounts", self._token, fields="id", limit="1")
            return rows[0].identifier("id") if rows else ""
        if kind == _PAGE:
            return self._search_page()
        page = self._find(_PAGE)
        if not page or self._page_token is None:
            return ""
        rows = self._graph.rows(f"{page}/leadgen_forms", self._page_token, fields="id", limit="1")
        return rows[0].identifier("id") if rows else ""

    def _search_page(self) -> str:
        rows = self._graph.rows("me/accounts", self._token, fields="id,access_token", limit="25")
        # NOTE: Facebook leaves a page's token out where the person has no task there.
        for page in rows:
            if "access_token" in page:
                self._page_token = self._context.session.take_token(
                    page["access_token"], endpoint="Graph /me/accounts", is_token=is_token
                )
                return page.identifier("id")
        return ""


def _judge(context: CheckContext, made: list[_Made], caller: _Caller) -> Finding:
    end = f"{context.now + COUNTED_FOR:%Y-%m-%d}"
    open_ones = [result for result in made if not result.is_proven]
    number = len({result.call for result in made if result.call and not result.problem})
    calls = f"{number} calls made"
    table = Table(
        caption=f"Test calls of {context.now:%Y-%m-%d}; they count for a submission until {end}",
        columns=("Permission", "Call", "Result"),
        rows=tuple(
            (result.permission, f"GET /{result.call.path}" if result.call else "", result.text)
            for result in made
        ),
    )
    finding = verified(
        reason=f"{calls}, one with each of {len(made)} permissions; they count until {end}.",
        limits=(_NOT_LOGGED,),
        tables=(table,),
    )
    if open_ones:
        names = ", ".join(result.permission for result in open_ones)
        finding = structs.replace(
            finding,
            outcome=inconclusive(reason="").outcome,
            reason=f"{calls}, but none shows that it used {names}. In App Review > Permissions "
            "and Features see whether Request advanced access can be pressed for each.",
        )
    return structs.replace(finding, limits=(*finding.limits, *_tier(caller)))


def _tier(caller: _Caller) -> list[str]:
    if not caller.ad_account_calls:
        return []
    tier = f"{caller.tier}, say the usage headers" if caller.tier else "no usage header names it"
    limit = (
        f"How many calls Facebook has counted for the Marketing API Access Tier ({tier}): the "
        f"runbook made at least {caller.ad_account_calls} here, and the usage headers hold "
        "percentages only."
    )
    return [limit]
