"""
The known shapes of responses, and the use of field reports.

`make shapes` writes `known_shapes.json` of each provider from runs in the sandbox and from the
published responses. `python -m tools.shapes REPORT` prints the sandbox's responses that need a
change. With `--seen`, calls that were answered as in the sandbox are marked in `fidelity.toml`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec

from facebook_cyclr_sandbox.recorded_responses import RecordedResponse, load_recorded_responses
from facebook_cyclr_sandbox.response_sources import LIVE_CALLS
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.journal import Journal
from runbook_lib.core.model import Exchange, ResponseShape
from runbook_lib.core.shapes import OTHER_KEY, error_numbers, shape_of
from runbook_lib.engine.field_report import (
    KNOWN_SHAPES,
    PUBLISHED,
    SANDBOX,
    DifferenceKind,
    FieldReport,
    call_of,
    flatten_shape,
)
from runbook_lib.engine.practice import scenarios_of

ROOT = Path(__file__).parents[1]
FIDELITY = ROOT / "facebook_cyclr_sandbox" / "fidelity.toml"
CONNECTORS = ("facebook_marketing", "facebook_messenger")
# Scenarios whose responses differ from `approved` in a way that a check reads.
SCENARIOS = (
    "approved",
    "fresh",
    "wrong-secret",
    "redirect-missing",
    "permission-missing",
    "token-expired",
    "portfolio-pages",
    "portfolio-refuses",
    "system-user",
    "renewal-due",
    "cyclr-ip-blocked",
    "tech-provider-pending",
)
PROVIDERS = ("cyclr", "facebook")
_PATH_OF_CYCLR = re.compile(r"https?://[^/]+/(?:v1\.0|oauth/token)\b")


@dataclass
class _Shapes:
    """The known shapes of one provider's responses."""

    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)

    def text(self) -> str:
        """Return the content of `known_shapes.json`."""
        lists = {"codes": sorted(self.codes - {""}), "headers": sorted(self.headers)}
        return json.dumps({"calls": self.calls, **lists}, indent=1, sort_keys=True) + "\n"

    def add(self, call: str, exchange: Exchange, source: str) -> None:
        """Add the response in `exchange`, if it is a new one."""
        shape = exchange.shape
        if shape is None:
            return
        self.codes.add(shape.error)
        self.headers |= {*shape.header_names}
        entry = self.calls.setdefault(call, {"reads": [], "responses": []})
        response = {
            "from": source,
            "status": exchange.status,
            "error": shape.error,
            "body": json.loads(shape.body),
        }
        if response not in entry["responses"]:
            entry["responses"].append(response)
            entry["responses"].sort(key=lambda difference: json.dumps(difference, sort_keys=True))
        if not shape.error and source == SANDBOX:
            kept = {path for path, _ in flatten_shape(shape_of(exchange.response)) if path}
            read = {path for path in kept if OTHER_KEY not in path}
            entry["reads"] = sorted({*entry["reads"], *read})


def known_shapes() -> dict[str, _Shapes]:
    """Return the known shapes by provider, from runs in the sandbox and published responses."""
    known = {provider: _Shapes() for provider in PROVIDERS}
    for exchange in _practised():
        provider = PROVIDERS[not _PATH_OF_CYCLR.match(exchange.url)]
        known[provider].add(call_of(exchange), exchange, SANDBOX)
    of_facebook = known["facebook"]
    for record in load_recorded_responses():
        if not record.body or record.method != "GET":
            continue
        of_facebook.codes.add(error_numbers(record.body))
        for call in [call for call in of_facebook.calls if is_of(call, record)]:
            of_facebook.add(call, as_exchange(record), PUBLISHED)
    return known


def as_exchange(record: RecordedResponse) -> Exchange:
    """Return a published response as if a run had got it."""
    body: Any = dict(record.body)
    if record.is_row:
        body = {"data": [body]}
    return Exchange(
        method=record.method,
        url=f"https://graph.facebook.com{record.path}",
        sent_on="2026-11-30T00:00:00.000Z",
        elapsed=0,
        status=record.status,
        shape=ResponseShape(body=json.dumps(shape_of(body)), error=error_numbers(body)),
    )


def is_of(call: str, record: RecordedResponse) -> bool:
    """Return whether a published response answers this call; a node's fields must be the same."""
    path = call.partition(" ")[2].partition("?")[0].partition(" ")[0]
    wanted = re.sub(r"\{[a-z-]+\}|act_\{[a-z-]+\}", "{id}", record.path.strip("/"))
    if wanted == "{id}":
        return False
    return call.startswith(record.method) and path == wanted and not error_numbers(record.body)


def _practised() -> Iterator[Exchange]:
    """Yield every exchange of a run of each scenario, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("RUNBOOK_")}
        for connector in CONNECTORS:
            theirs = scenarios_of(find_procedure(connector))
            for scenario in (name for name in SCENARIOS if name in theirs):
                subprocess.run(
                    [
                        sys.executable,
                        "-m",
                        "runbook_lib",
                        "run",
                        "--json",
                        "--sandbox",
                        scenario,
                        "--connector",
                        connector,
                        "--evidence",
                        folder,
                    ],
                    env={**environ, "XDG_DATA_HOME": folder, "PYTHONPATH": str(ROOT)},
                    cwd=folder,
                    stdout=subprocess.DEVNULL,
                    check=False,
                )
        for journal in sorted(Path(folder).glob("*/*/journal.jsonl")):
            for entry in Journal(journal).entries():
                if isinstance(entry.data, Exchange) and entry.data.shape:
                    yield entry.data


def _advise(report: FieldReport) -> Iterator[str]:
    """Yield a line for each response of the sandbox that a report shows to be different."""
    if report.sandbox:
        yield "This report is of a practice run: it teaches nothing about the live systems."
    for call in report.calls:
        for difference in call.differences:
            if difference.kind is DifferenceKind.UNKNOWN_CALL:
                yield f"{call.call}: the sandbox never answered this call."
                continue
            change = f"{difference.kind} {difference.where}".strip()
            types = f": {difference.known or '-'} here, {difference.seen or '-'} there"
            weight = (
                f"read by {', '.join(call.checks)}" if difference.matters else "no check reads it"
            )
            yield f"{call.call}: {change}{types} ({weight})."
    if report.headers:
        yield f"Headers that the sandbox never sent: {', '.join(report.headers)}."


def mark_seen(text: str, report: FieldReport) -> str:
    """Return `fidelity.toml` with the calls that were answered as in the sandbox, and the month."""
    if report.sandbox:
        return text
    before, heading, listed = text.partition(f"\n[{LIVE_CALLS}]\n")
    seen = dict(re.findall(r'^"(.+)" = "(.+)"$', listed, flags=re.MULTILINE))
    seen |= {call.call: report.month for call in report.calls if not call.differences}
    lines = "".join(f'"{call}" = "{month}"\n' for call, month in sorted(seen.items()))
    return f"{before}{heading}{lines}"


def read_report(file: Path) -> FieldReport:
    """Read a field report that somebody sent; raises `ClickException` if it is not one."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=FieldReport)
    except (OSError, msgspec.DecodeError) as error:
        raise click.ClickException(f"{file} is no field report: {error}.") from error


@click.command()
@click.argument("file", required=False, metavar="[REPORT]", type=click.Path(path_type=Path))
@click.option("--seen", is_flag=True, help="Mark what was seen live in fidelity.toml.")
def main(file: Path | None, *, seen: bool) -> None:
    """Write the known shapes, or print the changes that a REPORT suggests."""
    if file is None:
        for provider, shapes in known_shapes().items():
            place = ROOT / "runbook_lib" / "connectors" / provider / KNOWN_SHAPES
            place.write_text(shapes.text(), encoding="utf-8")
        return
    report = read_report(file)
    for line in _advise(report):
        click.echo(line)
    if seen:
        FIDELITY.write_text(mark_seen(FIDELITY.read_text(encoding="utf-8"), report), "utf-8")


if __name__ == "__main__":
    main()
