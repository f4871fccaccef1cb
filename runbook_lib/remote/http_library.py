"""
httpx, loaded with its first use: a command that sends nothing need not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx as httpx  # noqa: PLC0414  (others import it from here)
else:

    class _Httpx:
        """Loads the package when it is first used."""

        def __getattr__(self, name: str) -> Any:
            """Import httpx and return its attribute `name`."""
            import httpx as loaded  # noqa: PLC0415  (slow to import)

            return getattr(loaded, name)

    httpx = _Httpx()
