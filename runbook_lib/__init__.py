"""The Facebook Marketing runbook: prove each step of embedding the connector."""

import sys

# What is declared absent before anything asks for it; each importer copes with its absence.
_NEEDLESS = (
    # nbformat loads jsonschema with all its formats; the `iri` ones build dozens of parsers at
    # import (most of papermill's start-up), and no notebook uses them.
    "rfc3987_syntax",
    # httpx loads its command line, rich included, wherever click is installed.
    "httpx._main",
)

for _name in _NEEDLESS:
    # NOTE: `None` in sys.modules makes an import raise ModuleNotFoundError (Python reference,
    # §5.3.1).
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]
