"""Every check of Facebook's and Cyclr's keeps the promises of `ConnectorSafety`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import FunctionType
from typing import Any

import pytest

from tests.support.connector_safety import ConnectorSafety
from tests.unit.connectors.facebook_case import CASE, NO_SUCH_APP


def sampled(test: Any, most: int | None = None) -> Callable[..., None]:
    """Return the test as a matrix, of which most runs take a sample."""
    own = FunctionType(
        test.__code__, test.__globals__, test.__name__, test.__defaults__, test.__closure__
    )
    own.__doc__ = test.__doc__
    return pytest.mark.matrix(*([most] if most else []))(own)


class TestFacebookConnectors(ConnectorSafety):
    """Both of Facebook's connectors, whose checks are tested once."""

    case = CASE

    test_each_part_has_its_type = sampled(ConnectorSafety.test_each_part_has_its_type, 40)
    test_a_malformed_response_verifies_nothing = sampled(
        ConnectorSafety.test_a_malformed_response_verifies_nothing, 24
    )
    test_half_a_response_verifies_nothing = sampled(
        ConnectorSafety.test_half_a_response_verifies_nothing, 24
    )
    test_the_right_response_with_a_wrong_status_verifies_nothing = sampled(
        ConnectorSafety.test_the_right_response_with_a_wrong_status_verifies_nothing
    )
    test_nan_anywhere_verifies_nothing = sampled(ConnectorSafety.test_nan_anywhere_verifies_nothing)
    test_one_page_for_every_address_verifies_nothing = sampled(
        ConnectorSafety.test_one_page_for_every_address_verifies_nothing
    )
    test_no_response_verifies_nothing = sampled(ConnectorSafety.test_no_response_verifies_nothing)


@pytest.mark.parametrize("check", ["app-is-registered", "public-profile-is-live"])
@pytest.mark.parametrize("name", sorted(set(CASE.refusals) - set(NO_SUCH_APP)))
def test_another_refusal_of_a_made_up_app_is_shown(check: str, name: str) -> None:
    """The reason has Facebook's code and text, so that a person sees why nothing is proven."""
    (control,) = (found for found in CASE.controls if found.check == check)
    status, body = CASE.refusals[name]
    error = body.get("error")
    if error is None:
        return  # not Graph's form: the client says so

    finding = TestFacebookConnectors().with_refusal(control, status, body)

    assert finding is not None
    assert f"code {error['code']}" in finding.reason
    assert error["message"] in finding.reason


def test_a_check_without_a_control_is_red() -> None:
    """A response that names nothing verifies only beside a control, whoever wrote the check."""

    class Unsafe(ConnectorSafety):
        case = replace(CASE, controls=(), other_names={})

    (check,) = (found for found in CASE.checks if found.id == "app-credentials-are-accepted")
    TestFacebookConnectors().test_it_has_a_control_or_names_its_object(check)
    with pytest.raises(AssertionError, match="verifies without a control"):
        Unsafe().test_it_has_a_control_or_names_its_object(check)


def test_only_checks_that_read_pages_have_no_json() -> None:
    """All other checks have a response to take parts from."""
    bare = {
        check.id
        for check, _, minimal in CASE.minimal_exchanges()
        if not any(isinstance(exchange.body, dict | list) for exchange in minimal.exchanges)
    }

    assert bare == {"service-domain-answers", "webhook-takes-verify-token"}
