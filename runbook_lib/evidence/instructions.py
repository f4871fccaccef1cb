"""
`VERIFY.md`: how an auditor checks a bundle with only `sha256sum` and `openssl`.

A test runs its commands exactly as printed.
"""

from __future__ import annotations

from runbook_lib.config.workspace import KEYS_FOLDER
from runbook_lib.evidence.record import Record
from runbook_lib.evidence.reports.renderer import render
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX, WHY_LESS
from runbook_lib.evidence.signing.statement import PAYLOAD_TYPE, ChainLink


def verify_instructions(
    record: Record, *, key_id: str, link: ChainLink, timestamp_authority: str
) -> str:
    """Return the text of `VERIFY.md` for the run in `record`."""
    return render(
        "VERIFY.md",
        record=record,
        key_id=key_id,
        link=link,
        authority=timestamp_authority,
        keys=KEYS_FOLDER,
        suffix=PUBLIC_SUFFIX,
        why_less=WHY_LESS,
        kind=PAYLOAD_TYPE,
    )
