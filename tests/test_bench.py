"""What `make bench` computes from what it measured."""

from __future__ import annotations

import json
from typing import Any

from tests.bench.distance import count_requests, waits_in_a_row


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
