"""The ticks of *Before you begin*: kept beside the journal, by no evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runbook_lib.walkthrough.checklist import NOTHING_TICKED, Checklist, ChecklistFile
from runbook_lib.walkthrough.widgets import HeaderPanel
from tests.support.fake_walkthrough import FakeWalkthrough, receive
from tests.support.plans import make_plan
from tests.support.wording import wording
from tests.unit.walkthrough.conftest import MakeHarness
from tests.unit.walkthrough.conftest import WalkthroughHarness as Play
from tests.unit.walkthrough.sample_run import make_step

TEXTS = ("an icon", "a person")


@pytest.fixture
def kept(folder: Path) -> ChecklistFile:
    """Return the checklist of a tenant whose journal's folder does not exist yet."""
    return ChecklistFile(folder / "acme" / "p", TEXTS)


def test_ticks_outlive_the_kernel(kept: ChecklistFile, folder: Path) -> None:
    """Another kernel of the same tenant finds each tick, and that the person has begun."""
    other = ChecklistFile(folder / "acme" / "p", TEXTS)
    assert other.read() == NOTHING_TICKED
    kept.tick("an icon", is_ticked=True)
    kept.tick("a person", is_ticked=True)
    kept.begin()
    kept.tick("an icon", is_ticked=False)
    assert other.read() == Checklist(frozenset({"a person"}), has_begun=True)
    assert ChecklistFile(folder / "other" / "p", TEXTS).read() == NOTHING_TICKED


def test_only_what_is_to_be_had_can_be_ticked(kept: ChecklistFile, folder: Path) -> None:
    """No text of anybody's own gets into the file; one that the procedure drops is gone."""
    kept.tick("a secret", is_ticked=True)
    (file,) = (folder / "acme" / "p").iterdir()
    assert "a secret" not in file.read_text(encoding="utf-8")
    kept.tick("an icon", is_ticked=True)
    assert kept.read().ticked == {"an icon"}
    assert ChecklistFile(file.parent, ("a person",)).read().ticked == frozenset()


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"[]", b"{}", b'{"ticked": 7, "has_begun": true}', b"\xff", b"null"],
)
def test_a_damaged_file_counts_as_none(kept: ChecklistFile, folder: Path, content: bytes) -> None:
    """A file that cannot be read ticks nothing, and the next tick replaces it."""
    kept.begin()
    (file,) = (folder / "acme" / "p").iterdir()
    file.write_bytes(content)
    assert kept.read() == NOTHING_TICKED
    kept.tick("an icon", is_ticked=True)
    assert kept.read().ticked == {"an icon"}


def prepared(make_harness: MakeHarness) -> Play:
    """Return a walkthrough whose procedure names what to have at hand."""
    return make_harness(make_step("a"), plan=make_plan(have_ready=TEXTS))


def test_the_header_shows_what_is_ticked(make_harness: MakeHarness) -> None:
    """A tick is drawn in every header of the kernel; nothing of it is in the journal."""
    harness = prepared(make_harness)
    before = harness.written
    harness.walkthrough.tick("a person", is_ticked=True)
    harness.walkthrough.begin()
    assert harness.header.view["begin"] == {
        "plan": "Plan for 6 weeks, most of it waiting. ",
        "ready": [
            {"text": "an icon", "role": "", "thing": "an icon", "is_ticked": False},
            {"text": "a person", "role": "", "thing": "a person", "is_ticked": True},
        ],
        "has_begun": True,
    }
    assert harness.written == before


def test_a_tick_that_cannot_be_kept_says_so(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk refuses, the header says it, and no panel breaks."""
    harness = prepared(make_harness)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runbook_lib.walkthrough.checklist.write_whole", refuse)
    harness.walkthrough.tick("a person", is_ticked=True)
    view = harness.header.view
    assert view["is_error"]
    assert view["message"].startswith(
        wording("screens.cannot-write", reason="No space left on device")
    )
    assert view["begin"]["ready"][1] == {
        "text": "a person",
        "role": "",
        "thing": "a person",
        "is_ticked": False,
    }


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ({"action": "tick", "text": "an icon", "is_ticked": True}, ("tick", "an icon", True)),
        ({"action": "tick", "text": "an icon", "is_ticked": "yes"}, ("tick", "an icon", False)),
        ({"action": "tick"}, ("tick", "None", False)),
        ({"action": "begin"}, ("begin",)),
    ],
    ids=str,
)
def test_a_header_passes_on_each_tick(message: Any, asked: tuple[Any, ...]) -> None:
    """Each message of the card is one call."""
    walkthrough: Any = FakeWalkthrough()
    receive(HeaderPanel(walkthrough), message)
    assert walkthrough.asked == [asked]
