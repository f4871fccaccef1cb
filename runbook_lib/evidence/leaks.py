"""The leak gate: every file of a bundle is scanned whole before it has its final name."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from runbook_lib.core.redaction import Redactor
from runbook_lib.core.secret_search import SecretSearch
from runbook_lib.errors import LeakError

__all__ = ["refuse_leaks"]

_STEP_ID = re.compile(r"\b(?:fb|cy|test)-[0-9]{2}[a-z]?-[a-z0-9-]+")
_ANOTHER_FILE = (
    "The evidence was not sealed. Confirm the step again without that file, or with one that does "
    "not show the secret, then run again; rotate the credential if the file was shared."
)


def refuse_leaks(
    paths: Iterable[Path], redactor: Redactor, attached: Mapping[str, str] | None = None
) -> None:
    """
    Raise `LeakError`, with the file and the step, if one of the files contains a secret.

    `attached` maps the name of each attached file to its description for people.
    """
    # NOTE: a PDF's identifier is 32 hexadecimal digits (ISO 32000-1 §14.4).
    own, others = (
        SecretSearch(partial(redactor.find_secret, bare_hex=is_own), redactor.holds_known_secret)
        for is_own in (True, False)
    )
    for path in paths:
        given = (attached or {}).get(path.name)
        before = (own if given is None else others).before_leak_in_file(path.read_bytes())
        if before is None:
            continue
        if given is not None:
            raise LeakError(f"There is a secret in {given}.", next_step=_ANOTHER_FILE)
        step = deque(_STEP_ID.finditer(before), maxlen=1)
        where = f"{path.name}, {step[0].group()}" if step else path.name
        msg = f"There is a secret in {where}."
        raise LeakError(msg)
