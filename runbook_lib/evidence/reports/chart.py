"""
A picture of time: for each step its waits as bars, its checks and words as marks.

Pure: waits and marks in, a `Chart` out, which a template draws as SVG. Places
are percentages of the width, so that a page of any width can show it. Times
may come from a record that nobody signed: each is checked before it is
drawn, and marks that would overlap are one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import LABELS
from runbook_lib.evidence.reports.timeline import Mark, Wait
from runbook_lib.evidence.reports.wording import date, listed, parse_time, when
from runbook_lib.plain_text import counted

# Times outside these are mistyped or forged, and would make a picture of nothing else.
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Marks nearer than this, in percent of the width, are one; each outcome among them is shown.
_MARK_WIDTH = 3
_MOST_BESIDE = 3
_MOST_TICKS = 5
_LEAST_BAR = 0.4
_DAY = 86_400
_SECONDS = (
    *(0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1_800),
    *(3_600, 7_200, 10_800, 21_600, 43_200),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240)


@dataclass(frozen=True, slots=True)
class Drawn:
    """
    A mark in the picture, at `x` percent; `beside` newer ones have the same place.

    `number` counts the checks or words that it stands for, `text` describes them.
    """

    x: float
    outcome: Outcome
    is_word: bool
    text: str
    number: int = 1
    beside: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A wait in the picture, in percent; one that `is_open` lasts beyond the end."""

    x: float
    width: float
    is_open: bool
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A step with its waits and marks; `text` says the same in words."""

    step: str
    bars: tuple[Bar, ...]
    marks: tuple[Drawn, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A time on the axis, at `x` percent."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """
    The whole picture, of the times from `first` to `last`.

    `left_out` counts the checks and words whose times no sensible axis can show.
    """

    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    first: str
    last: str
    left_out: int

    @property
    def span(self) -> str:
        """Return the first and the last time in words."""
        return " to ".join(dict.fromkeys((when(self.first), when(self.last))))

    @property
    def outcomes(self) -> list[Outcome]:
        """Return the outcomes of its marks, for the legend."""
        seen = {mark.outcome for row in self.rows for mark in row.marks}
        return [outcome for outcome in Outcome if outcome in seen]

    @property
    def has_waits(self) -> bool:
        """Return whether a wait is drawn."""
        return any(row.bars for row in self.rows)


@dataclass(frozen=True, slots=True)
class _Axis:
    """The times that are shown, and those at the left and the right edge."""

    first: datetime
    last: datetime

    @property
    def begin(self) -> datetime:
        """Return the time at the left edge."""
        return self.first - self._margin

    @property
    def end(self) -> datetime:
        """Return the time at the right edge."""
        return self.last + self._margin

    @property
    def _margin(self) -> timedelta:
        return max((self.last - self.first) * 0.02, timedelta(seconds=0.25))

    def place(self, moment: datetime) -> float:
        """Return where `moment` is, in percent of the width."""
        share = (moment - self.begin) / (self.end - self.begin)
        return round(100 * min(max(share, 0), 1), 2)


def chart(
    steps: Iterable[str], waits: Sequence[Wait], marks: Sequence[Mark], *, until: str
) -> Chart | None:
    """
    Return the picture of these `steps`, in their order, up to `until`; `None` if nothing happened.

    A step without a wait or a mark has no row.
    """
    dated = [(mark, moment) for mark in marks if (moment := _moment(mark.at))]
    waited = [_moment(text) for wait in waits for text in (wait.since, wait.until)]
    moments = [*(moment for _, moment in dated), *(moment for moment in waited if moment)]
    if not moments:
        return None
    now = _moment(until)
    moments += [now] if now else []
    axis = _Axis(min(moments), max(moments))
    rows = []
    for step in dict.fromkeys(steps):
        bars = tuple(_bar(wait, axis) for wait in waits if wait.step == step)
        mine = [pair for pair in dated if pair[0].step == step]
        if bars or mine:
            phrases = [bar.text for bar in bars] + _in_words([mark for mark, _ in mine])
            rows.append(Row(step, bars, tuple(_drawn(mine, axis)), "; ".join(phrases)))
    return Chart(
        rows=tuple(rows),
        ticks=tuple(_ticks(axis)),
        first=axis.first.isoformat(),
        last=axis.last.isoformat(),
        left_out=len(marks) - len(dated),
    )


def _moment(text: str) -> datetime | None:
    """Return the time in `text` if it is one that an axis can show."""
    moment = parse_time(text)
    return moment if moment is not None and _FIRST <= moment < _LAST else None


def _bar(wait: Wait, axis: _Axis) -> Bar:
    since, until = _moment(wait.since) or axis.begin, _moment(wait.until)
    begin = axis.place(since)
    end = axis.place(until or axis.end)
    width = max(round(end - begin, 2), _LEAST_BAR)
    ending = f"to {when(wait.until)}" if wait.until else "and still waiting"
    return Bar(
        min(begin, 100 - width), width, not wait.until, f"waiting from {when(wait.since)} {ending}"
    )


def _drawn(dated: Sequence[tuple[Mark, datetime]], axis: _Axis) -> Iterator[Drawn]:
    """Yield one mark for each outcome at each place, those of one place side by side."""
    places: dict[int, list[tuple[Mark, float]]] = {}
    for mark, moment in sorted(dated, key=lambda pair: pair[1]):
        x = axis.place(moment)
        places.setdefault(int(x // _MARK_WIDTH), []).append((mark, x))
    for here in places.values():
        last: dict[tuple[Outcome, bool], list[tuple[Mark, float]]] = {}
        for mark, x in here:
            key = (mark.outcome, bool(mark.by))
            last[key] = [*last.pop(key, []), (mark, x)]
        newest = list(last.values())[-_MOST_BESIDE:]
        for beside, same in reversed(list(enumerate(reversed(newest)))):
            yield replace(_merged(same, here[-1][1]), beside=beside)


def _merged(same: Sequence[tuple[Mark, float]], x: float) -> Drawn:
    marks = [mark for mark, _ in same]
    newest, number = marks[-1], sum(mark.times for mark in marks)
    whose = f"{newest.by}: " if newest.by else "check: "
    more = f" ({number} times, this is the last)" if number > 1 else ""
    text = f"{whose}{LABELS[newest.outcome]}, {when(newest.at)}{more}"
    return Drawn(x, newest.outcome, bool(newest.by), text, number)


def _in_words(marks: Sequence[Mark]) -> list[str]:
    """Return how many checks and words of each outcome there are, as a list's parts."""
    phrases = []
    for is_word, noun in ((False, "check"), (True, "word")):
        mine = [mark for mark in marks if bool(mark.by) is is_word]
        count: Counter[Outcome] = Counter()
        for mark in mine:
            count[mark.outcome] += mark.times
        if mine:
            kinds = listed([f"{number} {LABELS[outcome]}" for outcome, number in count.items()])
            last = when(max(mine, key=lambda mark: parse_time(mark.at) or _FIRST).at)
            phrases.append(f"{counted(count.total(), noun)} ({kinds}), the last on {last}")
    return phrases


def _ticks(axis: _Axis) -> list[Tick]:
    """Return the round times on the axis: of some seconds, or else of some months."""
    span = (axis.end - axis.begin).total_seconds()
    for seconds in _SECONDS:
        if span / seconds < _MOST_TICKS:
            before = -int((_EPOCH - axis.begin).total_seconds() // seconds)
            times = [_EPOCH + timedelta(seconds=(before + n) * seconds) for n in range(7)]
            return [
                Tick(axis.place(time), _label(time, seconds))
                for time in times
                if axis.begin <= time <= axis.end
            ]
    months = next((count for count in _MONTHS if span / (count * 28 * _DAY) < _MOST_TICKS), 240)
    first, last = (time.year * 12 + time.month - 1 for time in (axis.begin, axis.end))
    times = [
        datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        for number in range(-(-first // months) * months, last + 1, months)
    ]
    return [
        Tick(axis.place(time), date(time.isoformat())[2:])
        for time in times
        if axis.begin <= time <= axis.end
    ]


def _label(moment: datetime, seconds: float) -> str:
    is_midnight = moment.hour == moment.minute == moment.second == moment.microsecond == 0
    if seconds >= _DAY or (is_midnight and seconds >= 60):
        return date(moment.isoformat()).rpartition(" ")[0]
    if seconds >= 60:
        return f"{moment:%H:%M}"
    tenth = f".{moment.microsecond // 100_000}" if seconds < 1 else ""
    return f"{moment:%H:%M:%S}{tenth}"
