"""docs/permissions.md: what each method of a connector needs, made from the connectors' uses."""

from __future__ import annotations

from runbook_lib.connectors.facebook.permission_uses import permission_uses
from runbook_lib.connectors.registry import find_procedure, kit_of
from runbook_lib.connectors.review_kit import kit_markdown, method_needs
from tools.permissions import CONNECTORS, PAGE, page


def test_the_page_is_made_from_the_uses() -> None:
    """docs/permissions.md is what `make permissions` writes, with every documented method."""
    text = page()

    assert PAGE.read_text(encoding="utf-8") == text
    for connector in CONNECTORS:
        for use in permission_uses(connector).uses:
            for call in use.calls:
                row = f"| {call.method} | `{call.request}` | `{use.name}` |"
                assert (row in text) is bool(call.method)


def test_a_kit_has_the_methods_of_its_permissions_only() -> None:
    """The kit's table has a row for each method that the chosen permissions and theirs serve."""
    procedure = find_procedure("facebook_marketing")
    kit = kit_of(procedure.id, {"permissions": ("pages_show_list",)})
    (row,) = method_needs(kit, procedure)

    assert (row.method, row.permission) == ("List My Pages", "pages_show_list")
    assert row.usual_time == procedure.step("fb-12-submit-review").usual_time
    assert f"| {row.method} | {row.request} |" in kit_markdown(kit, procedure)
    assert "List Forms" not in kit_markdown(kit, procedure)
