"""
Write docs/permissions.md: what each method of a connector needs, from the connectors' `uses.toml`.

`python -m tools.permissions` (or `make permissions`) writes the page; a test compares it.
"""

from __future__ import annotations

from pathlib import Path

from runbook_lib import connectors
from runbook_lib.connectors.facebook.permission_uses import permission_uses
from runbook_lib.connectors.registry import connector_names, find_procedure, kit_of
from runbook_lib.connectors.review_kit import method_needs

CONNECTORS_FOLDER = Path(connectors.__file__).parent
# Only a connector whose vendor grants permissions has uses of them.
CONNECTORS = tuple(
    name for name in connector_names() if (CONNECTORS_FOLDER / name / "uses.toml").is_file()
)
PAGE = Path(__file__).parents[1] / "docs" / "permissions.md"
_HEAD = """\
# Permissions that each Cyclr method needs

People without a role on the app, such as your customers, can use a method only if the app has its
permission with this level of access. Where a call has two rows, our sources name both permissions
for it. The review kit ([`runbook kit`](set-up.md#app-review)) has the same table for the
permissions that you chose.

`make permissions` writes this page.
"""
_COLUMNS = ("method", "call", "permission", "level of access", "approved in", "usually takes")


def page() -> str:
    """Return the text of docs/permissions.md."""
    return "\n".join([_HEAD, *map(_section, CONNECTORS)])


def _section(connector: str) -> str:
    procedure = find_procedure(connector)
    names = tuple(use.name for use in permission_uses(connector).uses)
    needs = method_needs(kit_of(connector, {"permissions": names}), procedure)
    head = f"## {procedure.title}\n"
    if not needs:
        text = "Cyclr's pages name no method for its calls. `runbook kit` lists the calls."
        return f"{head}\n{text}\n"
    rows = [
        f"| {row.method} | `{row.request}` | `{row.permission}` | {row.access_level} "
        f"| {row.approved_by} | {row.usual_time} |"
        for row in needs
    ]
    heading = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"
    return "\n".join([head, heading, *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
