"""
`VERIFY.md`: how an auditor checks a bundle with `sha256sum` and `openssl` alone.

Its commands are run as they are printed by a test; they read nothing of the
runbook's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_lib.config.workspace import KEYS_FOLDER
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX
from runbook_lib.evidence.signing.statement import PAYLOAD_TYPE, Link

__all__ = ["verify_instructions"]

_TEXT = """\
# Verify this evidence
{sandbox}
Run `{run_id}` of the tenant `{tenant}`, number {sequence} of its chain, outcome **{outcome}**.
Signed by the key `{key_id}`.

With the runbook installed, one command does all of this, offline:

```
runbook verify --key KEY.pub.pem .
```

Without it, a POSIX shell, `sha256sum` and `openssl` do. Run the blocks in this folder, one after
the other in one shell. Each command that ends with `grep` prints a line, and none prints an error,
if all is well; in a script, `set -e` stops at the first that is not.

## 1. Choose the key that you trust

Take the public key from whoever you trust, not from here. The copy beside the evidence is only for
convenience; it is worth something once its fingerprint is the one that you were told.

```sh
key=${{KEY:-../../../{keys}/{key_id}{suffix}}}
work=$(mktemp -d)
openssl pkey -pubin -in "$key" -outform DER | sha256sum | grep -F {key_id}
```

## 2. The files are the ones that were listed, and no others

The first command counts links, devices, and names with unusual characters: there are none.

```sh
LC_ALL=C find . ! -type d ! -type f -o -name '*[!A-Za-z0-9._-]*' | grep -c '' | grep -x 0
sha256sum --check --strict --quiet SHA256SUMS
cut -c67- SHA256SUMS | LC_ALL=C sort > "$work/listed"
find . ! -type d | cut -c3- | LC_ALL=C sort |
    grep -vxE 'SHA256SUMS|statement[.]({unlisted})' > "$work/found"
diff "$work/listed" "$work/found"
```

## 3. The statement is signed by that key

`statement.dsse.json` is a DSSE envelope; what is signed is its payload with a short head before it.

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

Read `$work/payload` for the claims: what was verified, attested and failed (`predicate`), each file
by its SHA-256 (`subject`).

`journal.jsonl` holds the lines {first} to {lines} of the journal, those since the bundle before
this one; each names the SHA-256 of the line before it (`prev`).{carried}

```sh
head -n 1 journal.jsonl | grep -cF '"prev":"{previous}"}}'
tail -n 1 journal.jsonl | sha256sum | grep -F {head}
```

## 5. No run was removed before this one

{chain}

## 6. The time-stamp, if there is one

{timestamp}

## What this does not show

That nothing was sealed after this run and then removed: the tenant's journal, or a later bundle,
shows that. That what people attested is true: it shows who said it, and when.
"""

_CARRIED = """ What people said earlier and counts here
stands in `carried.jsonl`, line by line as it was written; `record.json` lists each by its number
and SHA-256 (`carried`)."""
_FIRST = "This is the first run of the chain: the statement says so (`runbook_chain`)."
_LATER = """\
The statement names the one before it by its SHA-256; that bundle is `{bundle}`.

```sh
grep -cF {before} "$work/payload"
sha256sum ../{bundle}/statement.dsse.json |
    grep -F {before}
```

Go on with that folder's own VERIFY.md, back to number 1."""
_UNLISTED = "dsse[.]json|sigstore[.]json"
_NOT_STAMPED = """\
None was asked for, so there is no `statement.tsr`: it would show up in number 2 as added. The times
in here are those of the machine that ran it."""
_STAMPED = """\
One was asked of {authority}. Where `statement.tsr` is missing, the authority refused or did not
answer, or the file was removed. With the authority's certificate in `tsa.pem`:

```
openssl ts -verify -data statement.dsse.json -in statement.tsr -CAfile tsa.pem
```"""
_SANDBOX = """
> **SANDBOX: practice. Nothing of this is real, and it proves nothing about Facebook or Cyclr.**
"""


def verify_instructions(
    record: Mapping[str, Any], *, key_id: str, link: Link, timestamp_authority: str
) -> str:
    """Return the text of `VERIFY.md` for the run that `record` tells of."""
    return _TEXT.format(
        sandbox=_SANDBOX if record["sandbox"] else "",
        run_id=record["run_id"],
        tenant=record["tenant"],
        outcome=record["outcome"],
        sequence=link.sequence,
        carried=_CARRIED if record["carried"] else "",
        **record["journal"],
        key_id=key_id,
        keys=KEYS_FOLDER,
        suffix=PUBLIC_SUFFIX,
        length=len(PAYLOAD_TYPE),
        kind=PAYLOAD_TYPE,
        unlisted=f"{_UNLISTED}|tsr" if timestamp_authority else _UNLISTED,
        chain=_LATER.format(bundle=link.bundle, before=link.sha256) if link.bundle else _FIRST,
        timestamp=_STAMPED.format(authority=timestamp_authority)
        if timestamp_authority
        else _NOT_STAMPED,
    )
