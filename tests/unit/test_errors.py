"""The error tree: each error has a next step and an exit code."""

from __future__ import annotations

import re
import traceback

import pytest

from runbook_lib import errors
from runbook_lib.connectors.facebook import graph_errors as facebook
from runbook_lib.errors import ExitCode, RunbookError

ERRORS = {
    kind
    for module in (errors, facebook)
    for kind in vars(module).values()
    if isinstance(kind, type)
    and issubclass(kind, RunbookError)
    # It has a message of its own, and quotes another error.
    and kind is not facebook.RefusedAppError
}
DETAILS = {
    errors.TokenRequestError: {"status": 400, "error": "invalid_client"},
    facebook.GraphTokenError: {"status": 400, "error_code": 1},
    facebook.GraphAPIError: {"status": 400, "error_code": 190},
    errors.CyclrAPIError: {"status": 403},
    errors.FormatError: {"version": 7, "known": 2},
}


@pytest.mark.parametrize("kind", sorted(ERRORS, key=lambda kind: kind.__name__))
def test_every_error_says_what_to_do_next(kind: type[RunbookError]) -> None:
    """Every error has its message and a next step."""
    error = kind("what failed", **DETAILS.get(kind, {}))

    assert str(error).startswith("what failed")
    assert error.diagnostics().strip().endswith(".")


def test_tree_in_the_docstring_names_every_error() -> None:
    """The tree in the module's docstring names every error that is no provider's own."""
    drawn = set(re.findall(r"\b[A-Z]\w+Error\b", errors.__doc__ or ""))

    assert drawn == {kind.__name__ for kind in ERRORS if kind.__module__ == errors.__name__}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.SettingsError, 2),
        (errors.UnknownStepError, 2),
        (errors.StepFailedError, 1),
        (errors.JournalError, 3),
        (errors.SealingError, 3),
        (errors.UnreachableError, 3),
        (errors.ThrottledError, 3),
        (errors.LeakError, 4),
        (errors.ChainError, 4),
    ],
)
def test_exit_codes_are_the_contract(kind: type[RunbookError], code: int) -> None:
    """Each kind of error has its exit code, on which scripts rely."""
    assert kind("x").exit_code == code


def test_exit_codes_have_their_documented_numbers() -> None:
    """The exit codes are the documented ones, and no others."""
    assert {code.name: int(code) for code in ExitCode} == {
        "COMPLETE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "INCOMPLETE": 3,
        "REFUSED": 4,
        "INTERRUPTED": 130,
    }


def test_a_next_step_of_its_own_replaces_the_usual_one() -> None:
    """An error's own next step replaces the one of its class, for this error only."""
    own = "Check the spelling."
    special = errors.UnreachableError("x", next_step=own)

    assert special.diagnostics() == own
    assert errors.UnreachableError("x").diagnostics() != own


def test_a_notebook_shows_the_advice_instead_of_a_traceback() -> None:
    """A notebook shows an error's message and next step, and no traceback."""
    message = "service_domain is missing."
    error = errors.SettingsError(message)

    assert error._render_traceback_() == [
        f"SettingsError: {message}",
        f"Next: {error.diagnostics()}",
    ]


def test_remote_errors_keep_the_remote_fields() -> None:
    """Status, code, subcode and trace id of a remote error can be read from it."""
    error = facebook.GraphAPIError(
        "Session has expired", status=400, error_code=190, error_subcode=463, trace_id="F0n"
    )

    assert (error.status, error.error_code, error.error_subcode, error.trace_id) == (
        400,
        190,
        463,
        "F0n",
    )
    assert "463" not in "".join(traceback.format_exception_only(error))


def test_an_error_in_a_notebook_cannot_move_the_cursor() -> None:
    """Control characters in an error's message and next step are escaped in a notebook."""
    hostile = "a\x1b[2J\u202e\r\n"
    error = RunbookError(hostile, next_step=hostile)

    lines = error._render_traceback_()

    assert all(line.isprintable() for line in lines)
