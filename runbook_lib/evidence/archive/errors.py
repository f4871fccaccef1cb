"""
Explain the errors of stores and their drivers to the operator.

Errors are recognised by the drivers' names for them, so no driver is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.errors import ArchiveError, StoreUnavailableError


@dataclass(frozen=True, slots=True)
class _Meaning:
    """The meaning of an error of a store, recognised by `names`."""

    message: str
    """The meaning, as the end of a sentence about the store."""

    next_step: str
    """The advice; `{credentials}` stands for where the store looks for them."""

    names: str
    """The drivers' names and codes of the error, separated by spaces."""

    is_silent: bool = False
    """Whether the store did not respond, so that the transfer is tried again."""

    is_of_store: bool = True
    """Whether it concerns the whole store and not a single object."""


# The first that fits counts: stores refuse with 403 for several reasons.
_MEANINGS = (
    _Meaning(
        "no credentials were found, or they are not accepted",
        "Give them in the store's own environment: {credentials}.",
        "NoCredentialsError PartialCredentialsError CredentialRetrievalError ProfileNotFound "
        "TokenRetrievalError SSOTokenLoadError DefaultCredentialsError RefreshError "
        "ClientAuthenticationError AuthenticationFailed InvalidAccessKeyId SignatureDoesNotMatch "
        "ExpiredToken InvalidToken 401",
    ),
    _Meaning(
        "this machine's clock differs from the store's",
        "Set the clock, then try again.",
        "RequestTimeTooSkewed",
    ),
    _Meaning(
        "the bucket is in another region",
        "Name its region (AWS_DEFAULT_REGION), then try again.",
        "PermanentRedirect AuthorizationHeaderMalformed 301",
    ),
    _Meaning(
        "there is no such bucket or container",
        "Correct the address, or create the bucket or container, then try again.",
        "NoSuchBucket ContainerNotFound ResourceNotFoundError FileNotFoundError "
        "ParamValidationError 404",
        is_of_store=False,
    ),
    _Meaning(
        "it refuses access",
        "Permit these credentials to list, read and create objects there, then try again.",
        "AccessDenied AuthorizationFailure AuthorizationPermissionMismatch PermissionError 403",
        is_of_store=False,
    ),
    _Meaning(
        "it is too busy",
        "Wait, then try again.",
        "SlowDown ServiceUnavailable InternalError RequestLimitExceeded Throttling 429 500 502 503 "
        "504",
        is_silent=True,
    ),
    _Meaning(
        "it cannot be reached",
        "Check the network, a proxy and the store's address, then try again.",
        "ConnectionError HTTPClientError ClientConnectionError ServiceRequestError TimeoutError "
        "ServiceResponseError IncompleteRead ResponseStreamingError ClientPayloadError",
        is_silent=True,
    ),
)


def store_error(error: Exception, address: str, *, credentials: str, file: str) -> ArchiveError:
    """
    Return the meaning of a driver's `error` for the archive at `address`.

    `credentials` says where they come from. An error's text may quote what was
    sent and signed, so only the names of its kind are used.
    """
    names = _names(error) | _names(error.__cause__)
    for meaning in _MEANINGS:
        if not names.isdisjoint(meaning.names.split()):
            text = f"The archive {address}: {meaning.message}."
            advice = meaning.next_step.format(credentials=credentials)
            if not meaning.is_of_store:
                return ArchiveError(text, next_step=advice)
            return StoreUnavailableError(text, next_step=advice, is_silent=meaning.is_silent)
    text = f"The archive {address} failed ({type(error).__name__})."
    return ArchiveError(text, file=file)


def _names(error: BaseException | None) -> set[str]:
    """Return every name for the kind of `error`: its classes, its codes, its HTTP status."""
    names = {kind.__name__ for kind in type(error).__mro__}
    names |= {str(getattr(error, name, "")) for name in ("code", "status_code", "error_code")}
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        names.add(str(response.get("Error", {}).get("Code", "")))
    return names
