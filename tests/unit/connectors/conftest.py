"""A check's context in tests: default values, invented credentials, a scripted remote system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest
from msgspec import to_builtins

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.inputs import CYCLR
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.remote.check_session import Session
from tests.conftest import NOON
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.unit import bodies
from tests.unit.bodies import (
    APP_ID,
    APP_SECRET,
    CUSTOMER_TOKEN,
    CYCLR_TOKEN,
    PAGE_TOKEN,
    SIGN_IN_TOKEN,
    USER_TOKEN,
)
from tests.unit.fake_remote import FakeRemote, Responder, open_session, responds

CYCLR_SECRET = "cyclr-client-secret-1"
VERIFY_TOKEN = "verify-me-0815-4711"
DEFAULTS = {
    **{item.name: item.default for item in inputs_of(PROCEDURE) if item.default is not None},
    # Fewer than a connector uses: the answers in these tests are about them.
    "permissions": ("public_profile", "leads_retrieval"),
}
VALUES = {
    **DEFAULTS,
    "service_domain": "acme-h.cyclr.com",
    "app_display_name": "Acme Lead Sync",
    "app_id": APP_ID,
    "cyclr_client_id": "partner",
    "account_api_id": "acct-1",
    "cyclr_username": "operator@acme.example",
    "page_id": "page-1",
    "scopes": "pages_messaging,pages_show_list",
    "webhook_url": "https://hooks.acme.example/messenger",
    "data_deletion_url": "https://www.acme.example/data-deletion",
}
SECRETS = {
    "app_secret": Secret(APP_SECRET),
    "cyclr_client_secret": Secret(CYCLR_SECRET),
    "user_access_token": Secret(USER_TOKEN),
    "customer_access_token": Secret(CUSTOMER_TOKEN),
    "verify_token": Secret(VERIFY_TOKEN),
}

ITEMS = {
    item.name: item for name in FACEBOOK_CONNECTORS for item in inputs_of(find_procedure(name))
}


def known_secrets() -> Redactor:
    """Return a redactor that knows the credentials, and whose each is."""
    redactor = Redactor()
    for name, secret in SECRETS.items():
        redactor.learn(secret, ITEMS[name].credential)
    return redactor


def hosts(values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the hosts of each provider, as a run knows them."""
    return {each.name: each.hosts(values) for each in (FACEBOOK, CYCLR)}


MADE_UP = "c0"
# Ids of made-up accounts for Cyclr, and of a made-up app for Facebook.
MADE_UP_ACCOUNTS = tuple(str(UUID(hex=text * 16, version=4)) for text in (MADE_UP, "c1"))
MADE_UP_APP = f"9{int(MADE_UP * 7, 16):017}"


def made_up_in_turn() -> Callable[[int], str]:
    """Return a source of fixed texts instead of random hex digits, another for each credential."""
    numbers = count(int(MADE_UP, 16))
    return lambda size: (f"{next(numbers):02x}" if size == 16 else MADE_UP) * size


MakeContext = Callable[..., CheckContext]
RunCheck = Callable[..., Any]


@pytest.fixture
def remote() -> FakeRemote:
    """Return the remote system, which knows no made-up app; a test scripts its other answers."""
    remote = FakeRemote()
    for edge in ("", "/permissions"):
        remote.on(f"/v26.0/{MADE_UP_APP}{edge}", responds(bodies.NO_SUCH_OBJECT, 400))
    return remote


def session_to(remote: httpx.BaseTransport, values: Mapping[str, Any] = VALUES) -> Session:
    """Return a session to `remote` as a run with these values has it."""
    return open_session(remote, known_secrets(), hosts=hosts(values))


@pytest.fixture
def make_context(remote: FakeRemote) -> MakeContext:
    """Return a factory of contexts; keyword arguments that name inputs change their values."""

    def make(**changes: Any) -> CheckContext:
        values = {**VALUES, **{name: changes.pop(name) for name in [*changes] if name in VALUES}}
        session = session_to(remote, values)
        known = {"values": values, "secrets": SECRETS, "session": session, "now": NOON}
        known["random_hex"] = made_up_in_turn()
        return CheckContext(**{**known, **changes})

    return make


@pytest.fixture
def context(make_context: MakeContext) -> CheckContext:
    """Return a context with every value given."""
    return make_context()


def shows_no_secret(finding: Finding, context: CheckContext) -> bool:
    """Return whether the finding and its exchanges contain no credential."""
    document = to_builtins(finding)
    document["exchanges"] = to_builtins(context.session.exchanges())
    secrets = [APP_SECRET, CYCLR_SECRET, USER_TOKEN, PAGE_TOKEN, CYCLR_TOKEN, SIGN_IN_TOKEN]
    secrets += [VERIFY_TOKEN, CUSTOMER_TOKEN]
    return not any(secret in repr(document) for secret in secrets)


@pytest.fixture
def run_check(remote: FakeRemote, make_context: MakeContext) -> RunCheck:
    """
    Return a function that runs a check with the given answers by path, and asserts its end.

    The end is an outcome or an error, its `code`, and words of its reason: `^` is the reason's
    beginning, `$` its end.
    """

    def run(
        check: Callable[[CheckContext], Finding | None],
        end: Outcome | type[Exception],
        *words: str,
        answers: Mapping[str, Responder] | None = None,
        code: str = "",
        **changes: Any,
    ) -> Any:
        for path, answer in (answers or {}).items():
            remote.on(path, answer)
        context = make_context(**changes)
        result: Any
        if isinstance(end, type):
            with pytest.raises(end) as caught:
                check(context)
            result = caught.value
            text = str(caught.value)
            assert code in ("", result.code)
        else:
            result = check(context)
            assert result.outcome is end, result.reason
            assert code in ("", result.code)
            assert shows_no_secret(result, context)
            text = result.reason
        for word in words:
            assert word in f"^{text}$"
        return result

    return run
