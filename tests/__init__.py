"""The tests; each one's docstring states the promise that the product keeps."""

import sys

# As the program's entry (`cli/main.py`) does: otherwise each process of tests, and each program
# that imports from here, builds dozens of parsers when it loads nbformat.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
