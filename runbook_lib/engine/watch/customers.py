"""
The customers' connections as one more topic of a watch: who is signed out, and in again.

Only accounts that were signed in before are watched; new customers are not. Nothing is asked here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from runbook_lib.core.model import Outcome
from runbook_lib.engine.customer_connections import LABELS, AccountStatus, KnownAccount, Survey
from runbook_lib.engine.watch.answers import Change, Kind, Observation, Topic, Watched, digest
from runbook_lib.plain_text import counted

CUSTOMERS = "customers"
TITLE = "Customers' connections"

# Accounts that changed, by ID, each with the answer before.
_Group = dict[str, tuple[Topic, Observation]]

_MOST_NAMED = 20
_INSTALLED = (AccountStatus.SIGNED_IN, AccountStatus.NOT_SIGNED_IN)
_UNKNOWN = (AccountStatus.NOT_KNOWN, AccountStatus.NOT_ASKED)
_BREAKS = "No data reaches their cycles until they sign in again."
_DO = "Send each a new sign-in link: `runbook connections --sign-in-link ACCOUNT --user NAME`."


def unconfirmed(watched: Watched) -> list[str]:
    """Return the accounts whose answer has changed, and is to be seen once more."""
    return [ident for ident, topic in _watched_accounts(watched).items() if topic.candidate]


def customer_changes(watched: Watched, look: Survey, on: str, tenant: str) -> Iterator[Change]:
    """Keep what a look saw, and yield one change for all who are out, and one for all back."""
    out: _Group = {}
    back: dict[str, _Group] = defaultdict(dict)
    kept = _watched_accounts(watched)
    # Where one customer has nothing installed any more, nobody has to sign in; where all lost it at
    # once, they are out. Whether all did is not known while some could not be read.
    is_lost, standings = bool(look.lost), look.counts.keys()
    unknown = {*_UNKNOWN}
    if not standings & {*_INSTALLED} and standings & unknown:
        unknown.add(AccountStatus.NOT_INSTALLED)
    absent = AccountStatus.VANISHED if look.is_listed else AccountStatus.NOT_ASKED
    for ident in [*look.accounts, *sorted(kept.keys() - look.accounts.keys())]:
        account = look.accounts.get(ident, KnownAccount(ident, ""))
        standing = look.standing(account) if ident in look.accounts else absent
        is_out = standing is AccountStatus.NOT_SIGNED_IN or (
            is_lost and standing is AccountStatus.NOT_INSTALLED
        )
        if standing in unknown or (ident not in kept and not (is_out and account.signed_in_on)):
            continue
        before = Observation(
            Outcome.VERIFIED, LABELS[AccountStatus.SIGNED_IN], account.signed_in_on
        )
        topic = watched.topics.setdefault(f"{CUSTOMERS}/{ident}", Topic(known=before))
        outcome = Outcome.FAILED if is_out else Outcome.VERIFIED
        earlier = topic.take(Observation(outcome, LABELS[standing], account.looked_on or on))
        if earlier:
            group = out if is_out else back[topic.change]
            group[ident] = topic, earlier
        if not (is_out or topic.candidate):
            del watched.topics[f"{CUSTOMERS}/{ident}"]
    if out:
        yield _change(Kind.FAILED, out, look, on, tenant)
    for began, group in back.items():
        ends = "" if began in watched.lasting else began
        yield _change(Kind.RECOVERED, group, look, on, tenant, ends=ends)


def _watched_accounts(watched: Watched) -> dict[str, Topic]:
    """Return the topics of accounts, by their ids."""
    keys = ((key.partition("/"), topic) for key, topic in watched.topics.items())
    return {ident: topic for (name, slash, ident), topic in keys if slash and name == CUSTOMERS}


def _change(
    kind: Kind, group: _Group, look: Survey, on: str, tenant: str, *, ends: str = ""
) -> Change:
    """Return the change of these accounts; one for the worse stays open in each."""
    is_worse = kind is Kind.FAILED
    answers = [topic.known for topic, _ in group.values() if topic.known]
    known = [look.accounts.get(ident, KnownAccount(ident, "")) for ident in group]
    names = [f"{account.name} ({account.id})".strip() for account in known]
    more = f" and {len(names) - _MOST_NAMED:,} more" * (len(names) > _MOST_NAMED)
    change = Change(
        id=digest(tenant, *look.of, kind, on, *group),
        kind=kind,
        on=on,
        since=min(answer.on for answer in answers),
        check=CUSTOMERS,
        title=TITLE,
        was=" or ".join(sorted({earlier.reason for _, earlier in group.values()})),
        now=" or ".join(sorted({answer.reason for answer in answers})),
        reason=f"{counted(len(names), 'customer')}: {', '.join(names[:_MOST_NAMED])}{more}.",
        breaks=_BREAKS if is_worse else "",
        do=(look.findings[-1] if look.lost else _DO) if is_worse else "",
        ends=ends,
    )
    if is_worse:
        for topic, _ in group.values():
            topic.change = change.id
    return change
