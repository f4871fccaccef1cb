"""Measure the leak gate's time for a MiB of text: the kinds that are easiest and hardest for it."""

from __future__ import annotations

import base64
import json
import random
import time
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.core.secret_search import SecretSearch

_MEBIBYTE = 1 << 20
_TURNS = 3
_TARGET_SECONDS = 3.0
# As many as a run knows, with the tokens that it is given on the way.
_SECRETS = 12

Figures = dict[str, Any]


def texts() -> dict[str, bytes]:
    """Return a text of a MiB for each kind."""
    source = random.Random(59)
    coded = base64.b64encode(source.randbytes(_MEBIBYTE)).decode()
    words = [coded[at : at + 26] for at in range(0, len(coded), 26)]
    kinds = {
        "prose": "the app has a redirect URI, and it is fine. " * 30_000,
        "JSON in JSON": json.dumps(json.dumps('a "quoted" \\ text\n' * 60_000)),
        "base64, one word": coded,
        "base64, folded lines": "\n".join(coded[at : at + 76] for at in range(0, len(coded), 76)),
        "base64 of JSON": base64.b64encode(b'{"a": "\\u00e9"}, ' * 60_000).decode(),
        "base64, words joined by escapes": "%2B%252B".join(words),
        "the same with NUL between": "\0%252B".join(words),
        "bytes of a picture": source.randbytes(_MEBIBYTE).decode("latin-1"),
    }
    return {
        name: text.encode("latin-1" if "bytes" in name else "utf-8")[:_MEBIBYTE]
        for name, text in kinds.items()
    }


def report(console: Console) -> Figures:
    """Measure, print the table, and return processor seconds a MiB, by kind of text."""
    source = random.Random(60)
    redactor = Redactor(Secret(f"{source.getrandbits(128):032x}") for _ in range(_SECRETS))
    table = Table(title=f"The leak gate: processor seconds a MiB (at most {_TARGET_SECONDS:.0f})")
    table.add_column("text")
    table.add_column("s", justify="right")
    figures: Figures = {}
    for name, content in texts().items():
        figures[name] = min(_seconds(redactor, content) for _ in range(_TURNS))
        table.add_row(name, f"{figures[name]:.2f}")
    console.print(table)
    return figures


def _seconds(redactor: Redactor, content: bytes) -> float:
    search = SecretSearch(partial(redactor.find_secret, bare_hex=False))
    began = time.process_time()
    if search.before_leak_in_file(content) is not None:
        raise ValueError("The text of the bench holds what looks like a secret.")
    return (time.process_time() - began) * _MEBIBYTE / len(content)
