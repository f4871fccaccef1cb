"""A time-stamp is asked for, checked against a named authority, and never faked or hidden."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runbook_lib.core.redaction import Redactor
from runbook_lib.errors import (
    ContentError,
    ExitCode,
    SettingsError,
    ThrottledError,
    TimestampError,
    UnreachableError,
)
from runbook_lib.evidence.bundle import Sealed
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.timestamps import (
    check_imprint,
    read_certificates,
    request_timestamp,
    stamped_at,
)
from runbook_lib.evidence.verify.verify import Trust, verify_bundle
from runbook_lib.remote.transport import Session, Transport
from tests.support.programs import needs
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
    serving.status, serving.body = 200, None
    return serving


@pytest.fixture
def session() -> Iterator[Session]:
    transport = Transport(Redactor(), sleep=lambda _seconds: None)
    yield transport.session()
    transport.close()


def test_a_time_stamp_says_when_something_existed(authority: Authority, session: Session) -> None:
    """The authority's time, not this machine's, for who trusts the authority."""

    token = request_timestamp(session, authority.url, CONTENT)

    moment = stamped_at(token, CONTENT, read_certificates(authority.certificate))
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    check_imprint(token, CONTENT)


def test_only_a_digest_leaves(authority: Authority, session: Session) -> None:
    """What is stamped is not shown to the authority."""

    request_timestamp(session, authority.url, CONTENT)

    assert CONTENT not in authority.requests[-1]


def test_a_stamp_of_another_file_is_refused(authority: Authority, session: Session) -> None:
    """Whoever trusts the authority, and whoever names none."""

    token = request_timestamp(session, authority.url, CONTENT)

    with pytest.raises(TimestampError, match=r"^The time-stamp is for another file\.$"):
        stamped_at(token, CONTENT + b"x", read_certificates(authority.certificate))
    with pytest.raises(TimestampError, match=r"^The time-stamp is for another file\.$"):
        check_imprint(token, CONTENT + b"x")


def test_a_stamp_of_another_authority_is_refused(
    authority: Authority, session: Session, tmp_path: Path
) -> None:
    """A certificate that travels with the stamp is not trusted for that."""

    token = request_timestamp(session, authority.url, CONTENT)
    with serve_authority(tmp_path / "other") as other:
        certificates = read_certificates(other.certificate)

    with pytest.raises(TimestampError, match="not from one of the named authorities"):
        stamped_at(token, CONTENT, certificates)


def test_a_stamp_that_was_altered_is_refused(authority: Authority, session: Session) -> None:
    """In each of its regions."""

    token = request_timestamp(session, authority.url, CONTENT)
    certificates = read_certificates(authority.certificate)
    for place in range(0, len(token), max(1, len(token) // 50)):
        altered = bytearray(token)
        altered[place] ^= 1
        try:
            moment = stamped_at(bytes(altered), CONTENT, certificates)
        except TimestampError:
            continue
        # Bytes that nobody signs, such as those of a certificate that is not needed.
        assert moment == stamped_at(token, CONTENT, certificates)


@pytest.mark.parametrize("body", [b"", b"rubbish", b"<html>busy</html>", b"\x30\x03\x02\x01"])
def test_an_answer_that_is_no_time_stamp_is_said(
    body: bytes, authority: Authority, session: Session
) -> None:
    """Something between here and the authority may answer in its place."""

    authority.body = body

    with pytest.raises(TimestampError, match="not an RFC 3161 answer"):
        request_timestamp(session, authority.url, CONTENT)


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_refusal_over_http_is_said(status: int, authority: Authority, session: Session) -> None:
    """With its status."""

    authority.status = status

    with pytest.raises(TimestampError, match=f"answered {status}"):
        request_timestamp(session, authority.url, CONTENT)


def test_an_authority_that_limits_calls_is_not_asked_again(
    authority: Authority, session: Session
) -> None:
    """The run is sealed without a time-stamp, and says why."""

    authority.status = 429

    with pytest.raises(ThrottledError, match="limits the number of calls"):
        request_timestamp(session, authority.url, CONTENT)


def test_a_refusal_of_the_authority_is_said(session: Session, tmp_path: Path) -> None:
    """In its own words: an authority that takes no SHA-256, say."""

    with (
        serve_authority(tmp_path / "strict", digests="sha512") as strict,
        pytest.raises(TimestampError, match="refused"),
    ):
        request_timestamp(session, strict.url, CONTENT)


def test_an_answer_to_another_request_is_refused(authority: Authority, session: Session) -> None:
    """An old stamp cannot be played back (RFC 3161 §2.4.2, nonce)."""

    authority.body = request_timestamp(session, authority.url, CONTENT)

    with pytest.raises(TimestampError, match="a different request"):
        request_timestamp(session, authority.url, CONTENT)


def test_an_authority_that_is_gone_is_said(session: Session) -> None:
    """A dead address is a dead address."""

    with pytest.raises(UnreachableError):
        request_timestamp(session, "http://127.0.0.1:9/tsa", CONTENT)


@pytest.mark.parametrize("content", [None, b"rubbish", b""])
def test_certificates_that_cannot_be_read_are_a_mistake(
    content: bytes | None, tmp_path: Path
) -> None:
    """Verifying without an authority must not look like verifying with one."""

    path = tmp_path / "tsa.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError, match=r"tsa\.pem"):
        read_certificates(path)


@pytest.fixture
def stamped(tmp_path: Path, key: SigningKey, authority: Authority, session: Session) -> Sealed:
    """Return a bundle with a time-stamp."""
    return seal_run(
        ended_run(tmp_path / "evidence"),
        key,
        timestamp_authority=authority.url,
        stamp=lambda url, content: request_timestamp(session, url, content),
    )


@pytest.fixture
def trusting(trust: Trust, authority: Authority) -> Trust:
    """Return the trust of a verifier who names the authority too."""
    return Trust(trust.keys, read_certificates(authority.certificate))


def test_a_stamped_bundle_proves_its_time(stamped: Sealed, trusting: Trust) -> None:
    """The authority's word for it is told, and nothing is left to be said."""

    verified = verify_bundle(stamped.folder, trusting)

    assert verified.stamped_on.startswith(str(datetime.now(UTC).year))
    assert (stamped.unstamped, verified.notes) == ("", ())


def test_a_stamp_that_was_not_checked_is_said(stamped: Sealed, trust: Trust) -> None:
    """Without a named authority nothing is claimed of the time."""

    verified = verify_bundle(stamped.folder, trust)

    assert verified.stamped_on == ""
    assert "no trusted authority is named" in verified.notes[0]


def test_a_stamp_that_was_asked_for_and_is_not_there_is_said(
    stamped: Sealed, trusting: Trust
) -> None:
    """The statement says that one was asked for, so removing it shows."""

    (stamped.folder / "statement.tsr").unlink()

    verified = verify_bundle(stamped.folder, trusting)
    assert verified.stamped_on == ""
    assert "there is none" in verified.notes[0]


def test_a_stamp_of_another_bundle_is_refused(
    stamped: Sealed, trusting: Trust, trust: Trust, authority: Authority, session: Session
) -> None:
    """Whether an authority is named or not; and rubbish is refused too."""

    path = stamped.folder / "statement.tsr"
    for token in (request_timestamp(session, authority.url, CONTENT), b"rubbish", b""):
        path.write_bytes(token)
        for each in (trust, trusting):
            with pytest.raises(TimestampError) as caught:
                verify_bundle(stamped.folder, each)
            assert caught.value.file == "statement.tsr"
            assert caught.value.exit_code == ExitCode.REFUSED


def test_a_stamp_that_nobody_asked_for_is_refused(
    stamped: Sealed, tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """A file more is a file more."""

    plain = seal_run(ended_run(tmp_path / "plain"), key)
    shutil.copy(stamped.folder / "statement.tsr", plain.folder)

    with pytest.raises(ContentError, match="was added"):
        verify_bundle(plain.folder, trust)


def test_openssl_accepts_the_stamp_as_the_instructions_say(
    stamped: Sealed, authority: Authority, tmp_path: Path
) -> None:
    """The last command of VERIFY.md, as it is printed."""

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
