"""
What a watch says of the customers' connections: who is signed out, and in again. Asks nothing.

Watched is an account that a look has seen signed in: that a new customer is not yet is no change.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

from runbook_lib.core.model import Outcome
from runbook_lib.engine.customer_connections import LABELS, Account, Look, Standing
from runbook_lib.engine.watched import Answer, Change, Kind, Topic, Watched
from runbook_lib.plain_text import counted

CUSTOMERS = "customers"
TITLE = "Customers' connections"

_MOST_NAMED = 20
_UNKNOWN = (Standing.NOT_KNOWN, Standing.NOT_ASKED)
_BREAKS = "No data reaches their cycles until they sign in again."
_DO = (
    "Have each sign in again with a new link: "
    "`runbook connections --sign-in-link ACCOUNT --user NAME`."
)


def unconfirmed(watched: Watched) -> list[str]:
    """Return the accounts whose answer has changed, and is to be seen once more."""
    return [
        key.partition("/")[2]
        for key, topic in watched.topics.items()
        if key.startswith(f"{CUSTOMERS}/") and topic.candidate
    ]


def customer_changes(watched: Watched, look: Look, on: str) -> Iterator[Change]:
    """Keep what a look saw, and yield one change for all who are out, and one for all back."""
    out: dict[str, Topic] = {}
    back: dict[str, dict[str, Topic]] = defaultdict(dict)
    kept = {key.partition("/")[2] for key in watched.topics if key.startswith(f"{CUSTOMERS}/")}
    # Where one customer has nothing installed any more, nobody has to sign in; where all lost it
    # at once, they are out.
    is_lost = bool(look.lost)
    was_out: set[str] = set()
    was_back: dict[str, set[str]] = defaultdict(set)
    for ident in [*look.accounts, *sorted(kept - look.accounts.keys())]:
        account = look.accounts.get(ident, Account(ident, ""))
        is_listed = ident in look.accounts
        standing = look.standing(account) if is_listed else Standing.VANISHED
        is_out = standing is Standing.NOT_SIGNED_IN or (
            is_lost and standing is Standing.NOT_INSTALLED
        )
        key = f"{CUSTOMERS}/{ident}"
        if key not in watched.topics and not (is_out and account.signed_in_on):
            continue
        before = Answer(Outcome.VERIFIED, LABELS[Standing.SIGNED_IN], account.signed_in_on)
        topic = watched.topics.setdefault(key, Topic(known=before))
        if standing not in _UNKNOWN:
            outcome = Outcome.FAILED if is_out else Outcome.VERIFIED
            was = topic.take(Answer(outcome, LABELS[standing], account.looked_on or on))
            if was and is_out:
                out[ident] = topic
                was_out.add(was.reason)
            elif was:
                back[topic.change][ident] = topic
                was_back[topic.change].add(was.reason)
            if not (is_out or topic.candidate):
                del watched.topics[key]
    if out:
        yield _change(Kind.FAILED, out, look, on, was=was_out)
    for began, topics in back.items():
        is_open = any(topic.change == began for topic in watched.topics.values())
        ends = "" if is_open else began
        yield _change(Kind.RECOVERED, topics, look, on, was=was_back[began], ends=ends)


def _change(
    kind: Kind,
    topics: dict[str, Topic],
    look: Look,
    on: str,
    *,
    was: set[str],
    ends: str = "",
) -> Change:
    """Return the change of these accounts; one for the worse stays open in each."""
    is_worse = kind is Kind.FAILED
    answers = [topic.known for topic in topics.values() if topic.known]
    known = [look.accounts.get(ident, Account(ident, "")) for ident in topics]
    names = [f"{account.name} ({account.id})".strip() for account in known]
    more = f" and {len(names) - _MOST_NAMED:,} more" * (len(names) > _MOST_NAMED)
    text = "\0".join((*look.of, kind, on, *topics))
    change = Change(
        id=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32],
        kind=kind,
        on=on,
        since=min(answer.on for answer in answers),
        check=CUSTOMERS,
        title=TITLE,
        was=" or ".join(sorted(was)),
        now=" or ".join(sorted({answer.reason for answer in answers})),
        reason=f"{counted(len(names), 'customer')}: {', '.join(names[:_MOST_NAMED])}{more}.",
        breaks=_BREAKS if is_worse else "",
        do=(look.findings[-1] if look.lost else _DO) if is_worse else "",
        ends=ends,
    )
    if is_worse:
        for topic in topics.values():
            topic.change = change.id
    return change
