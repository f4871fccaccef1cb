"""Messages to the engine: their bytes, whatever is in them, and which of them are waited for."""

from __future__ import annotations

import datetime as dt
import json
import threading
from fractions import Fraction
from multiprocessing.connection import Pipe
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.fork_engine.worker import _Publisher, encode


def received(message: dict[str, Any]) -> Any:
    """Return a message as the engine decodes it."""
    return json.loads(encode(message).decode(errors="replace"))


def test_displayed_values_are_encoded_as_json() -> None:
    """
    Dates, bytes, numbers and collections are encoded as in ipykernel; other objects are refused.
    """

    odd = {"d": dt.date(2026, 1, 2), "b": b"x", "t": (1,), "s": {2}, "f": Fraction(1, 2)}

    assert received(odd) == {"d": "2026-01-02", "b": "eA==", "t": [1], "s": [2], "f": 0.5}
    assert received({"n": float("nan"), "i": float("-inf")}) == {"n": "nan", "i": "-inf"}
    with pytest.raises(ValueError, match="Can't clean for JSON"):
        encode({"o": object()})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\udcffb", "a\ufffdb"),
        ("caf\udcc3\udca9", "café"),
        ("\ud83d\ude00", "\U0001f600"),
        ("a\ud800b\ud801\ud802", "a\ufffdb\ufffd\ufffd"),
        ("\udfff", "\ufffd"),
    ],
)
def test_surrogates_arrive_as_text(text: str, shown: str) -> None:
    """Bytes that surrogates stand for are decoded as Jupyter does; pairs are joined."""

    assert received({f"key {text}": [{"value": text}]}) == {f"key {shown}": [{"value": shown}]}


@given(text=st.text(st.characters(categories=["Cs", "L", "Cc"])))
def test_whatever_arrives_can_be_written(text: str) -> None:
    """No text that was received is one that UTF-8 cannot carry."""

    received({"type": text})["type"].encode()


def test_only_the_first_flush_of_a_stream_is_waited_for() -> None:
    """However often a cell flushes one stream, it does not wait; few messages say so."""

    ours, theirs = Pipe()
    with ours, theirs:
        publisher = _Publisher(theirs)

        def begin(name: str) -> threading.Thread:
            thread = threading.Thread(target=publisher.flush, args=[name])
            thread.start()
            assert json.loads(ours.recv_bytes())["content"] == {"name": name}
            return thread

        first = begin("stdout")
        for _ in range(100):
            publisher.flush("stdout")
        assert first.is_alive()
        ours.send(None)
        first.join()

        assert json.loads(ours.recv_bytes())["type"] == "flush"
        ours.send(None)
        assert not ours.poll(0.1)
        other = begin("stderr")
        assert other.is_alive()
        ours.send(None)
        other.join()
