"""
JSON Schemas as Python code, compiled once and kept in `__pycache__` like Python's own bytecode.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType
from typing import Any

from runbook_lib.core.files import write_whole

__all__ = ["compiled_schema"]

_FOLDER = Path(__file__).parent / "__pycache__"


def compiled_schema(schema: Mapping[str, Any], *, folder: Path = _FOLDER) -> Callable[[Any], Any]:
    """
    Return the function that raises fastjsonschema's `JsonSchemaException` for an invalid document.

    What was compiled is kept in `folder` under the digest of the schema and of
    all that compiles it, so nothing kept can be stale.
    """
    path = folder / f"schema-{_digest(schema)}.bin"
    code = _kept(path)
    if code is None:
        code = _compiled(schema)
        _keep(path, code)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  (what fastjsonschema made of the schema)
    validate: Callable[[Any], Any] = names["validate"]
    return validate


def _digest(schema: Mapping[str, Any]) -> str:
    from fastjsonschema import VERSION  # noqa: PLC0415  (slow to import)

    made_of = json.dumps([VERSION, MAGIC_NUMBER.hex(), schema])
    return hashlib.sha256(made_of.encode()).hexdigest()[:32]


def _compiled(schema: Mapping[str, Any]) -> CodeType:
    from fastjsonschema import compile_to_code  # noqa: PLC0415  (slow to import)

    # NOTE: without an id the function is called `validate`.
    bare = {name: value for name, value in schema.items() if name != "$id"}
    return compile(compile_to_code(bare), "<schema>", "exec")


def _kept(path: Path) -> CodeType | None:
    try:
        code = marshal.loads(path.read_bytes())  # noqa: S302  (as trusted as bytecode beside it)
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return code if isinstance(code, CodeType) else None


def _keep(path: Path, code: CodeType) -> None:
    """Write what was compiled, where bytecode may be written."""
    if not sys.dont_write_bytecode:
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            write_whole(path, marshal.dumps(code), is_durable=False)
