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
from runbook_lib.connectors.facebook.access import user_graph
from runbook_lib.connectors.facebook.formats import is_token
from runbook_lib.connectors.facebook.graph import Graph
from runbook_lib.connectors.facebook.tokens import inspect_token
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import OAuthError, RemoteError
from runbook_lib.plain_text import counted
from runbook_lib.remote.documents import Document

_LIST = "me/accounts"
_PORTFOLIOS = "me/businesses"
_PORTFOLIO_EDGES = ("owned_pages", "client_pages")
_INSPECTION = "Facebook (/debug_token)"
# Permissions whose targets are pages; those of others are ad accounts or businesses.
_OF_PAGES = ("pages_", "leads_retrieval")
# Which fields of a page are asked for, and how many pages; a customer's is asked for its id only.
_ASKED = {
    "user_access_token": ("id,name,access_token,leadgen_tos_accepted", "100"),
    "customer_access_token": ("id", "1"),
}


@dataclass(frozen=True, slots=True)
class Pages:
    """
    Pages as `source` gave them, followed by the others of `/me/accounts`.

    `note` says which other way found them, or why none did; it is empty if none was needed.
    """

    rows: Sequence[Document]
    source: str = _LIST
    note: str = ""

    def readable(self) -> list[Document]:
        """Return the pages with a token; Facebook gives none where the person has no task."""
        return [row for row in self.rows if "access_token" in row]

    def take_token(self, context: CheckContext, page: Document) -> Secret:
        """Return the token of a readable page; it is not kept."""
        return context.session.take_token(
            page["access_token"], endpoint=f"Graph /{self.source}", is_token=is_token
        )

    def noted(self, reason: str) -> str:
        """Return `reason` with the note."""
        return f"{reason} {self.note}".strip()


def pages_of(
    context: CheckContext, credential: str = "user_access_token", *, page_id: str = ""
) -> Pages:
    """
    Return the pages of the token named `credential`; with `page_id`, only that one is looked for.

    If `/me/accounts` lists no page with a token, a page that the token names is read by its id:
    the lowest one that is not listed. If that finds none, the person's business portfolios are
    asked, once. These ways only add: if they fail, the note says why.
    """
    graph, token = user_graph(context), context.secrets[credential]
    fields, limit = _ASKED[credential]
    needed = "access_token" if "access_token" in fields else "id"
    listed = graph.rows(_LIST, token, fields=fields, limit=limit)
    known = {row.identifier("id") for row in listed}
    if page_id in known or any(needed in row and not page_id for row in listed):
        return Pages(listed)
    chosen, problem = _chosen(context, token)
    missing = [ident for ident in chosen if ident not in known]
    if page_id:
        missing = [page_id] if page_id in chosen or not chosen else []
    if problem or ((known or chosen) and not missing):
        return Pages(listed, note=problem)
    ways = [(ident, "its id", _page) for ident in missing[:1]]
    ways.append((_PORTFOLIOS, "a business portfolio", _of_portfolios))
    tried = []
    for source, way, ask in ways:
        try:
            rows = {
                row.identifier("id"): row
                for row in ask(graph, source, token, fields)
                if needed in row
            }
        except RemoteError as error:
            tried.append(f"/{source}: {error}")
            continue
        wanted = ({page_id} if page_id else set(chosen) or rows.keys()) - known
        found = [row for ident, row in rows.items() if ident in wanted]
        if found:
            which = f"page {found[0]['id']}" if len(found) == 1 else counted(len(found), "page")
            note = f"/{_LIST} does not list {which}: found by {way} (/{source})."
            return Pages([*found, *listed], source, note)
        tried.append(f"/{source}: no readable page")
    return Pages(listed, note=f"Other ways found no page ({'; '.join(tried)}).")


def _chosen(context: CheckContext, token: Secret) -> tuple[list[str], str]:
    """
    Return the ids of the pages that the token names, lowest first, or why they are not known.

    Those for which each permission was granted come first. A permission without `target_ids` was
    granted for all pages, so it names none.
    """
    try:
        inspected, contradiction = inspect_token(context, token)
        if contradiction:
            return [], contradiction.reason
        targets = [
            {
                Document({"id": ident}, _INSPECTION).identifier("id")
                for ident in scope.texts_or_none("target_ids") or ()
            }
            for scope in inspected.documents("granular_scopes", ())
            if scope.identifier("scope").startswith(_OF_PAGES)
        ]
    except (OAuthError, RemoteError) as error:
        return [], str(error)
    named = [ids for ids in targets if ids]
    shared = set.intersection(*named) if named else set()
    ids = set().union(*named)
    return sorted(ids, key=lambda ident: (ident not in shared, len(ident), ident)), ""


def _page(graph: Graph, path: str, token: Secret, fields: str) -> list[Document]:
    page = graph.get(path, token, fields=fields)
    page.expect("id", path)
    return [page]


def _of_portfolios(graph: Graph, path: str, token: Secret, fields: str) -> list[Document]:
    edges = ",".join(f"{edge}{{{fields}}}" for edge in _PORTFOLIO_EDGES)
    return [
        page
        for business in graph.rows(path, token, fields=edges)
        for edge in _PORTFOLIO_EDGES
        if edge in business
        for page in business.document(edge).documents("data")
    ]
