"""
Keep one needless import chain out of every process that loads nbformat.

nbformat loads jsonschema with all its formats; the `iri` ones build dozens
of parsers at import (most of papermill's start-up) and no notebook uses
them. jsonschema skips a format whose library is absent, so the library is
declared absent before anything asks for it.

Import this module before nbformat or papermill.
"""

from __future__ import annotations

import sys

__all__: list[str] = []

# NOTE: `None` in sys.modules makes an import raise ModuleNotFoundError (Python reference, §5.3.1).
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
