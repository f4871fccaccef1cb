"""The figures that `make bench` computes from its measurements."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config.attestations import check_subjects, read_attestations
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import practice_attestations
from tools.bench.distance import count_requests, waits_in_a_row
from tools.bench.fleet import sandboxes
from tools.bench.fleet_distance import attestations
from tools.bench.watch_fleet import daily_looks


def line(kind: str, **data: Any) -> bytes:
    """Return a journal line."""
    return json.dumps({"type": kind, "data": data}).encode()


def test_a_request_is_its_method_url_and_body() -> None:
    """Every exchange counts, and a request is different by its method, its URL or its body."""
    asked = {"method": "POST", "url": "https://graph.test/token", "request": {"code": "1"}}
    journal = [
        line("step.started"),
        line("exchange.recorded", **asked, status=200),
        line("exchange.recorded", **asked, status=500),
        line("exchange.recorded", **{**asked, "method": "GET"}),
        line("exchange.recorded", **{**asked, "url": "https://graph.test/other"}),
        line("exchange.recorded", **{**asked, "request": {"code": "2"}}),
        line("exchange.recorded", method="DNS", url="graph.test"),
        line("step.checked", exchanges=[2]),
    ]

    assert count_requests(journal) == (6, 5)


def test_waits_in_a_row_are_what_the_longest_round_trip_adds() -> None:
    """Ten seconds more at a quarter of a second are forty waits, wherever the run began."""
    assert waits_in_a_row({0.0: 2.0, 0.05: 3.5, 0.25: 12.0}) == 40


def test_attestations_of_a_fleet_are_about_each_app(tmp_path: Path) -> None:
    """Each app gets every entry of the file, as if it were its own."""
    now = datetime(2026, 11, 28, tzinfo=UTC)
    apps = ["7901379058727833", "8618852524944418"]
    words = practice_attestations(PROCEDURE.id, "approved", now.date())
    own = tmp_path / "own.toml"
    fleet = tmp_path / "fleet.toml"
    own.write_text(words)
    fleet.write_text(attestations(words, apps))
    expected = [word.step for word in read_attestations(own, PROCEDURE, now=now, values={})]

    tenants = [{"app_id": app} for app in apps]
    assert check_subjects(fleet, [(PROCEDURE, values) for values in tenants], now=now) == []
    for values in tenants:
        read = read_attestations(fleet, PROCEDURE, now=now, values=values)
        assert [word.step for word in read] == expected


@pytest.mark.costly("looks at ten tenants, three times")
def test_a_fleets_watch_asks_little_more_than_it_must() -> None:
    """
    Each daily look asks 1.08 times as often as there are questions, and every day the same.

    For a tenant three are asked again: the account in Cyclr after controls were refused with 401,
    and a token and that account when customers are looked at. Ten tenants of two apps open no more
    connections than two of them would.
    """
    with sandboxes(2) as place:
        figures = list(daily_looks(place, 10, 3))

    assert [look["problems"] for look in figures] == [[]] * 3
    assert [look["changes"] for look in figures] == [0] * 3
    assert all(look["requests"] <= 1.08 * look["least"] for look in figures)
    assert all(look["requests"] - look["least"] == 3 * 10 for look in figures)
    assert len({(look["requests"], look["least"]) for look in figures}) == 1
    # Six at a time to each host of an app, which are four at most.
    assert all(0 < look["connections"] <= 2 * 6 * 4 for look in figures)
