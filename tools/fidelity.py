"""
Write the sandbox's inferred, unknown and confirmed answers into docs/sandbox.md.

The list is `facebook_cyclr_sandbox/fidelity.toml`; docs/sandbox.md is its form for people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facebook_cyclr_sandbox.response_sources import UNPUBLISHED_KEYS, load_sections

PAGE = Path(__file__).parents[1] / "docs" / "sandbox.md"
_BEGIN = "<!-- From fidelity.toml, by `make fidelity` -->\n"


def with_fidelity(page: str) -> str:
    """Return `page` with the list of today, which is its end."""
    before, begin, _ = page.partition(_BEGIN)
    if not begin:
        raise ValueError(f"docs/sandbox.md has no line {_BEGIN.strip()}")
    return before + begin + "".join(_fold(name, facts) for name, facts in load_sections().items())


def _fold(name: str, facts: dict[str, Any]) -> str:
    lists = ""
    number = 0
    for mark in ("inferred", "unknown"):
        listed = facts.get(mark, {})
        marked = _keys(listed) if name == UNPUBLISHED_KEYS else listed
        parts = [fact.partition(" | ") for fact in marked]
        number += len(parts)
        if parts:
            lines = "".join(f"- {answer} ({source})\n" for answer, _, source in parts)
            lists += f"{mark.capitalize()}:\n\n{lines}\n"
    if not lists:
        return ""
    title = f"{name.split(' ', maxsplit=1)[0].replace('_', ' ').capitalize()}: {facts['about']}"
    return f"\n<details><summary>{title} ({number})</summary>\n\n{lists}</details>\n"


def _keys(calls: dict[str, dict[str, str]]) -> list[str]:
    """Return the keys that no published response has, as facts."""
    return [
        f"{call}: {key} | {source}" for call, keys in calls.items() for key, source in keys.items()
    ]


if __name__ == "__main__":
    PAGE.write_text(with_fidelity(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
