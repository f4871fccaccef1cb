"""Time-stamps are requested, checked against a named authority, and their absence is reported."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook_lib.cli.main import main
from runbook_lib.core.redaction import Redactor
from runbook_lib.errors import (
    ContentError,
    ExitCode,
    SettingsError,
    ThrottledError,
    TimestampError,
    UnreachableError,
)
from runbook_lib.evidence.bundle import SealedBundle
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.timestamps import (
    check_imprint,
    read_certificates,
    request_timestamp,
    stamped_at,
)
from runbook_lib.evidence.verify.verify import TrustAnchors, verify_bundle
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import HTTPClient
from tests.support.programs import needs
from tests.support.wording import refused, refused_naming, wording
from tests.timestamp_authority import Authority, serve_authority
from tests.unit.evidence.conftest import ended_run, seal_run

pytestmark = needs("openssl")

CONTENT = b"what is to be stamped"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with serve_authority(tmp_path_factory.mktemp("authority")) as authority:
        yield authority


@pytest.fixture
def authority(serving: Authority) -> Authority:
    """Return a running authority that works."""
    serving.status = 200
    serving.body = None
    return serving


@pytest.fixture
def session() -> Iterator[Session]:
    client = HTTPClient(Redactor(), sleep=lambda _seconds: None)
    yield Session(client)
    client.close()


def test_a_time_stamp_says_when_something_existed(authority: Authority, session: Session) -> None:
    """The time is the authority's, if the authority is trusted."""
    token = request_timestamp(session, authority.url, CONTENT)

    moment = stamped_at(token, CONTENT, read_certificates(authority.certificate))
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    check_imprint(token, CONTENT)


def test_only_a_digest_is_sent(authority: Authority, session: Session) -> None:
    """The request has a digest, not the content."""
    request_timestamp(session, authority.url, CONTENT)

    assert CONTENT not in authority.requests[-1]


def test_a_stamp_of_another_file_is_refused(authority: Authority, session: Session) -> None:
    """A time-stamp of another file is refused, with and without a trusted authority."""
    token = request_timestamp(session, authority.url, CONTENT)

    with refused(TimestampError, "of-another-file"):
        stamped_at(token, CONTENT + b"x", read_certificates(authority.certificate))
    with refused(TimestampError, "of-another-file"):
        check_imprint(token, CONTENT + b"x")


def test_a_stamp_of_another_authority_is_refused(
    authority: Authority, session: Session, tmp_path: Path
) -> None:
    """A time-stamp of another authority is refused, even with its certificate included."""
    token = request_timestamp(session, authority.url, CONTENT)
    with serve_authority(tmp_path / "other") as other:
        certificates = read_certificates(other.certificate)

    with refused(TimestampError, "of-another-authority"):
        stamped_at(token, CONTENT, certificates)


def test_an_altered_stamp_is_refused(authority: Authority, session: Session) -> None:
    """An altered time-stamp is refused, or its time is unchanged."""
    token = request_timestamp(session, authority.url, CONTENT)
    certificates = read_certificates(authority.certificate)
    for place in range(0, len(token), max(1, len(token) // 50)):
        altered = bytearray(token)
        altered[place] ^= 1
        try:
            moment = stamped_at(bytes(altered), CONTENT, certificates)
        except TimestampError:
            continue
        # Bytes that are not signed, such as those of a certificate that is not needed.
        assert moment == stamped_at(token, CONTENT, certificates)


@pytest.mark.parametrize("body", [b"", b"rubbish", b"<html>busy</html>", b"\x30\x03\x02\x01"])
def test_an_invalid_answer_is_an_error(body: bytes, authority: Authority, session: Session) -> None:
    """An answer that is not RFC 3161 raises `TimestampError`."""
    authority.body = body

    with refused(TimestampError, "not-rfc-3161"):
        request_timestamp(session, authority.url, CONTENT)


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_an_http_error_is_reported(status: int, authority: Authority, session: Session) -> None:
    """An HTTP error raises `TimestampError` with its status."""
    authority.status = status

    with refused(TimestampError, "http-status", status=status):
        request_timestamp(session, authority.url, CONTENT)


def test_a_rate_limit_is_raised(authority: Authority, session: Session) -> None:
    """Status 429 raises `ThrottledError`."""
    authority.status = 429

    with refused(ThrottledError, "limits-calls"):
        request_timestamp(session, authority.url, CONTENT)


def test_a_refusal_by_the_authority_is_reported(session: Session, tmp_path: Path) -> None:
    """A refusal by the authority, such as of SHA-256, raises `TimestampError`."""
    with (
        serve_authority(tmp_path / "strict", digests="sha512") as strict,
        refused(TimestampError, "authority-refused"),
    ):
        request_timestamp(session, strict.url, CONTENT)


def test_an_answer_to_another_request_is_refused(authority: Authority, session: Session) -> None:
    """An answer with another nonce is refused (RFC 3161 §2.4.2)."""
    authority.body = request_timestamp(session, authority.url, CONTENT)

    with refused(TimestampError, "of-another-request"):
        request_timestamp(session, authority.url, CONTENT)


def test_an_unreachable_authority_is_an_error(session: Session) -> None:
    """An unreachable authority raises `UnreachableError`."""
    with pytest.raises(UnreachableError):
        request_timestamp(session, "http://127.0.0.1:9/tsa", CONTENT)


@pytest.mark.parametrize("content", [None, b"rubbish", b""])
def test_an_invalid_certificate_file_is_an_error(content: bytes | None, tmp_path: Path) -> None:
    """A missing or invalid certificate file raises `SettingsError`."""
    path = tmp_path / "tsa.pem"
    if content is not None:
        path.write_bytes(content)

    with refused_naming(SettingsError, "tsa.pem"):
        read_certificates(path)


@pytest.fixture
def stamped(
    tmp_path: Path, key: SigningKey, authority: Authority, session: Session
) -> SealedBundle:
    """Return a bundle with a time-stamp."""
    return seal_run(
        ended_run(tmp_path / "evidence"),
        key,
        timestamp_authority=authority.url,
        stamp=lambda url, content: request_timestamp(session, url, content),
    )


@pytest.fixture
def trusting(trust: TrustAnchors, authority: Authority) -> TrustAnchors:
    """Return the trust of a verifier who names the authority too."""
    return TrustAnchors(trust.keys, read_certificates(authority.certificate))


def test_a_stamped_bundle_proves_its_time(stamped: SealedBundle, trusting: TrustAnchors) -> None:
    """A bundle with a time-stamp has the authority's time, and no note."""
    verified = verify_bundle(stamped.folder, trusting)

    assert verified.stamped_on.startswith(str(datetime.now(UTC).year))
    assert (stamped.unstamped, verified.notes) == ("", ())


def test_an_unchecked_stamp_is_noted(stamped: SealedBundle, trust: TrustAnchors) -> None:
    """Without a trusted authority, no time is claimed and a note says so."""
    verified = verify_bundle(stamped.folder, trust)

    assert verified.stamped_on == ""
    assert wording("verify.no-authority-trusted") in verified.notes[0]


def test_a_missing_requested_stamp_is_noted(stamped: SealedBundle, trust: TrustAnchors) -> None:
    """If a requested time-stamp is missing, a note says so where no authority is trusted."""
    (stamped.folder / "statement.tsr").unlink()

    verified = verify_bundle(stamped.folder, trust)
    assert verified.stamped_on == ""
    assert wording("verify.stamp-missing") in verified.notes[0]


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_full_folder(path: Path) -> None:
    _as_folder(path)
    (path / "statement.tsr").touch()


def _as_link(path: Path) -> None:
    path.rename(path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


def _unlisted(path: Path) -> None:
    """Remove the file and its name from what a person reads, which is signed."""
    path.unlink()
    instructions = path.parent / "VERIFY.md"
    instructions.write_text(instructions.read_text().replace("|tsr", ""))


LACKS: Mapping[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "another name": lambda path: path.rename(path.with_name("STATEMENT.TSR")),
    "folder": _as_folder,
    "full folder": _as_full_folder,
    "link": _as_link,
    "unlisted": _unlisted,
}


@pytest.mark.parametrize("case", LACKS)
def test_a_bundle_that_lacks_its_stamp_is_refused(
    case: str, stamped: SealedBundle, authority: Authority, trust: TrustAnchors, tmp_path: Path
) -> None:
    """If an authority is trusted, `verify` refuses a bundle without the stamp it names."""
    LACKS[case](stamped.folder / "statement.tsr")

    keys = [*(tmp_path / "evidence" / "keys").glob("*.pub.pem")]
    words = ["verify", "--key", str(keys[0]), "--tsa-certificate", str(authority.certificate)]
    result = CliRunner().invoke(main, [*words, str(tmp_path / "evidence")])
    assert result.exit_code == ExitCode.REFUSED
    assert f"✘ acme/p/{stamped.folder.name}: " in result.stdout
    assert case == "unlisted" or "statement.tsr" in result.stdout.lower()


def test_a_bundle_whose_authority_failed_is_refused_too(
    tmp_path: Path,
    key: SigningKey,
    trust: TrustAnchors,
    trusting: TrustAnchors,
    authority: Authority,
) -> None:
    """Nothing signed says that the authority failed, so such a bundle looks like a spoilt one."""

    def fail(*_: object) -> bytes:
        raise TimestampError("The time-stamp authority refused: not today.")

    sealed = seal_run(
        ended_run(tmp_path / "evidence"), key, timestamp_authority=authority.url, stamp=fail
    )

    with refused(ContentError, "stamp-missing", url=authority.url):
        verify_bundle(sealed.folder, trusting)
    assert wording("verify.stamp-missing") in verify_bundle(sealed.folder, trust).notes[0]


def test_a_bundle_that_names_no_stamp_needs_none(
    tmp_path: Path, key: SigningKey, trusting: TrustAnchors
) -> None:
    """A bundle for which no time-stamp was requested is accepted where an authority is trusted."""
    sealed = seal_run(ended_run(tmp_path / "evidence"), key)

    assert verify_bundle(sealed.folder, trusting).notes == ()


def test_a_stamp_of_another_bundle_is_refused(
    stamped: SealedBundle,
    trusting: TrustAnchors,
    trust: TrustAnchors,
    authority: Authority,
    session: Session,
) -> None:
    """Another or an invalid time-stamp is refused, with and without a trusted authority."""
    path = stamped.folder / "statement.tsr"
    for token in (request_timestamp(session, authority.url, CONTENT), b"rubbish", b""):
        path.write_bytes(token)
        for each in (trust, trusting):
            with pytest.raises(TimestampError) as caught:
                verify_bundle(stamped.folder, each)
            assert caught.value.file == "statement.tsr"
            assert caught.value.exit_code == ExitCode.REFUSED


def test_a_stamp_that_was_not_requested_is_refused(
    stamped: SealedBundle, tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A time-stamp that was not requested is an additional file."""
    plain = seal_run(ended_run(tmp_path / "plain"), key)
    shutil.copy(stamped.folder / "statement.tsr", plain.folder)

    with refused(ContentError, "unasked-stamp"):
        verify_bundle(plain.folder, trust)


def test_openssl_accepts_the_stamp_as_the_instructions_say(
    stamped: SealedBundle, authority: Authority, tmp_path: Path
) -> None:
    """The last command of VERIFY.md accepts the time-stamp, and rejects it after a change."""
    text = (stamped.folder / "VERIFY.md").read_text()
    (command,) = (line for line in text.splitlines() if line.startswith("openssl ts -verify"))
    shutil.copy(authority.certificate, stamped.folder / "tsa.pem")

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command], cwd=stamped.folder, capture_output=True, text=True, check=False
        )

    done = run()
    assert (done.returncode, "Verification: OK" in done.stdout) == (0, True), done.stderr

    with (stamped.folder / "statement.dsse.json").open("a") as file:
        file.write(" ")
    assert run().returncode != 0
