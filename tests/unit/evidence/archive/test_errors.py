"""Each error of a storage driver becomes a clear message without secrets."""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence.archive.errors import store_error
from tests.support.wording import refused, wording

SECRET = "AWS4-HMAC-SHA256 Credential=AKIA/secret"  # such errors may quote credentials


def failure(name: str, base: type[Exception] = Exception, **fields: Any) -> Exception:
    """Return an error of a driver that is not installed here."""
    error = type(name, (base,), fields)(SECRET)
    assert isinstance(error, Exception)
    return error


def caused(error: Exception, code: str) -> Exception:
    """Return `error` as the S3 driver raises it for an answer with this code."""
    error.__cause__ = failure("ClientError", response={"Error": {"Code": code}})
    return error


def translated(error: Exception) -> ArchiveError:
    return store_error(error, "s3://bucket/x", credentials="AWS_PROFILE", file="acme/a")


@pytest.mark.parametrize(
    ("error", "said", "advice"),
    [
        (failure("NoCredentialsError"), "archive-unavailable.no-credentials", "AWS_PROFILE"),
        (
            caused(PermissionError(SECRET), "InvalidAccessKeyId"),
            "archive-unavailable.no-credentials",
            "AWS_PROFILE",
        ),
        (failure("HttpError", code=401), "archive-unavailable.no-credentials", "AWS_PROFILE"),
        (
            caused(PermissionError(SECRET), "RequestTimeTooSkewed"),
            "archive-unavailable.wrong-clock",
            wording("advice.set-clock"),
        ),
        (
            caused(OSError(SECRET), "PermanentRedirect"),
            "archive-unavailable.another-region",
            "AWS_DEFAULT_REGION",
        ),
        (
            caused(FileNotFoundError(SECRET), "NoSuchBucket"),
            "archive-refused.no-such-bucket",
            "Correct the",
        ),
        (
            failure("ResourceNotFoundError", status_code=404),
            "archive-refused.no-such-bucket",
            "Correct the",
        ),
        (
            caused(PermissionError(SECRET), "AccessDenied"),
            "archive-refused.access-refused",
            "Permit these",
        ),
        (failure("HttpError", code=403), "archive-refused.access-refused", "Permit these"),
        (
            failure("EndpointConnectionError", failure("ConnectionError").__class__),
            "archive-unavailable.not-reached",
            "Che",
        ),
        (TimeoutError(SECRET), "archive-unavailable.not-reached", wording("advice.check-network")),
        (failure("SlowDown"), "archive-unavailable.too-busy", "Wait"),
        (failure("Strange"), "archive-refused.driver-failed", "runbook archive"),
    ],
)
def test_a_driver_error_is_translated(error: Exception, said: str, advice: str) -> None:
    """The error has the problem and a next step, and never the driver's text."""
    store_error = translated(error)

    assert isinstance(store_error, ArchiveError)
    with refused(ArchiveError, said):
        raise store_error
    assert advice in store_error.diagnostics()
    assert "s3://bucket/x" in str(store_error)
    assert "AKIA" not in f"{store_error} {store_error.diagnostics()} {store_error!r}"
