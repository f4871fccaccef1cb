"""What a check may use: values as they are, tokens asked for once, refusals remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from runbook_lib.checks.context import CheckContext, TokenShelf
from runbook_lib.errors import OAuthError, UnreachableError
from runbook_lib.redaction import Secret
from tests.unit.bodies import APP_SECRET
from tests.unit.checks.conftest import MakeContext


def test_a_token_is_issued_once_however_many_ask() -> None:
    """Checks run in threads; the first has the token issued, the others get the same."""

    shelf = TokenShelf()
    issued: list[Secret] = []
    gate = threading.Barrier(6)

    def issue() -> Secret:
        issued.append(Secret(f"token-{len(issued)}"))
        return issued[-1]

    got: list[Secret] = []

    def ask() -> None:
        gate.wait()
        got.append(shelf.get("app", issue))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(issued) == 1
    assert got == issued * 6


def test_tokens_of_different_names_are_different() -> None:
    """The app's token is not handed out for Cyclr's."""

    shelf = TokenShelf()
    app = shelf.get("app", lambda: Secret("a-token"))

    assert shelf.get("cyclr", lambda: Secret("c-token")) is not app


def asked(shelf: TokenShelf, error: Exception) -> int:
    """Ask twice for a token that is not issued; return how often the issuer was asked."""
    calls: list[int] = []

    def refuse() -> Secret:
        calls.append(1)
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            shelf.get("app", refuse)
    return len(calls)


def test_a_refusal_is_not_asked_for_again() -> None:
    """What Facebook refused once it refuses every check of the run, and is not bothered."""

    assert asked(TokenShelf(), OAuthError("refused")) == 1


def test_a_fault_is_asked_again() -> None:
    """A host that could not be reached may be reached by the next check."""

    assert asked(TokenShelf(), UnreachableError("gone")) == 2


def test_unknown_values_are_empty(make_context: MakeContext) -> None:
    """A check that asks for what is not known gets nothing, not an error."""

    context = make_context()

    assert context.text("no_such_name") == ""
    assert context.names("no_such_name") == ()
    assert context.names("service_domain") == ()
    assert context.names("permissions") == ("public_profile", "leads_retrieval")


@pytest.mark.parametrize(
    ("open_graph", "is_signed"), [(CheckContext.app_graph, False), (CheckContext.user_graph, True)]
)
def test_only_a_users_calls_are_signed(
    make_context: MakeContext, open_graph: Callable[[CheckContext], object], is_signed: bool
) -> None:
    """`appsecret_proof` goes with a user's token; both clients use the pinned version."""

    graph = open_graph(make_context(graph_version="v25.0"))

    secret = graph._app_secret  # type: ignore[attr-defined]
    assert (secret is not None and secret.reveal() == APP_SECRET) is is_signed
    assert graph.version == "v25.0"  # type: ignore[attr-defined]
