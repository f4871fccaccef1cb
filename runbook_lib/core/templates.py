"""
The Jinja templates of reports and notebook outputs, compiled once and kept beside them.

What was compiled is in `__pycache__`, like Python's own bytecode, and under the
same conditions: where the folder can be written, and bytecode may be.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["template_environment"]


def template_environment(
    folder: Path, *, finalize: Callable[[Any], Any] | None = None
) -> Environment:
    """
    Return an environment for the HTML templates in `folder`.

    Values are escaped, after `finalize`; an unknown name raises jinja2's `UndefinedError`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  (slow)
    from jinja2.bccache import Bucket, FileSystemBytecodeCache  # noqa: PLC0415

    class Cache(FileSystemBytecodeCache):
        """Keeps what was compiled, and recognises by its source what is stale."""

        def dump_bytecode(self, bucket: Bucket) -> None:
            """Write what was compiled, if that is possible."""
            if not sys.dont_write_bytecode:
                with suppress(OSError):
                    Path(self.directory).mkdir(exist_ok=True)
                    super().dump_bytecode(bucket)

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
        # NOTE: else filters of constants would be part of what is kept, and stale when they change.
        optimized=False,
        bytecode_cache=Cache(str(folder / "__pycache__")),
    )
