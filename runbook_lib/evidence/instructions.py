"""
`VERIFY.md`: how an auditor checks a bundle with only `sha256sum` and `openssl`.

A test runs its commands exactly as printed.
"""

from __future__ import annotations

from msgspec import to_builtins

from runbook_lib.config.workspace import KEYS_FOLDER
from runbook_lib.evidence.record import Record
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX, WHY_LESS
from runbook_lib.evidence.signing.statement import PAYLOAD_TYPE, ChainLink

_TEXT = """\
# Verify this evidence
{sandbox}
Run `{run_id}` of the tenant `{tenant}`, number {sequence} of its chain, outcome **{outcome}**.
Signed by the key `{key_id}`.

With the runbook installed, one command does all of this offline:

```
runbook verify --key ELSEWHERE/KEY.pub.pem .
```

Without it, a POSIX shell, `sha256sum` and `openssl` are enough. Run these blocks in this folder, in
order and in one shell. If all is well, each command that ends with `grep` prints a line and none
prints an error; in a script, `set -e` stops at the first failure.

## 1. Choose the key that you trust

Get the public key from a source that you trust, not from here, and put its path into `KEY`. Without
that, the copy beside the evidence is taken. {why_less}
Then compare its fingerprint with the one that your source gave you.

```sh
test -n "${{KEY:-}}" || echo "{why_less}"
key=${{KEY:-../../../{keys}/{key_id}{suffix}}}
work=$(mktemp -d)
openssl pkey -pubin -in "$key" -outform DER | sha256sum | grep -F {key_id}
```

## 2. The files are exactly the listed ones

The first command counts links, devices, and names with unusual characters: there must be none.

```sh
LC_ALL=C find . ! -type d ! -type f -o -name '*[!A-Za-z0-9._-]*' | grep -c '' | grep -x 0
sha256sum --check --strict --quiet SHA256SUMS
cut -c67- SHA256SUMS | LC_ALL=C sort > "$work/listed"
find . ! -type d | cut -c3- | LC_ALL=C sort |
    grep -vxE 'SHA256SUMS|statement[.]({unlisted})' > "$work/found"
diff "$work/listed" "$work/found"
```

## 3. The statement is signed by that key

`statement.dsse.json` is a DSSE envelope; the signature covers its payload with a short prefix.

```sh
sed 's/.*"payload":"\\([^"]*\\)".*/\\1/' statement.dsse.json |
    openssl base64 -d -A > "$work/payload"
sed 's/.*"sig":"\\([^"]*\\)".*/\\1/' statement.dsse.json |
    openssl base64 -d -A > "$work/signature"
printf 'DSSEv1 {length} {kind} %d ' "$(wc -c < "$work/payload")" > "$work/signed"
cat "$work/payload" >> "$work/signed"
openssl dgst -sha256 -verify "$key" -signature "$work/signature" "$work/signed"
```

## 4. The statement is about these files

```sh
sha256sum SHA256SUMS | cut -c-64 > "$work/sums"
grep -cFf "$work/sums" "$work/payload"
```

`$work/payload` contains the claims: what was verified, attested and failed (`predicate`), and each
file by its SHA-256 (`subject`).

`journal.jsonl` contains the journal's lines {first} to {lines}, those since the previous bundle;
each names the SHA-256 of the line before it (`prev`).{carried}

```sh
head -n 1 journal.jsonl | grep -cF '"prev":"{previous}"}}'
tail -n 1 journal.jsonl | sha256sum | grep -F {head}
```

## 5. No run was removed before this one

{chain}

## 6. The time-stamp, if there is one

{timestamp}

## What this does not show

- That no later run was sealed and then removed: only the tenant's journal or a later bundle shows
  that.
- That attestations are true: this shows who attested what, and when.
"""

_CARRIED = """ Earlier attestations that
still count are in `carried.jsonl`, with their original lines; `record.json` lists each by number
and SHA-256 (`carried`)."""
_FIRST = "This is the first run of the chain: the statement says so (`runbook_chain`)."
_LATER = """\
The statement names the one before it by its SHA-256; that bundle is `{bundle}`.

```sh
grep -cF {before} "$work/payload"
sha256sum ../{bundle}/statement.dsse.json |
    grep -F {before}
```

Continue with the VERIFY.md in that folder, back to number 1."""
_UNLISTED = "dsse[.]json|sigstore[.]json"
_NOT_STAMPED = """\
None was requested, so there is no `statement.tsr`: block 2 would show it as added. The times here
are those of the machine that ran it."""
_STAMPED = """\
One was requested from {authority}. If `statement.tsr` is missing, the authority refused or did not
answer, or the file was removed; nothing here tells which, so do not accept this run as stamped.
With the authority's certificate in `tsa.pem`:

```
openssl ts -verify -data statement.dsse.json -in statement.tsr -CAfile tsa.pem
```"""
_SANDBOX = """
> **SANDBOX: practice. Nothing here is real, and it proves nothing about the remote systems.**
"""


def verify_instructions(
    record: Record, *, key_id: str, link: ChainLink, timestamp_authority: str
) -> str:
    """Return the text of `VERIFY.md` for the run in `record`."""
    return _TEXT.format(
        sandbox=_SANDBOX if record.sandbox else "",
        run_id=record.run_id,
        tenant=record.tenant,
        outcome=record.outcome,
        sequence=link.sequence,
        carried=_CARRIED if record.carried else "",
        **to_builtins(record.journal),
        key_id=key_id,
        keys=KEYS_FOLDER,
        suffix=PUBLIC_SUFFIX,
        why_less=WHY_LESS,
        length=len(PAYLOAD_TYPE),
        kind=PAYLOAD_TYPE,
        unlisted=f"{_UNLISTED}|tsr" if timestamp_authority else _UNLISTED,
        chain=_LATER.format(bundle=link.bundle, before=link.sha256) if link.bundle else _FIRST,
        timestamp=_STAMPED.format(authority=timestamp_authority)
        if timestamp_authority
        else _NOT_STAMPED,
    )
