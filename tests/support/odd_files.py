"""
Odd files in the place of a plain file, by accident, attack or disk error.

Each maker creates one such thing at a path in an existing folder. `FILES` replace a file, `FOLDERS`
a folder. A command that reads them must end soon, use little memory, and name the odd path.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from click.testing import CliRunner, Result

from runbook_lib.cli.main import main
from tests.support.wording import wording

# How each sentence about a defect begins.
BROKE = wording("screens.runbook-broke", error="").partition(" (")[0]

Maker = Callable[[Path], None]
Place = TypeVar("Place")

# A name with a line end, escape sequences, a direction override, and a byte that is not UTF-8.
FORGED_NAME = "zz: fine\n✔ acme: 3 in a chain\x1b[2K\x1b[1A\u202e\udcff"
NAMES = (FORGED_NAME, "tab\tand\rreturn", "\u200b", "a" * 255, "-rf", "\x07bell")

_BRACKETS = 100_000
_HUGE = 500 * 1024 * 1024
_LEVELS = 1_500
_MANY = 100_000
_SECONDS = 60


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Fail if the block does not end in time."""

    def stop(_signal: int, _frame: object) -> None:
        raise AssertionError(f"no end within {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    """Bind a socket there, by a short name, since a socket's address has at most 107 bytes."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _link(target: str) -> Maker:
    return lambda path: path.symlink_to(target)


def _link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _link_to_pipe(path: Path) -> None:
    pipe = path.with_name(f".{path.name}.pipe")
    os.mkfifo(pipe)
    path.symlink_to(pipe.name)


def _folder(path: Path) -> None:
    path.mkdir()


def _content(content: bytes) -> Maker:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


def _huge(path: Path) -> None:
    """Make a sparse file of 500 MB."""
    with path.open("wb") as file:
        file.truncate(_HUGE)


def _huge_json(path: Path) -> None:
    """Make a sparse file of 500 MB that begins as JSON."""
    with path.open("wb") as file:
        file.write(b'{"a": "')
        file.truncate(_HUGE)


def _nested(path: Path) -> None:
    """Make nested folders, deeper than the longest path (PATH_MAX)."""
    path.mkdir()
    here = os.open(path, os.O_RDONLY)
    try:
        for _ in range(_LEVELS):
            os.mkdir("deeper", dir_fd=here)
            below = os.open("deeper", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        with os.fdopen(os.open("end.txt", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=here), "w") as f:
            f.write("the end")
    finally:
        os.close(here)


def _crowded(path: Path) -> None:
    """Make a folder of 100,000 empty files, as links to one file, which is faster."""
    path.mkdir()
    first = path / "0"
    first.touch()
    names = iter(range(1, _MANY))
    source = first
    for number in names:
        try:
            os.link(source, path / str(number))
        except OSError:
            # NOTE: the number of links to a file is limited (65,000 on ext4).
            source = path / str(number)
            source.touch()


def _odd_names(path: Path) -> None:
    path.mkdir()
    for name in NAMES:
        with contextlib.suppress(OSError):
            (path / name).write_text("x")


FILES: Mapping[str, Maker] = {
    "named pipe": _pipe,
    "socket": _socket,
    "link to /dev/zero": _link("/dev/zero"),
    "link to /dev/full": _link("/dev/full"),
    "link to /dev/tty": _link("/dev/tty"),
    "link to a pipe": _link_to_pipe,
    "link to itself": _link_to_itself,
    "link to nowhere": _link("nowhere"),
    "link to a long name": _link("n" * 300),
    "folder": _folder,
    "empty": _content(b""),
    "deep JSON": _content(b"[" * _BRACKETS + b"\n"),
    "deep JSON that ends": _content(b"[" * _BRACKETS + b"]" * _BRACKETS + b"\n"),
    "deep JSON objects": _content(b'{"a":' * _BRACKETS + b"1" + b"}" * _BRACKETS + b"\n"),
    "long number": _content(b"9" * _BRACKETS + b"\n"),
    "NaN": _content(b"NaN\n"),
    "half a character": _content(b'{"a": "\\ud83d"}\n'),
    "no UTF-8": _content(b"\xff\xfe\x00\x80\n"),
    "zeroes": _content(bytes(_BRACKETS) + b"\n"),
    "huge": _huge,
    "huge JSON": _huge_json,
    "another type": _content(b'[1, "two", null]\n'),
}

FOLDERS: Mapping[str, Maker] = {
    "nested 1,500 deep": _nested,
    "100,000 files": _crowded,
    "odd names": _odd_names,
    "empty folder": _folder,
    "file": _content(b"x"),
    "named pipe": _pipe,
    "socket": _socket,
    "link to itself": _link_to_itself,
    "link to the root": _link("/"),
    "link to nowhere": _link("nowhere"),
    "link to /dev/zero": _link("/dev/zero"),
}


# The folders that are slow to make and remove, with the names in each.
_SLOW: Mapping[str, frozenset[str]] = {
    "nested 1,500 deep": frozenset({"deeper"}),
    "100,000 files": frozenset(map(str, range(_MANY))),
}


class Shelf:
    """The odd folders that are slow to make: each is made once and reused by many tests."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lent: dict[str, Path] = {}

    def maker(self, kind: str) -> Maker:
        """Return the maker of an odd folder of this kind."""
        return partial(self._lend, kind) if kind in _SLOW else FOLDERS[kind]

    def _lend(self, kind: str, path: Path) -> None:
        kept = self._path / kind
        if not kept.exists():
            FOLDERS[kind](kept)
        self._lent[kind] = kept.rename(path.absolute())

    def take_back(self) -> None:
        """Move the folders back without a test's additions; drop a folder that a test damaged."""
        for kind, path in self._lent.items():
            present = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
            if present >= _SLOW[kind]:
                remove(*(path / name for name in present - _SLOW[kind]))
                path.rename(self._path / kind)
        self._lent.clear()


def once_each(kinds: Iterable[str], places: Sequence[Place]) -> list[tuple[str, Place]]:
    """Return each kind of odd file with one place, so that the places take turns."""
    return [(kind, places[number % len(places)]) for number, kind in enumerate(kinds)]


def put(make: Maker, place: Path) -> None:
    """Put something odd in place of a file."""
    remove(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    make(place)


def remove(*paths: Path) -> None:
    """Remove a maker's files, however deep, which `shutil.rmtree` cannot."""
    folders = []
    for path in paths:
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(path.lstat().st_mode):
                folders.append(path)
            else:
                path.unlink()
    if folders:
        subprocess.run(["rm", "-rf", "--", *folders], check=True)


def ends_well(*words: str) -> Result:
    """
    Run the command; assert that it ends with an exit code of its contract and without a defect.
    """
    with time_limit():
        result = CliRunner().invoke(main, words)
    details = f"{result.exit_code} {result.output[-2000:]!r} {result.exception!r}"
    assert result.exception is None or isinstance(result.exception, SystemExit), details
    assert result.exit_code in (0, 1, 2, 3, 4), details
    assert BROKE not in result.output, details
    assert len(result.stderr) < 4_000, details
    return result
