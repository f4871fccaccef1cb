"""What people say in a file counts only where it can be understood and has happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.attestations import read_attestations
from runbook_lib.errors import SettingsError
from runbook_lib.procedure import Attestation, Procedure, Section, Skip, Source, Step, StepKind
from tests.conftest import NOON


def step(name: str, kind: StepKind) -> Step:
    return Step(id=name, title=name, kind=kind, source=Source(1), prose="")


PROCEDURE = Procedure(
    id="p",
    version="1",
    title="P",
    inputs=(),
    sections=(
        Section(
            id="01",
            title="One",
            intro="",
            steps=(step("fb-01-log-in", StepKind.MANUAL), step("fb-12-review", StepKind.WAIT)),
        ),
    ),
)


def read(folder: Path, text: str | bytes) -> tuple[list[Attestation], list[Skip]]:
    path = folder / "said.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_attestations(path, PROCEDURE, now=NOON)


def attestation(**fields: str) -> str:
    known = {"step": '"fb-01-log-in"', "by": '"Operator"', "at": "2026-11-24T09:30:00Z"}
    lines = [f"{name} = {value}" for name, value in {**known, **fields}.items() if value]
    return "\n".join(["[[attestation]]", *lines])


def skip(**fields: str) -> str:
    return attestation(**{"reason": '"no forms"', **fields}).replace("attestation", "skip")


def test_words_and_skips_are_read(tmp_path: Path) -> None:
    """A file may hold several of both, and each keeps whose it is, when, and where it was said."""

    text = "\n".join(
        [
            attestation(note='" Business. "'),
            attestation(step='"fb-12-review"', waiting="true"),
            skip(),
        ]
    )

    assert read(tmp_path, text) == (
        [
            Attestation(
                step="fb-01-log-in",
                by="Operator",
                at="2026-11-24T09:30:00Z",
                note="Business.",
                origin="said.toml",
            ),
            Attestation(
                step="fb-12-review",
                by="Operator",
                at="2026-11-24T09:30:00Z",
                waiting=True,
                origin="said.toml",
            ),
        ],
        [
            Skip(
                step="fb-01-log-in",
                by="Operator",
                at="2026-11-24T09:30:00Z",
                reason="no forms",
                origin="said.toml",
            )
        ],
    )


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    """Nobody has to say anything."""

    assert read(tmp_path, "# nothing yet\n") == ([], [])


@pytest.mark.parametrize(
    ("at", "utc"),
    [
        ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"),
        ("2026-11-24T14:00:00+02:00", "2026-11-24T12:00:00Z"),
        ("2026-11-24T09:30:00", "2026-11-24T09:30:00Z"),
        ("2026-11-24 09:30:00.987Z", "2026-11-24T09:30:00Z"),
    ],
)
def test_times_are_kept_in_utc(tmp_path: Path, at: str, utc: str) -> None:
    """Whatever the offset, the journal shows UTC; a time without one is taken as UTC."""

    assert read(tmp_path, attestation(at=at))[0][0].at == utc


@pytest.mark.parametrize(
    "at", ["2026-11-24T12:00:01Z", "2026-11-24T12:00:00-01:00", "2027-01-01T00:00:00Z"]
)
def test_nobody_attests_the_future(tmp_path: Path, at: str) -> None:
    """What has not happened cannot be attested or skipped yet."""

    for text in (attestation(at=at), skip(at=at)):
        with pytest.raises(SettingsError, match="has not come yet"):
            read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step = ", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        ("[attestation]\nstep = 1", r"write \[\[attestation\]\] with two brackets"),
        ("attestation = [1]", r"write \[\[attestation\]\]"),
        ("skip = 'x'", r"write \[\[skip\]\]"),
        ("[[attested]]\nstep = 'fb-01-log-in'", "there is no key called attested"),
        (attestation(step='"fb-99-none"'), "fb-99-none: there is no such step"),
        (attestation(step=""), r"step \(none\): there is no such step"),
        (attestation(by=""), "by is missing"),
        (attestation(by='"  "'), "by is missing"),
        (attestation(at=""), "at takes a time"),
        (attestation(at='"2026-11-24T09:30:00Z"'), "without quotes"),
        (attestation(at="2026-11-24"), "at takes a time"),
        (attestation(at="09:30:00"), "at takes a time"),
        (attestation(at="0001-01-01T00:00:00+01:00"), "at takes a time"),
        (attestation(reason='"x"'), "there is no key called reason"),
        (attestation(waiting="true"), "does not wait for anybody"),
        (attestation(step='"fb-12-review"', waiting='"yes"'), "waiting takes true or false"),
        (attestation(step='"fb-12-review"', waiting="1"), "waiting takes true or false"),
        (skip(reason=""), "reason is missing"),
        (skip(note='"x"'), "there is no key called note"),
        (skip(waiting="true"), "there is no key called waiting"),
    ],
)
def test_what_cannot_be_understood_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    """A mistake in the file is refused whole, naming the file and what is wrong."""

    with pytest.raises(SettingsError, match=said) as caught:
        read(tmp_path, text)

    assert str(tmp_path / "said.toml") in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A mistyped file name is no empty file."""

    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_attestations(tmp_path / "none.toml", PROCEDURE, now=NOON)
