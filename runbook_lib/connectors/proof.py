"""
The gate before *failed*: only evidence listed here may say that a step is not done.

*Verified* needs a control; *failed* needs a proof of the same weight. A check builds a `Proof` here
and hands it to `findings.failed`, which returns an inconclusive finding where it is not enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

# Advice for a page that a check cannot open.
LOOK_YOURSELF = "Open it yourself in a private window."
# The statuses of a page that is not there (RFC 9110 §15.5.5, §15.5.11).
_GONE = (404, 410)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Evidence against a step, or the reason why it is missing."""

    doubt: str = ""
    """Reason why the responses prove nothing, as sentences for people; empty if they prove it."""

    doubt_code: str = ""
    """Code of the inconclusive finding that gives the doubt."""


# For a remote system that names a value other than the expected one, in a field made for it.
STATED = Proof()
# For a remote system that refuses by an error in the table of refusals (`KnownRefusal.matches`).
REFUSED = Proof()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRefusal:
    """A row of a table of refusals: an error by which a remote system contradicts a step."""

    code: str
    """Our code for the refusal, such as `app-secret-refused`."""

    error_codes: frozenset[int] | frozenset[str]
    """The remote system's error codes, numbers or texts; the response must have one of them."""

    subcodes: frozenset[int | None] = frozenset()
    """The subcodes; the response must have one of them (`None`: no subcode). Empty: accepts any."""

    words: tuple[str, ...] = ()
    """Texts in lower case; the message must contain one of them. Empty: the codes decide."""

    other_words: tuple[str, ...] = ()
    """Texts in lower case of errors with the same code that mean something else."""

    def matches(
        self,
        message: str,
        *,
        status: int,
        error_code: int | str | None,
        subcode: int | None,
        is_inside_data: bool = False,
    ) -> bool:
        """
        Return whether an error of HTTP `status` is this refusal; a server fault never is.

        `is_inside_data`: the error is in a field of a successful response, with status 200.
        """
        text = message.lower()
        has_status = status == 200 if is_inside_data else 400 <= status < 500
        return (
            has_status
            and error_code in self.error_codes
            and (not self.subcodes or subcode in self.subcodes)
            and (not self.words or any(words in text for words in self.words))
            and not any(words in text for words in self.other_words)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The names that one source lists."""

    source: str
    """Name of the source, for messages."""

    present: Collection[str]
    """Names that it lists as there."""

    refused: Collection[str] = ()
    """Names that it lists with a status that refuses them, such as *declined*."""

    unclear: Collection[str] = ()
    """Names that it lists with a status that says neither."""

    gap: str = ""
    """Reason why the list may have gaps: missing, null, empty, one page of several; else empty."""

    def lists(self, name: str) -> bool:
        """Return whether `name` is there."""
        return name in self.present

    def excludes(self, name: str) -> bool:
        """Return whether it shows that `name` is not there."""
        if name in self.refused:
            return True
        return not self.gap and name not in self.present and name not in self.unclear


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Names that not every source lists as there."""

    names: tuple[str, ...]
    """The names whose absence is proven, or else the names that are in doubt."""

    proof: Proof
    """Whether it is proven."""


def weigh_absence(
    wanted: Iterable[str], *listings: Listing, advice: str = "Check again."
) -> Absence:
    """
    Return the names of `wanted` that are absent, and whether the lists prove it.

    An absence is proven if no source lists the name, and each shows that it is not there: a whole
    list without it, or a status that refuses it. A refusing status is enough if the others have
    gaps. If two sources disagree, the doubt names both, with the `advice`.
    """
    proven = []
    doubtful = []
    for name in wanted:
        listing_it = [listing for listing in listings if listing.lists(name)]
        excluding = [listing for listing in listings if listing.excludes(name)]
        if len(listing_it) == len(listings):
            continue
        is_refused = any(name in listing.refused for listing in excluding)
        if not listing_it and (is_refused or len(excluding) == len(listings)):
            proven.append(name)
        else:
            doubtful.append(name)
    if proven:
        return Absence(names=tuple(proven), proof=STATED)
    if not doubtful:
        return Absence(names=(), proof=STATED)
    return Absence(names=tuple(doubtful), proof=_doubt_about(doubtful, listings, advice))


def _doubt_about(names: Iterable[str], listings: Iterable[Listing], advice: str) -> Proof:
    """Return the doubt about `names`: the lists disagree about them, or have gaps."""
    disputes: dict[str, None] = {}
    gaps: dict[str, None] = {}
    for name in names:
        listing_it = [listing for listing in listings if listing.lists(name)]
        excluding = [listing for listing in listings if listing.excludes(name)]
        if listing_it and excluding:
            disputes[
                f"{_join_sources(listing_it)} lists {name}, {_join_sources(excluding)} does not."
            ] = None
        for listing in listings:
            if name in listing.unclear:
                gaps[f"{listing.source} lists {name} with a status that is not known."] = None
            elif listing.gap and not listing.lists(name) and name not in listing.refused:
                gaps[f"{listing.source}: {listing.gap}."] = None
    doubt = (
        f"{' '.join((*disputes, *gaps))} So nothing shows whether {', '.join(names)} is missing. "
        f"{advice}"
    )
    if disputes:
        return Proof(doubt=doubt, doubt_code="sources-disagree")
    return Proof(doubt=doubt, doubt_code="list-incomplete")


def weigh_gone(statuses: Sequence[int]) -> Proof:
    """Return whether a page is gone: only if it was fetched twice, and answered 404 or 410."""
    if len(statuses) > 1 and all(status in _GONE for status in statuses):
        return STATED
    return Proof(doubt=LOOK_YOURSELF, doubt_code="page-not-opened")


def is_gone(status: int) -> bool:
    """Return whether a page's `status` says that it is not there."""
    return status in _GONE


def _join_sources(listings: Iterable[Listing]) -> str:
    return " and ".join(listing.source for listing in listings)
