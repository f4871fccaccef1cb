"""
Every error that the runbook raises, each with the operator's next step.

Messages and diagnostics never contain a secret. Errors of one provider's API are
subclasses, beside that provider's client.

* RunbookError
  x SettingsError   AttestationError, UnknownTenantError, FleetFileError,
                    InsecureSchedulerError, TextsError, BrokenConnectorError
  x JournalError
  x BusyError
  x OAuthError      AuthorizationError, RefusedConsentError, StateMismatchError,
                    TokenRequestError, ListenerError
  x RemoteError     CyclrAPIError, UnreachableError, InvalidCertificateError,
                    ResponseTimeoutError, ThrottledError, UnexpectedResponseError,
                    MissingFieldError, StaleResponseError, OutsidePracticeError
  x StepError       UnknownStepError, StepFailedError
  x SealingError
  x EvidenceError   LeakError, ChainError, EnvelopeError, SignatureError, ContentError,
                    TimestampError, SigningError, ArchiveError,
                    StoreUnavailableError, FormatError
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

from runbook_lib.text import one_line


class ExitCode(IntEnum):
    """The exit codes of the process; a contract with scripts."""

    COMPLETE = 0
    """Nothing is missing."""

    FAILED = 1
    """A step failed."""

    USAGE = 2
    """Bad usage or settings; nothing was done or written."""

    INCOMPLETE = 3
    """A step waits, could not be checked, or needs a person; or something else is missing."""

    REFUSED = 4
    """Evidence was refused: it holds a secret, or it is not intact."""

    INTERRUPTED = 130
    """The command was interrupted (128 + SIGINT)."""


class RunbookError(Exception):
    """The base class: a message for the operator, a stable code, and the next step."""

    code = "runbook-error"
    """The error's name in the record, the journal and `--json`; docs/outcomes.md lists all."""

    exit_code = ExitCode.INCOMPLETE
    """The exit code of a command that ends with this error."""

    next_step = "Run `runbook doctor` to check this machine."
    """The operator's next step."""

    refuses: tuple[str, ...] = ()
    """Names of the inputs whose value the remote system does not accept."""

    quotes: tuple[str, ...] = ()
    """The remote system's own words, where the message does not have them."""

    def __init__(self, message: str, *, next_step: str | None = None, code: str = "") -> None:
        super().__init__(message)
        if next_step is not None:
            self.next_step = next_step
        if code:
            self.code = code

    def diagnostics(self) -> str:
        """Return the operator's next step."""
        return self.next_step

    def _render_traceback_(self) -> list[str]:
        """Show the message and the next step in a notebook, no traceback (IPython's hook)."""
        return [one_line(f"{type(self).__name__}: {self}"), one_line(f"Next: {self.diagnostics()}")]


class SettingsError(RunbookError):
    """A parameter, the environment or `.env` is unusable; nothing was done."""

    code = "setting-invalid"
    exit_code = ExitCode.USAGE
    next_step = (
        "Correct the setting and run again; nothing was done. `runbook init` writes a file "
        "that lists every setting."
    )


class AttestationError(SettingsError):
    """An attestation of a person, in a form, a command or a file, is unusable."""

    code = "confirmation-invalid"
    next_step = "Correct it, then confirm again; nothing was recorded."


class UnknownTenantError(SettingsError):
    """There is no record of the tenant; nothing was done."""

    code = "tenant-unknown"


class FleetFileError(SettingsError):
    """The file of tenants has mistakes, each with its table and key; nothing was done."""

    code = "tenants-file-invalid"
    next_step = "Correct these values and run again; nothing was done."

    def __init__(self, message: str, mistakes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.mistakes = mistakes


class InsecureSchedulerError(SettingsError):
    """The scheduler of a cluster has no TLS, and is not on this machine; nothing was done."""

    code = "scheduler-without-tls"
    next_step = (
        "Use TLS, as the lines above do. Or give --insecure-scheduler, if nobody else can reach "
        "that network. Nothing was done."
    )


class TextsError(SettingsError):
    """A file with a connector's texts has a mistake; the message names file, table and key."""

    code = "texts-invalid"
    next_step = "Correct it there; CONTRIBUTING.md explains these files."


class BrokenConnectorError(SettingsError):
    """A connector cannot be loaded; the message names its file. The other connectors work."""

    code = "connector-broken"
    next_step = "Correct that file, or install that connector again. The other connectors work."


class JournalError(RunbookError):
    """The journal could not be written; its earlier entries are intact."""

    code = "journal-not-writable"
    next_step = (
        "Free disk space or make the evidence folder writable, then run again. "
        "The journal's earlier entries are intact."
    )


class BusyError(RunbookError):
    """Another headless run of the same tenant and connector did not end in time."""

    code = "other-run-in-progress"
    next_step = (
        "Run again when the other run has ended. RUNBOOK_QUEUE_SECONDS sets how long a run waits. "
        "Nothing was done."
    )


class OAuthError(RunbookError):
    """An OAuth 2.0 exchange failed (RFC 6749)."""

    code = "oauth-refused"


class RemoteError(RunbookError):
    """A remote system could not be reached, or gave no usable response."""

    code = "remote-error"
    next_step = "Run again later; the journal keeps the results so far."


class AuthorizationError(OAuthError):
    """The user or the server refused consent (RFC 6749 §4.1.2.1)."""

    code = "authorization-refused"
    next_step = "Open the consent page again and grant the requested permissions."


class RefusedConsentError(AuthorizationError):
    """Consent was refused; a later answer to the same request does not count."""

    code = "consent-refused"
    next_step = "Sign in again, and grant the requested permissions."


class StateMismatchError(OAuthError):
    """The redirect's `state` is not the one that was sent (RFC 6749 §10.12)."""

    code = "state-mismatch"
    next_step = "Open the consent page again from here, and use that tab's address."


class ListenerError(OAuthError):
    """The browser cannot be redirected to this machine safely, so no link is shown."""

    code = "redirect-listener-unsafe"
    next_step = (
        "Find out which program that is before you sign in here, or paste the address instead."
    )


class TokenRequestError(OAuthError):
    """The token endpoint refused; `error` is its word for it (RFC 6749 §5.2), if it gave one."""

    code = "token-request-refused"
    next_step = "Compare the app's credentials with those that the provider shows."

    def __init__(self, message: str, *, status: int, error: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error = error


class CyclrAPIError(RemoteError):
    """Cyclr's API answered with an error; `message` is Cyclr's own."""

    code = "cyclr-refused"
    next_step = "Check the Cyclr API credentials and the Account API ID in the Cyclr console."

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(RemoteError):
    """No response came back: name resolution, connection, TLS or time-out failed."""

    code = "host-unreachable"
    next_step = (
        "Check the network, a proxy or a firewall between here and that host, then run again."
    )


class InvalidCertificateError(UnreachableError):
    """A server's TLS certificate has ended, or is another host's; no client trusts it."""

    code = "certificate-invalid"
    next_step = "Ask the server's operator to renew the certificate, or correct the host's name."


class ResponseTimeoutError(UnreachableError):
    """A response was not complete in time; another attempt may take as long."""

    code = "response-timeout"
    next_step = (
        "Run again later. If the remote system is just slow, raise exchange_seconds and "
        "step_seconds."
    )


class ThrottledError(RemoteError):
    """The remote system asks to wait for `seconds`; no further request is sent to it until then."""

    code = "rate-limited"
    next_step = "Wait as long as the message says, then run again."

    def __init__(self, message: str, *, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class UnexpectedResponseError(RemoteError):
    """A response is not as the API documents: no JSON, or a field of another type."""

    code = "unexpected-response"
    next_step = "Run again; if it fails again, report it as a defect, with this message."


class MissingFieldError(UnexpectedResponseError):
    """A response lacks a field that a check needs; remote systems omit fields without a value."""

    code = "field-left-out"
    next_step = "Check again. If the field stays away, look at the value where the system shows it."


class StaleResponseError(RemoteError):
    """A cache responded instead of the remote system; its response may be out of date."""

    code = "cached-response"
    next_step = "Find the proxy that caches responses, or wait until this one expires. Run again."


class OutsidePracticeError(RemoteError):
    """A practice run would have contacted another machine; nothing was sent."""

    code = "outside-practice"
    next_step = (
        "Practice contacts this machine only. Name an address on it, or run for real: without "
        "--sandbox and without loopback addresses in the settings."
    )


class StepError(RunbookError):
    """A step was used in a way that the procedure does not allow."""

    code = "step-misused"


class UnknownStepError(StepError):
    """No step of the procedure has this id."""

    code = "step-unknown"
    exit_code = ExitCode.USAGE
    next_step = "Run `runbook status` to see the ids of all steps."


class StepFailedError(StepError):
    """A check contradicts a step; raised at a notebook's end so that papermill reports it."""

    code = "step-failed"
    exit_code = ExitCode.FAILED
    next_step = "Do what the failed step's reason says, then run again."


class SealingError(RunbookError):
    """The headless run that seals a walkthrough left no bundle; the journal is intact."""

    code = "sealing-failed"
    next_step = "Seal again; if it fails again, run `runbook run` in a terminal for details."


class EvidenceError(RunbookError):
    """Evidence cannot be trusted or must not be sealed; `file` names the part, if known."""

    code = "evidence-refused"
    exit_code = ExitCode.REFUSED

    def __init__(self, message: str, *, file: str = "", next_step: str | None = None) -> None:
        super().__init__(f"{file}: {message}" if file else message, next_step=next_step)
        self.file = file

    def of(self, file: str) -> Self:
        """Return this error with `file` named in it."""
        self.args = (f"{file}: {self}",)
        self.file = file
        return self


class LeakError(EvidenceError):
    """A secret was found in a file that was about to become evidence."""

    code = "secret-in-evidence"
    next_step = (
        "The evidence was not sealed. If one of your credentials equals a name that the runbook "
        "shows, such as a step's, change it. Otherwise report this as a defect, with the file and "
        "step named here. If the file was shared, rotate the credential."
    )


class ChainError(EvidenceError):
    """The journal's hash chain is broken: a line was altered, removed or moved."""

    code = "journal-chain-broken"
    next_step = (
        "Move the file aside unchanged, for an investigation, then rebuild the journal from the "
        "sealed bundles with `runbook journal`."
    )


class FormatError(EvidenceError):
    """A journal, record or statement has another format than this runbook reads and writes."""

    code = "format-unknown"
    exit_code = ExitCode.USAGE
    next_step = "Use the version of the runbook that wrote it; nothing was done."

    def __init__(self, subject: str, version: object, known: object, *, file: str = "") -> None:
        problem = f"has format {version}" if version is not None else "names no format"
        super().__init__(f"{subject} {problem}; this runbook reads format {known}.", file=file)


class EnvelopeError(EvidenceError):
    """A statement or its envelope violates the standards (in-toto v1, DSSE v1)."""

    code = "envelope-invalid"
    next_step = "Ask the sender for a new copy of the bundle; keep this one unchanged."


class SignatureError(EvidenceError):
    """No trusted key has signed."""

    code = "no-trusted-signature"
    next_step = (
        "If you have the key from a source that you trust, name it with --key, or for `archive` "
        "copy it to the folder `keys`. Otherwise do not rely on this bundle."
    )


class ContentError(EvidenceError):
    """A file differs from the signed one, is missing, or was added."""

    code = "content-altered"
    next_step = "Do not rely on this bundle; ask the sender for a new copy."


class TimestampError(EvidenceError):
    """A time-stamp does not match its subject (RFC 3161)."""

    code = "timestamp-mismatch"
    next_step = "Name the authority's certificate (--tsa-certificate), or ask for a new copy."


class SigningError(EvidenceError):
    """The signing key could not be used; nothing was sealed."""

    code = "signing-key-unusable"
    exit_code = ExitCode.INCOMPLETE
    next_step = "Make sure that the key or its service works, then run again."


class ArchiveError(EvidenceError):
    """A store rejected a bundle or returned different content; the local bundle stays."""

    code = "archive-refused"
    exit_code = ExitCode.INCOMPLETE
    next_step = (
        "Check the archive's address, credentials, network and RUNBOOK_ARCHIVE_SECONDS, then try "
        "again: `runbook archive` resumes where it stopped."
    )


class StoreUnavailableError(ArchiveError):
    """A store cannot be used at all for now, so no other bundle is tried."""

    code = "archive-unavailable"


def reason_of(error: OSError) -> str:
    """Return why the system refused, in its own words."""
    return error.strerror or type(error).__name__


@contextmanager
def reported_as(kind: type[RunbookError], what: str, **options: Any) -> Iterator[None]:
    """Raise a `kind` that says `what` and the system's reason in place of an `OSError`."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {reason_of(error)}.", **options) from error


def error_document(error: RunbookError) -> dict[str, str]:
    """Return an error for programs: its `code`, its message, and what to do next."""
    return {"code": error.code, "message": str(error), "next": error.diagnostics()}


def describe_error(error: BaseException) -> tuple[str, str]:
    """Return an error's message and what to do next; never text from an unknown error."""
    if isinstance(error, RunbookError):
        return str(error), error.diagnostics()
    if isinstance(error, OSError):
        # NOTE: the name alone; evidence and messages should not show where a folder is.
        file = f" ({Path(error.filename).name})" if isinstance(error.filename, str) else ""
        return f"Cannot write to disk: {reason_of(error)}{file}.", JournalError.next_step
    return f"The runbook itself broke ({type(error).__name__}).", "Report it as a defect."
