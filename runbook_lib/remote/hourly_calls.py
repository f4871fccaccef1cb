"""
The budget of calls: the part of an hour's calls that an app has used.

All processes with the same evidence folder share it. Response headers of a provider report the
part, in percent. Without such headers the calls are counted.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runbook_lib.core.files import read_plain, write_whole
from runbook_lib.core.json_text import parse_json, write_json

# In the evidence folder, since several tenants may share an app.
BUDGET_NAME = "calls.jsonl"
_HOUR_SECONDS = 3_600
_MAX_FILE_BYTES = 1024 * 1024


class HourlyCalls:
    """
    The calls of each app in the last hour, in the file at `path`.

    A file that cannot be read or written, or whose folder is missing, counts nothing. `wall`
    returns seconds since 1970. Above `max_bytes` the file is written again without its old lines.
    """

    def __init__(
        self,
        path: Path,
        *,
        wall: Callable[[], float] = time.time,
        max_bytes: int = _MAX_FILE_BYTES,
    ) -> None:
        self._path = path
        self._wall = wall
        self._max_bytes = max_bytes

    def count_call(self, app: str, share: float | None) -> None:
        """Count one call of `app`; `share` is the used percentage that its response reports."""
        line = {"at": round(self._wall(), 3), "app": app, "share": share}
        text = f"{write_json(line)}\n".encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            # NOTE: an append is atomic, whatever other processes append meanwhile.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            file = os.open(self._path, flags, 0o600)
            try:
                os.write(file, text)
                is_large = os.fstat(file).st_size > self._max_bytes
            finally:
                os.close(file)
            if is_large:
                self._rewrite()

    def used_percent(self, app: str, allowance: int) -> float:
        """
        Return the part of the hour's calls that `app` has used, in percent.

        This is the newest share that a response reported in the last hour, or else the number of
        calls divided by the `allowance`; 0 if neither is known.
        """
        calls = 0
        for line in self._last_hour(app):
            if line["app"] == app and line["share"] is not None:
                return float(line["share"])
            if line["app"] == app:
                calls += 1
        return 100 * calls / allowance if allowance else 0.0

    def _last_hour(self, app: str = "") -> Iterator[dict[str, Any]]:
        """Yield the calls of the last hour, newest first; it may omit calls of other apps."""
        now = self._wall()
        # NOTE: the file has lines of many tenants' apps; only those of this app are parsed.
        named = write_json(app)[1:-1].encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            for text in reversed(read_plain(self._path, 2 * self._max_bytes).splitlines()):
                if named not in text:
                    continue
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    line = parse_json(text)
                    share = line["share"]
                    if now - _HOUR_SECONDS < float(line["at"]) <= now and (
                        share is None or share >= 0
                    ):
                        yield {"at": line["at"], "app": line["app"], "share": share}

    def _rewrite(self) -> None:
        lines = [write_json(line) for line in self._last_hour()][: self._max_bytes // 200][::-1]
        content = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        write_whole(self._path, content, is_durable=False)
