"""Messages and output, in pieces of any size from a socket or a pipe."""

from __future__ import annotations

import datetime as dt
import os
import socket
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.fork_engine.wire import Channel, Output, encode

MARK = b"\0mark\0"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    """Yield one end as a socket and the other as a channel."""
    one, other = socket.socketpair()
    with one, other:
        yield one, Channel(other)


@pytest.fixture
def pipe() -> Iterator[tuple[int, Output]]:
    """Yield a pipe's writing end, and the reader of the other."""
    reading, writing = os.pipe()
    output = Output("stdout", reading, MARK)
    yield writing, output
    output.close()
    os.close(writing)


def test_messages_arrive_in_any_pieces(ends: tuple[socket.socket, Channel]) -> None:
    """A message in pieces is returned once its last byte has arrived."""

    one, channel = ends
    data = encode({"type": "a", "text": "ä"}) + encode({"type": "b"})
    for position in range(len(data) - 1):
        one.sendall(data[position : position + 1])
        channel.fill()
    assert channel.pop() == {"type": "a", "text": "ä"}
    assert channel.pop() is None

    one.sendall(data[-1:])
    assert channel.receive() == {"type": "b"}


def test_an_incomplete_message_is_none(ends: tuple[socket.socket, Channel]) -> None:
    """If the other end closes after an incomplete message, `receive` returns None."""

    one, channel = ends
    one.sendall(encode({"type": "a"})[:-1])
    one.close()

    assert channel.receive() is None


def test_displayed_values_are_encoded_as_json(ends: tuple[socket.socket, Channel]) -> None:
    """
    Dates, bytes, numbers and collections are encoded as in ipykernel; other objects are refused.
    """

    one, channel = ends
    odd = {"d": dt.date(2026, 1, 2), "b": b"x", "t": (1,), "s": {2}, "f": Fraction(1, 2)}
    one.sendall(encode({**odd, "n": float("nan"), "i": float("-inf")}))

    received = channel.receive()

    assert received == {
        "d": "2026-01-02",
        "b": "eA==",
        "t": [1],
        "s": [2],
        "f": 0.5,
        "n": "nan",
        "i": "-inf",
    }
    with pytest.raises(ValueError, match="Can't clean for JSON"):
        encode({"o": object()})


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("a\udcffb", "a\ufffdb"),
        ("caf\udcc3\udca9", "café"),
        ("\ud83d\ude00", "\U0001f600"),
        ("a\ud800b\ud801\ud802", "a\ufffdb\ufffd\ufffd"),
        ("\udfff", "\ufffd"),
    ],
)
def test_surrogates_arrive_as_text(
    ends: tuple[socket.socket, Channel], text: str, received: str
) -> None:
    """Bytes that surrogates stand for are decoded as Jupyter does; pairs are joined."""

    one, channel = ends
    one.sendall(encode({"type": "a", f"key {text}": [{"value": text}]}))

    assert channel.receive() == {"type": "a", f"key {received}": [{"value": received}]}


@given(text=st.text(st.characters(categories=["Cs", "L", "Cc"])))
def test_whatever_arrives_can_be_written(text: str) -> None:
    """No text that was received is one that UTF-8 cannot carry."""

    one, other = socket.socketpair()
    with one, other:
        one.sendall(encode({"type": text}))
        message = Channel(other).receive()

    assert message is not None
    message["type"].encode()


@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    size=st.integers(1, 40),
)
def test_text_is_split_at_marks_only(texts: list[str], size: int) -> None:
    """Text is split at the marks only, and complete, whatever pieces its bytes arrive in."""

    reading, writing = os.pipe()
    output = Output("stdout", reading, MARK)
    data, found = b"".join(text.encode() + MARK for text in texts), []
    for position in range(0, len(data), size):
        os.write(writing, data[position : position + size])
        while output.is_readable and output.read():
            pass
        while not output.is_readable:
            output.read_up_to_mark()
            found.append(output.take())
            output.pass_mark()
    os.close(writing)
    output.close()

    # Text before a mark may be taken before the mark arrives; not in this test.
    assert found == texts


def test_text_after_a_mark_waits_for_its_message(pipe: tuple[int, Output]) -> None:
    """Text after a mark is not read before the mark's message has arrived."""

    writing, output = pipe
    os.write(writing, b"before" + MARK + b"behind")
    output.read()

    assert not output.is_readable
    assert output.take() == "before"

    output.pass_mark()
    assert output.is_readable
    assert output.take() == "behind"


def test_invalid_bytes_are_replaced(pipe: tuple[int, Output]) -> None:
    """Invalid bytes become the replacement character; a split character is decoded."""

    writing, output = pipe
    os.write(writing, b"\xff\xc3")
    output.read()
    os.write(writing, b"\xa4")
    output.read()

    assert output.take() == "\ufffdä"


def test_the_output_of_a_dead_child_is_read(pipe: tuple[int, Output]) -> None:
    """The remaining text is returned without marks, even if the pipe is still open elsewhere."""

    writing, output = pipe
    os.write(writing, b"a" + MARK + b"b\0ma")

    assert output.take_rest() == "ab\0ma"
