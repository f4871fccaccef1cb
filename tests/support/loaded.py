"""
`runbook` in a process forked from one that has loaded it, as the tenants of a fleet are.

It does what a new process does, without the second or two that loading takes. Tests of how
commands start, end and are killed run new processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from runbook_lib.engine.elsewhere import PRELOADED


class LoadedCommand:
    """
    `runbook` with `arguments`, which has begun; `communicate` waits for its end.

    A watch's clock is `ahead` by so many seconds.
    """

    def __init__(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], *, ahead: float = 0.0
    ) -> None:
        self._folder = TemporaryDirectory()
        self._printed = [Path(self._folder.name) / name for name in ("output", "errors")]
        for path in self._printed:
            path.touch()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process = context.Process(
            target=_live, args=[[*arguments], cwd, {**env}, self._printed, ahead]
        )
        self._process.start()
        self.pid = self._process.pid or 0

    def kill(self, after: float) -> bool:
        """Kill it and all that it started `after` so many seconds; return whether it still ran."""
        self._process.join(after)
        is_running = self._process.exitcode is None
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        return is_running

    def communicate(self, timeout: float) -> tuple[int, str, str]:
        """Return exit code (minus the signal that ended it), output and error output."""
        with self._folder:
            self._process.join(timeout)
            code = self._process.exitcode
            if code is None:
                self._process.kill()
                self._process.join()
                raise subprocess.TimeoutExpired("runbook", timeout)
            self._process.close()
            output, errors = (path.read_text(encoding="utf-8") for path in self._printed)
            return code, output, errors


def _live(
    arguments: list[str], cwd: Path, env: dict[str, str], printed: list[Path], ahead: float
) -> None:
    from runbook_lib.cli.main import main  # noqa: PLC0415  (in the new process)

    if ahead:
        from runbook_lib.core.clock import utc_now  # noqa: PLC0415
        from runbook_lib.operations.watch import cycle, poll  # noqa: PLC0415

        def clock() -> datetime:
            return utc_now() + timedelta(seconds=ahead)

        poll.open_watched.__kwdefaults__["clock"] = clock  # type: ignore[index]
        cycle.utc_now = clock  # type: ignore[attr-defined]
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate(printed, start=1):
        target = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(target, number)
        os.close(target)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["runbook", *arguments]
    main(prog_name="runbook")
