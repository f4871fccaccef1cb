"""
The settings of a Cyclr account that a caller gives and gets back (cyclr §3).
"""

from collections.abc import Mapping
from typing import Any

from facebook_cyclr_sandbox.cyclr.shapes import DEFAULT_SETTINGS, CyclrError
from facebook_cyclr_sandbox.origins import inferred, verbatim

_HOURS = ("StepDataSuccessRetentionHours", "StepDataErroredRetentionHours")
_URL = "TransactionErrorWebhookUrl"


@verbatim("cyclr §3", "StepDataErroredRetentionHours (-10): must be non negative", "its own tests")
@verbatim("cyclr §3", "Transaction Error Webhook URL must be defined, if enabled", "its own tests")
@verbatim("cyclr §3", "accounts echo AuditInfo, TaskAuditInfo and five settings", "its own tests")
@inferred("cyclr §3", "StepDataSuccessRetentionHours is refused in the same words", "its own tests")
def settings_of(
    document: Mapping[str, Any], known: Mapping[str, object] = DEFAULT_SETTINGS
) -> dict[str, object]:
    """Return the settings after a call with this `document`; raise CyclrError for wrong ones."""
    before = {**DEFAULT_SETTINGS, **known}
    given = {name: document.get(name, value) for name, value in before.items()}
    settings = {
        name: value if isinstance(value, str | int | None) else before[name]
        for name, value in given.items()
    }
    for name in _HOURS:
        hours = settings[name]
        if isinstance(hours, int) and hours < 0:
            raise CyclrError(400, f"{name} ({hours}): must be non negative")
    settings[_URL] = _with_scheme(settings[_URL])
    if settings["TransactionErrorWebhookEnabled"] is True and not settings[_URL]:
        message = "Transaction Error Webhook enabled: Transaction Error Webhook URL must be defined"
        raise CyclrError(400, message)
    return settings


@verbatim("cyclr §3", "a webhook URL without a scheme gets https://", "its own tests")
def _with_scheme(url: object) -> object:
    if not isinstance(url, str) or not url or "://" in url:
        return url
    return f"https://{url}"
