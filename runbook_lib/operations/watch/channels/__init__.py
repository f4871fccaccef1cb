"""
The channels through which messages go: mail, one webhook, and Apprise. Another one is another file.
"""

from __future__ import annotations

from functools import partial

from runbook_lib.core.clock import timestamp
from runbook_lib.engine.tenant_run import Run, new_run_id
from runbook_lib.errors import SettingsError
from runbook_lib.operations.watch.channels.apprise import AppriseChannel
from runbook_lib.operations.watch.channels.base import Channel, NotSentError
from runbook_lib.operations.watch.channels.mail import MailChannel
from runbook_lib.operations.watch.channels.webhook import WebhookChannel
from runbook_lib.operations.watch.watch_state import Digest
from runbook_lib.remote.threads import run_in_thread
from runbook_lib.text import one_line

_CHANNELS: tuple[Channel, ...] = (MailChannel(), WebhookChannel(), AppriseChannel())
CHANNELS = {channel.name: channel for channel in _CHANNELS}

_LONGEST_REASON = 300
# For a whole message; no server needs so long.
MOST_SECONDS = 120.0


def addresses(run: Run, person: str = "") -> dict[str, tuple[str, ...]]:
    """
    Return, for each channel that is set, the receiver of messages about `person`'s steps.

    Raises `SettingsError` for a channel with a missing setting.
    """
    known = {**run.values, **run.settings.secrets}
    by_channel = {}
    for channel in CHANNELS.values():
        missing = [name for name in channel.settings if not known.get(name)]
        if not missing:
            by_channel[channel.name] = channel.address(run, person)
        elif len(missing) < len(channel.settings):
            raise SettingsError(f"{channel.name} needs {', '.join(channel.settings)}.")
    return by_channel


def send(run: Run, channel: Channel, digest: Digest) -> None:
    """
    Send a digest; it is accepted when this returns.

    Raises `NotSentError`, also if a library breaks: its text has no secret.
    """
    try:
        # NOTE: a call that hangs, such as a name's look-up, cannot be stopped: its thread is
        # abandoned.
        error = run_in_thread(partial(channel.send, run, digest), "message").exception(MOST_SECONDS)
    except TimeoutError:
        text = f"it was not accepted within {MOST_SECONDS:.0f} s"
        error = NotSentError(text, is_silent=True, may_be_there=True)
    if error is None:
        return
    if not isinstance(error, NotSentError):
        # NOTE: the text of an unknown error may quote a secret.
        text = f"the message could not be made ({type(error).__name__})"
        error = NotSentError(text, is_final=True)
    reason = one_line(run.redactor.redact(str(error)))[:_LONGEST_REASON]
    error.args = (f"The message “{digest.subject}” was not sent ({channel.name}): {reason}",)
    raise error from None


def try_channels(run: Run, tried: dict[tuple[str, ...], str] | None = None) -> list[str]:
    """
    Send a test message in each channel that is set, as a real one goes; return the channels.

    A receiver in `tried` gets none, and its channel names the tenant that has tried it. Raises
    `NotSentError`, and `SettingsError` where no channel is set.
    """
    known = addresses(run)
    if not known:
        raise SettingsError(
            "No channel is set for messages.",
            next_step="Set mail_server, mail_from and mail_to, or webhook.",
        )
    accepted = []
    tried = {} if tried is None else tried
    for name, address in known.items():
        other = tried.get((name, *address))
        if other is None:
            send(run, CHANNELS[name], _trial(run))
            tried[name, *address] = run.tenant
        accepted.append(f"{name}, as {other}" if other else name)
    return accepted


def _trial(run: Run) -> Digest:
    """Return a test message."""
    mark = "SANDBOX " if run.is_sandbox else ""
    about = f"{mark}{run.tenant}"
    text = f"{about}: this message only shows that messages arrive. Nothing changed."
    return Digest(
        id=f"test{new_run_id()}",
        receiver="",
        subject=f"{about}: test message",
        text=text,
        created_on=timestamp(run.clock()),
        document={"kind": "test", "sandbox": run.is_sandbox, "tenant": run.tenant},
    )
