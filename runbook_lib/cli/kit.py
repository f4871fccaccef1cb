"""The command `kit`: write the texts and the screencast script for a review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import EVIDENCE, JSON, SET, assignments, tenant_options
from runbook_lib.cli.plain_output import say, show_json, show_paragraph
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import SettingsError
from runbook_lib.text import pluralize

if TYPE_CHECKING:
    from runbook_lib.engine.kit import WrittenKit


_HAS_BLANKS = (
    "The kit has blanks for this. Name the tenant with --tenant, enter the value in the "
    "walkthrough, or give it with --set."
)


@click.command()
@tenant_options
@SET
@EVIDENCE
@click.option(
    "--output", default=".", show_default=True, metavar="FOLDER", help="The folder to write to."
)
@click.option("--force", "overwrites", is_flag=True, help="Overwrite files that you changed.")
@click.option("--attach", is_flag=True, help="Keep review-kit.md as evidence, as submitted.")
@click.option(
    "--by", default="", metavar="NAME", help="With --attach: the person who submitted it."
)
@click.option("--note", default="", help="With --attach: a note for the record.")
@JSON
def kit(
    *,
    connector: str,
    given: tuple[str, ...],
    output: str,
    attach: bool,
    by: str,
    note: str,
    as_json: bool,
    **options: Any,
) -> None:
    """
    Write the texts and the screencast script for the provider's review.

    It writes review-kit.md for you to adapt. Once you have submitted the texts, --attach --by NAME
    keeps the file with the step. Fill in every blank first.
    """
    from pathlib import Path

    from runbook_lib.engine.kit import KitRequest, write_kit

    if attach and not by.strip():
        raise SettingsError(
            "--attach records who submitted the kit: add --by NAME.",
            next_step="Nothing was written.",
        )
    if (by or note) and not attach:
        raise SettingsError("--by and --note need --attach.", next_step="Nothing was written.")
    request = KitRequest(
        procedure=find_procedure(connector),
        given=assignments(given),
        output=Path(output),
        by=by,
        note=note,
        **options,
    )
    written = write_kit(request)
    if as_json:
        file = written.file
        document = {
            "file": {
                "path": str(file.path),
                "changed": file.is_changed,
                "blanks": len(file.blanks),
            },
            "permissions": [part.name for part in written.kit.permissions],
            "warnings": list(written.kit.warnings),
            "unknown": list(written.kit.unknown),
            "attached_to": written.step or None,
        }
        show_json(document)
    else:
        _show_kit(written)


def _show_kit(written: WrittenKit) -> None:
    file = written.file
    say(f"{'Kept with your changes' if file.is_changed else 'Written'}: {file.path}")
    for warning in written.kit.warnings:
        show_paragraph(warning, indent="", first="! ")
    if written.kit.unknown and not file.is_changed:
        names = ", ".join(written.kit.unknown)
        show_paragraph(f"Not known yet: {names}. {_HAS_BLANKS}", indent="")
    if written.step:
        say(f"Kept as the submitted text of step {written.step}.")
        return
    places = pluralize(len(file.blanks), "place")
    show_paragraph(
        f"Next: replace the {places} marked ‹…›, and record the screencast from its script. After "
        "you submit them: runbook kit --attach --by NAME.",
        indent="",
    )
