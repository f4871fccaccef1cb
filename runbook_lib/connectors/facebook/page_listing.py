"""
The pages of a token, also those that a person reaches only through a business portfolio.

`/me/accounts` leaves these out: it answers `data: []`, although the token's `granular_scopes` name
the page, and the page can be read by its id. Facebook documents neither.

NOTE: https://github.com/trypostit/trypost/pull/301 (tested live, August 2026) and
https://github.com/getopenpost/openpost/issues/216.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.facebook_formats import is_token
from runbook_lib.connectors.facebook.graph import Graph
from runbook_lib.connectors.facebook.graph_clients import user_graph
from runbook_lib.connectors.facebook.tokens import inspect_token
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import OAuthError, RemoteError
from runbook_lib.remote.json_fields import JSONObject
from runbook_lib.text import pluralize

_LIST = "me/accounts"
_PORTFOLIOS = "me/businesses"
_PORTFOLIO_EDGES = ("owned_pages", "client_pages")
_INSPECTION = "Facebook (/debug_token)"
# Permissions whose targets are pages; those of others are ad accounts or businesses.
_OF_PAGES = ("pages_", "leads_retrieval")
# Portfolios that are searched.
_MOST_PORTFOLIOS = 10
# Pages that are read by their own node.
_MOST_NODES = 5
# Credential → the requested fields of a page, and the number of pages; of a customer's only the id.
_REQUESTED = {
    "user_access_token": ("id,name,access_token,leadgen_tos_accepted,tasks", "100"),
    "customer_access_token": ("id", "1"),
}


@dataclass(frozen=True, slots=True)
class PageListing:
    """
    Pages from `source`, followed by the others of `/me/accounts`.

    `note` names the other way that found them, or the reason why none did; else it is empty.
    """

    rows: Sequence[JSONObject]
    source: str = _LIST
    note: str = ""

    def readable(self) -> list[JSONObject]:
        """Return the pages with a token; Facebook gives none if the person has no task."""
        return [row for row in self.rows if "access_token" in row]

    def take_token(self, context: CheckContext, page: JSONObject) -> Secret:
        """Return the token of a readable page; it is not kept."""
        return context.session.take_token(
            page["access_token"], endpoint=f"Graph /{self.source}", is_token=is_token
        )

    def noted(self, reason: str) -> str:
        """Return `reason` with the note."""
        return f"{reason} {self.note}".strip()


def pages_of(
    context: CheckContext, credential: str = "user_access_token", *, page_id: str = ""
) -> PageListing:
    """
    Return the pages of the token named `credential`; with `page_id`, search only for that page.

    If `/me/accounts` lists no page with a token, read the unlisted page with the lowest id that the
    token names. Without such a page, search the person's business portfolios, once. These ways only
    add pages: the note names those that failed, with the reason.
    """
    graph = user_graph(context)
    token = context.secrets[credential]
    fields, limit = _REQUESTED[credential]
    needed = "access_token" if "access_token" in fields else "id"
    listed = graph.rows(_LIST, token, fields=fields, limit=limit)
    listed_ids = {row.identifier("id") for row in listed}
    if page_id in listed_ids or any(needed in row and not page_id for row in listed):
        return PageListing(listed)
    chosen, problem = _pages_in_token(context, token)
    missing = [ident for ident in chosen if ident not in listed_ids]
    if page_id:
        missing = [page_id] if page_id in chosen or not chosen else []
    if problem or ((listed_ids or chosen) and not missing):
        return PageListing(listed, note=problem)
    search = _PageSearch(graph, token, fields, needed)
    if missing and (page := search.read_node(missing[0])):
        return PageListing(
            [page, *listed], missing[0], _describe_search([page], "its id", missing[0])
        )
    wanted = {page_id} if page_id else {*chosen} - listed_ids
    in_portfolios = search.read_portfolios(wanted, listed_ids)
    refused = f" ({'; '.join(search.failed)})" if search.failed else ""
    if in_portfolios:
        note = _describe_search(in_portfolios, "a business portfolio", search.source)
        without = f" Not read: {'; '.join(search.failed)}." if search.failed else ""
        return PageListing([*in_portfolios, *listed], search.source, f"{note}{without}")
    return PageListing(listed, note=f"Other ways found no page{refused}.")


def _describe_search(pages: Sequence[JSONObject], way: str, source: str) -> str:
    which = pluralize(len(pages), "page")
    if len(pages) == 1:
        which = f"page {pages[0].identifier('id')}"
    return f"/{_LIST} does not list {which}: found by {way} (/{source})."


class _PageSearch:
    """
    Searches for pages that `/me/accounts` leaves out; goes on after a failed request.

    `failed` lists the requests that gave no page, each with the reason; `source` is the request
    that found one.
    """

    def __init__(self, graph: Graph, token: Secret, fields: str, needed: str) -> None:
        self._graph = graph
        self._token = token
        self._fields = fields
        self._needed = needed
        self.failed: list[str] = []
        self.source = ""
        self._nodes = 0

    def read_node(self, ident: str) -> JSONObject | None:
        """Return the page with this id from its own node, or `None` if it cannot be used."""
        try:
            page = self._graph.get(ident, self._token, fields=self._fields)
            page.expect("id", ident)
        except RemoteError as error:
            self.failed.append(f"/{ident}: {error}")
            return None
        if self._needed not in page:
            self.failed.append(f"/{ident}: no readable page")
            return None
        return page

    def read_portfolios(self, wanted: set[str], known: set[str]) -> list[JSONObject]:
        """
        Return the pages in the person's business portfolios: those `wanted`, or all not `known`.

        (Graph: User, businesses; Business, owned_pages and client_pages.) Each edge has its own
        request, since one portfolio may refuse. A row without the needed field is read at its own
        node, which may give it.
        """
        try:
            businesses = self._graph.list_all(_PORTFOLIOS, self._token, fields="id", limit="100")
        except RemoteError as error:
            self.failed.append(f"/{_PORTFOLIOS}: {error}")
            return []
        pages_by_id: dict[str, JSONObject] = {}
        for business in businesses.rows[:_MOST_PORTFOLIOS]:
            for edge in _PORTFOLIO_EDGES:
                path = f"{business.identifier('id')}/{edge}"
                for page in self._pages_of(path):
                    ident = page.identifier("id")
                    is_wanted = ident in wanted if wanted else ident not in known
                    if (
                        is_wanted
                        and ident not in pages_by_id
                        and (whole := self._with_needed_field(page))
                    ):
                        self.source = self.source or path
                        pages_by_id[ident] = whole
        if not pages_by_id:
            self.failed.append(f"/{_PORTFOLIOS}: no readable page")
        return [*pages_by_id.values()]

    def _pages_of(self, path: str) -> list[JSONObject]:
        try:
            return self._graph.list_all(path, self._token, fields=self._fields, limit="100").rows
        except RemoteError as error:
            self.failed.append(f"/{path}: {error}")
            return []

    def _with_needed_field(self, page: JSONObject) -> JSONObject | None:
        """Return the page with the needed field, from its own node if the list left it out."""
        if self._needed in page:
            return page
        self._nodes += 1
        return self.read_node(page.identifier("id")) if self._nodes <= _MOST_NODES else None


def _pages_in_token(context: CheckContext, token: Secret) -> tuple[list[str], str]:
    """
    Return the ids of the pages that the token names, lowest first, or the reason why none is known.

    Pages for which each permission was granted come first. A permission without `target_ids` was
    granted for all pages, so it names none.
    """
    try:
        inspected, contradiction = inspect_token(context, token)
        if contradiction:
            return [], contradiction.reason
        targets = [
            {
                JSONObject({"id": ident}, _INSPECTION).identifier("id")
                for ident in scope.strings_or_none("target_ids") or ()
            }
            for scope in inspected.objects_at("granular_scopes", ())
            if scope.keyword("scope").startswith(_OF_PAGES)
        ]
    except (OAuthError, RemoteError) as error:
        return [], str(error)
    named = [ids for ids in targets if ids]
    shared = set.intersection(*named) if named else set()
    ids = set().union(*named)
    return sorted(ids, key=lambda ident: (ident not in shared, len(ident), ident)), ""
