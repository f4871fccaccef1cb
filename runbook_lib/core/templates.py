"""The Jinja templates of reports and notebook outputs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import BytecodeCache, Environment
    from jinja2.bccache import Bucket


def template_environment(
    folder: Path, *, finalize: Callable[[Any], Any] | None = None
) -> Environment:
    """
    Return an environment for the HTML templates in `folder`.

    Values are escaped, after `finalize`; an unknown name raises jinja2's `UndefinedError`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  (slow)

    return Environment(
        bytecode_cache=_open_cache(),
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )


def _open_cache() -> BytecodeCache | None:
    """Return the cache of compiled templates; `None` if others may write there."""
    from jinja2 import FileSystemBytecodeCache  # noqa: PLC0415  (slow)
    from platformdirs import user_cache_path  # noqa: PLC0415  (slow)

    class TemplateCache(FileSystemBytecodeCache):
        """A cache that ignores failed writes."""

        def dump_bytecode(self, bucket: Bucket) -> None:
            """Write the code of a template, if there is room for it."""
            with suppress(OSError):
                super().dump_bytecode(bucket)

    folder = user_cache_path("facebook-marketing-runbook") / "templates"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    # NOTE: the folder holds code that is run.
    is_mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return TemplateCache(str(folder)) if is_mine and not status.st_mode & 0o077 else None


def compile_all(environment: Environment) -> None:
    """Compile every template at once (0.2 s), not at its first use."""
    for name in environment.list_templates():
        environment.get_template(name)
