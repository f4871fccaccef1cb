"""
Who could have written a file that the runbook finds by itself.

A settings file names the addresses that secrets go to, and a notebook is code. So neither is read
if another user can write it. A file that a person names is not examined.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from pathlib import Path

from runbook_lib.errors import SettingsError

_ROOT = 0


def require_own(path: Path, subject: str) -> None:
    """
    Raise `SettingsError` if another user owns `path` or can write it; of a link, its target too.

    `subject` begins the message. The advice is the command that sets it right. A missing file is
    accepted.
    """
    places = [path, Path(os.path.realpath(path))] if path.is_symlink() else [path]
    commands = []
    for place in places:
        # NOTE: of a link to nowhere only the link is there.
        if os.path.lexists(place):
            commands += _corrections(place)
    if commands:
        raise SettingsError(
            f"{subject} {path} was not read: another user owns it or can change it.",
            next_step=f"Read it. If you trust it, run: {' && '.join(commands)}",
        )


def _corrections(path: Path) -> list[str]:
    """Return the commands after which only this user and root can write the file at `path`."""
    status = path.lstat()
    is_link = stat.S_ISLNK(status.st_mode)
    if not (is_link or stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return []  # A device or a pipe is neither read nor executed.
    me = os.geteuid()
    # Root works in a folder that is mounted from another machine: its files have its owner.
    mine = [me, Path.cwd().stat().st_uid] if me == _ROOT else [me]
    place = shlex.quote(str(path))
    commands = []
    if status.st_uid not in (*mine, _ROOT):
        commands.append(f"chown {'-h ' if is_link else ''}{_user_name(me)} {place}")
    is_shared = status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid, mine)
    # NOTE: a link's own mode has no meaning on Linux (symlink(7)).
    if not is_link and (is_shared or status.st_mode & stat.S_IWOTH):
        commands.append(f"chmod go-w {place}")
    sudo = "" if me in (status.st_uid, _ROOT) else "sudo "
    return [f"{sudo}{command}" for command in commands]


def _is_private(group: int, users: list[int]) -> bool:
    """Return whether a group is one user's own, as with umask 002: primary, and of his name."""
    for user in users:
        try:
            account = pwd.getpwuid(user)
            if account.pw_gid == group and grp.getgrgid(group).gr_name == account.pw_name:
                return True
        except KeyError:
            continue
    return False


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
