"""No secret leaves in a bundle, in any place or encoding."""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.core.attachments import LARGEST
from runbook_lib.core.redaction import Redactor, Secret, encoded_forms
from runbook_lib.core.secret_search import SecretSearch
from runbook_lib.errors import ExitCode, LeakError
from runbook_lib.evidence.leaks import refuse_leaks
from tests.support.plain_gate import before_leak
from tests.support.wording import refused, wording
from tests.unit.bodies import APP_SECRET, USER_TOKEN
from tests.unit.evidence.conftest import CANARY

FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "url": lambda value: value.replace("/", "%2F").replace("+", "%2B"),
    "json": lambda value: value.replace("/", "\\/"),
    "base64": lambda value: base64.b64encode(b"x" + value.encode()).decode(),
    "hex": lambda value: value.encode().hex(),
}
MD5 = "9e107d9d372bb6826bd81d3542a419d6"
SHAPES = [USER_TOKEN, APP_SECRET, f"1234567890123456|{'a1B' * 9}"]
PNG = b"\x89PNG\r\n\x1a\n" + zlib.compress(bytes(range(256)))
ESCAPED: dict[str, Callable[[str], str]] = {
    "after a line break in JSON": lambda text: json.dumps({"text": f"name\n{text}"}),
    "after a tab in JSON": lambda text: json.dumps({"text": f"name\t{text}"}),
    "after an escape in a URL": lambda text: f"https://x.test/?next=access_token%3D{text}",
    "in the path of a URL": lambda text: f"https://graph.x.test/v26.0/{text}",
    "in a URL in a URL": lambda text: quote(f"?next={quote(f'a?t={text}', safe='')}", safe=""),
    "as JSON may write letters": lambda text: "".join(f"\\u{ord(one):04x}" for one in text),
    "as a URL may write letters": lambda text: "".join(f"%{ord(one):02X}" for one in text),
    "as HTML may write letters": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "as Python writes bytes": lambda text: "b'" + "".join(f"\\x{ord(one):02x}" for one in text),
    "in JSON in JSON": lambda text: json.dumps(json.dumps(json.dumps({"a": f"b\n{text}"}))),
    "letters of a URL in a URL": lambda text: "".join(f"%25{ord(one):02X}" for one in text),
    "letters of HTML in HTML": lambda text: "".join(f"&amp;#{ord(one)};" for one in text),
    "escaped in base64": lambda text: base64.b64encode(quote(f"?t={text}").encode()).decode(),
    "in base64 in a URL": lambda text: quote(base64.b64encode(b"\xff\xfe>?" + text.encode())),
    "in base64 with line breaks of MIME": lambda text: (
        base64.encodebytes(b"." * 50 + text.encode()).decode().replace("\n", "\r\n")
    ),
}


@pytest.fixture
def redactor() -> Redactor:
    return Redactor([Secret(CANARY)])


def search_with(redactor: Redactor, *, bare_hex: bool) -> SecretSearch:
    find = partial(redactor.find_secret, bare_hex=bare_hex)
    return SecretSearch(find)


def refusal(path: Path, redactor: Redactor, content: bytes | None = None) -> LeakError:
    """Return why this file, or this content of it, is refused."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LeakError) as caught:
        refuse_leaks([path], redactor)
    return caught.value


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["01.ipynb", "record.json", "journal.jsonl", "a.html", "a.png"])
def test_a_secret_in_any_file_is_found(
    name: str, form: str, tmp_path: Path, redactor: Redactor
) -> None:
    """A secret is found in any file and encoding, and the error does not quote it."""
    leak = FORMS[form](CANARY)
    content = PNG + f"some text {leak} more text\n".encode()

    error = refusal(tmp_path / name, redactor, content)

    assert name in str(error)
    assert leak not in str(error)
    assert CANARY not in str(error)
    assert error.exit_code == ExitCode.REFUSED


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"metadata": {"widgets": {"state": {"value": CANARY}}}}, id="metadata"),
        pytest.param({CANARY: 1}, id="key"),
        pytest.param({"image/png": base64.b64encode(PNG + CANARY.encode()).decode()}, id="picture"),
        pytest.param({"a": f"![](data:image/png;base64,{encoded(CANARY)})"}, id="data URI"),
        pytest.param({"header": f"Basic {encoded(f'id:{CANARY}')}"}, id="user and password"),
        pytest.param(
            {"x": base64.encodebytes(b"." * 50 + CANARY.encode() + b"." * 80).decode()},
            id="base64 with line breaks",
        ),
        pytest.param(
            {"x": base64.urlsafe_b64encode(b"\xff\xfe>" * 9 + CANARY.encode()).decode()},
            id="urlsafe",
        ),
    ],
)
def test_a_secret_is_found_wherever_it_hides_in_json(
    document: object, tmp_path: Path, redactor: Redactor
) -> None:
    """In JSON, base64 is decoded before the search."""
    content = json.dumps(document, indent=1).encode()

    assert "01.ipynb" in str(refusal(tmp_path / "01.ipynb", redactor, content))


@pytest.mark.parametrize(
    "content",
    [
        # Base64 is found at each of the four alignments that preceding characters may give.
        *(f"name={before}{encoded(CANARY)}".encode() for before in ("", "A", "AB", "ABC")),
        # A secret in UTF-16 or UTF-32, as in PDFs, is found.
        *(
            b"%PDF-1.7 \xff\xd8" + f"some {CANARY} text".encode(encoding)
            for encoding in ("utf-16", "utf-16-be", "utf-32")
        ),
        # An escaped known secret is found.
        *(f"something {wrap(CANARY)} else".encode() for wrap in ESCAPED.values()),
    ],
)
def test_no_escape_hides_a_secret(content: bytes, tmp_path: Path, redactor: Redactor) -> None:
    """A known secret is found in each encoding."""
    refusal(tmp_path / "01.ipynb", redactor, content)


WRAPS: dict[str, Callable[[str], str]] = {
    "text": str,
    "json": lambda text: json.dumps({"note": text}),
    "base64": lambda text: encoded(f"%PDF-1.7 {text} end of file"),
    **ESCAPED,
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_escape_hides_a_credential(
    shape: str, wrap: Callable[[str], str], tmp_path: Path
) -> None:
    """A token or an App Secret, alone or in a text, is refused even if it is unknown."""
    for content in (f"something {wrap(shape)} else", wrap(shape)):
        error = refusal(tmp_path / "report.html", Redactor(), content.encode())
        assert shape not in str(error)


def test_an_attachment_is_named_by_its_original_name(tmp_path: Path, redactor: Redactor) -> None:
    """The error names an attachment by its original name and its step."""
    path = tmp_path / f"{'ab' * 32}.png"
    path.write_bytes(PNG + CANARY.encode())

    attached = {path.name: "shot.png, attached to fb-04-create-app"}

    with refused(LeakError, "in-attachment", name="shot.png", step="fb-04-create-app") as caught:
        refuse_leaks([path], redactor, attached=attached)

    assert wording("advice.confirm-again") in caught.value.diagnostics()


def test_the_id_of_a_pdf_is_accepted(tmp_path: Path) -> None:
    """A PDF's id of 32 hexadecimal digits (ISO 32000-1 §14.4) is accepted, but a token is not."""
    path = tmp_path / "a.pdf"
    content = f"%PDF-1.7\ntrailer << /ID [<{APP_SECRET}> <{APP_SECRET}>] >>\n".encode()
    path.write_bytes(content)
    given = {path.name: "letter.pdf, attached to fb-12-submit-review"}
    refuse_leaks([path], Redactor(), attached=given)

    path.write_bytes(content + USER_TOKEN.encode())
    with pytest.raises(LeakError):
        refuse_leaks([path], Redactor(), attached=given)


@pytest.mark.parametrize("before", ["x", "xy", "xyz"])
def test_base64_is_decoded_after_other_characters(before: str, tmp_path: Path) -> None:
    """A token in base64 is found after up to three other characters."""
    content = before + encoded("EAAB" + "x1Zq" * 12)

    assert "01.ipynb" in str(refusal(tmp_path / "01.ipynb", Redactor(), content.encode()))


def picture(between: str) -> str:
    return f"iVBORw0KGgo{'Qk3+/x' * 20}{between}EAA{'bCd5' * 20}/"


@pytest.mark.parametrize(
    "text",
    [
        # Digests, ids and words are not credentials.
        "a" * 32,
        "0" * 32,
        APP_SECRET * 2,
        f"x{APP_SECRET}",
        "123e4567-e89b-12d3-a456-426614174000",
        "EAAshort",
        "12345678|short",
        "sha256:" + "ab" * 32,
        # Nor are the characters EAA within the base64 of a picture.
        picture("/"),
        picture("+"),
        picture("\n"),
        # An allowed value passes, such as a client id of 32 hexadecimal digits.
        MD5,
    ],
)
def test_harmless_text_passes(text: str, tmp_path: Path) -> None:
    """Ordinary text and allowed values pass."""
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"x": text}))
    redactor = Redactor()
    redactor.allow([MD5])

    refuse_leaks([path], redactor)


def test_the_step_of_a_leak_is_named(tmp_path: Path, redactor: Redactor) -> None:
    """The error names the step whose line has the secret."""
    lines = [
        json.dumps({"step": "fb-01-log-in", "data": "harmless"}),
        json.dumps({"step": "fb-13-app-id-and-secret", "data": CANARY, "then": "cy-02-client-id"}),
    ]
    said = wording(
        "secret-in-evidence.in-file", file="journal.jsonl", step="fb-13-app-id-and-secret"
    )
    content = "\n".join(lines).encode() + b"\n"

    assert str(refusal(tmp_path / "journal.jsonl", redactor, content)) == said


def test_clean_files_pass(tmp_path: Path, redactor: Redactor) -> None:
    """Pictures, broken JSON, deep JSON, empty files and halves of a secret in base64 pass."""
    contents = {"a.png": PNG, "b.json": b'{"x": ', "c.json": b"[" * 100_000, "d": b"", "e": b"\xff"}
    halves = (b"x" * 12 + CANARY[:9].encode(), CANARY[9:].encode() + b"y" * 15)
    contents["01.ipynb"] = b" and ".join(base64.b64encode(half) for half in halves)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)

    refuse_leaks(tmp_path.iterdir(), redactor)


VALUES = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00"), min_size=8, max_size=40
).filter(lambda text: text.strip() == text)


@given(
    value=VALUES,
    before=st.text(max_size=30),
    after=st.text(max_size=30),
    data=st.data(),
)
def test_any_secret_in_any_form_anywhere_is_found(
    value: str,
    before: str,
    after: str,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Every form that the redactor knows is found, whatever the surrounding text."""
    form = data.draw(st.sampled_from(sorted(encoded_forms(Secret(value)))))
    content = f"{before}{form}{after}".encode(errors="surrogatepass")

    refusal(tmp_path_factory.mktemp("leak") / "record.json", Redactor([Secret(value)]), content)


# Encodings and surrounding texts, to hide a secret or something similar.
WRAPPINGS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    base64.b64encode,
    base64.urlsafe_b64encode,
    base64.encodebytes,
    lambda content: content.replace(b"/", b"\\/").replace(b"a", b"\\u0061"),
    lambda content: json.dumps(content.decode("latin-1")).encode(),
    lambda content: quote(content).encode(),
    lambda content: content.replace(b"E", b"&#0000000069;").replace(b"&", b"&amp;"),
)
KERNELS = st.one_of(
    st.sampled_from([CANARY, *SHAPES]),
    st.sampled_from([CANARY[1:], USER_TOKEN[:20], APP_SECRET[1:], "nothing at all", ""]),
).map(str.encode)
AROUND = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"\\" * 9,
            b"%25%25",
            b"&amp;amp;",
            b"&#",
            b"A" * 40,
            b"\n\n",
            b"'",
            b"12345678|",
        ]
    ),
    st.binary(min_size=18, max_size=30).map(base64.b64encode),
)


@st.composite
def hidings(draw: st.DrawFn) -> bytes:
    """Draw a text that hides a secret, or something similar, in several layers."""
    content = draw(KERNELS)
    for _ in range(draw(st.integers(0, 3))):
        content = draw(AROUND) + draw(st.sampled_from(WRAPPINGS))(content) + draw(AROUND)
    return content


@given(content=hidings(), bare_hex=st.booleans())
def test_the_gate_agrees_with_the_plain_one(content: bytes, bare_hex: bool) -> None:
    """The fast search finds the same leak at the same position as the simple one."""
    redactor = Redactor([Secret(CANARY)])

    text = content.decode("latin-1")
    found = search_with(redactor, bare_hex=bare_hex).before_leak(text)

    assert found == before_leak(text, redactor, bare_hex=bare_hex)


def repeated(unit: bytes) -> Callable[[int], bytes]:
    return lambda size: (unit * (size // len(unit) + 1))[:size]


def wrapped(size: int) -> bytes:
    content = bytes(number * 37 % 251 for number in range(size // 3))
    for _ in range(2):
        content = base64.b64encode(content)
    return content[:size]


HARD: dict[str, Callable[[int], bytes]] = {
    "backslashes": repeated(b"\\"),
    "backslashes in a PDF": lambda size: b"%PDF-1.7" + b"\\" * size,
    "escaped backslashes": repeated(rb"\u005c"),
    "escaped bytes": repeated(rb"\x5c"),
    "escaped quotes": lambda size: b'"' + b'\\"' * (size // 2) + b'"',
    "an escaped quote without an end": lambda size: b'"' + b'\\"' * (size // 2),
    "quotes after backslashes": repeated(b'\\"'),
    "a quote and backslashes": lambda size: b'"' + b"\\" * size,
    "keys": repeated(b'"a":'),
    "digits": repeated(b"1"),
    "app ids": repeated(b"12345678|"),
    "starts of tokens": repeated(b"EAA"),
    "tokens one letter short": repeated(b" EAA" + b"a" * 29),
    "hexadecimal": repeated(b"a1"),
    "one letter": repeated(b"V"),
    "words of base64": lambda size: b" ".join(
        base64.b64encode(b"%018d" % number) for number in range(size // 25)
    ),
    "base64 in base64": wrapped,
    "escapes of URLs": repeated(b"%25"),
    "references": repeated(b"&amp;amp;"),
    "ampersands": repeated(b"&"),
    "a long reference": lambda size: b"&#" + b"9" * size,
    "a long reference with zeroes": lambda size: b"&#" + b"0" * size + b"65;",
    "a long hexadecimal reference": lambda size: b"&#x" + b"f" * size,
    "line breaks": lambda size: b"A" + b"\n" * size,
    "folded lines": repeated(b"A\r\n"),
    "brackets": repeated(b"["),
    "lines of JSON": repeated(b'["abcdef"]\n'),
    "zeroes": repeated(b"\0"),
    "steps": repeated(b"fb-01-a"),
}


@pytest.mark.matrix(10)
@given(text=st.text(st.sampled_from("%aAfF09cC3eEé–8 Z"), max_size=24))
def test_a_url_is_decoded_as_the_library_does(text: str) -> None:
    """Percent-encoded text is read as `urllib.parse.unquote` reads it, broken UTF-8 too."""
    found: list[str] = []

    def collect(reading: str) -> int:
        found.append(reading)
        return -1

    SecretSearch(collect).is_leak(text)
    assert unquote(text) in found


@pytest.mark.parametrize("make", HARD.values(), ids=HARD)
def test_the_gate_takes_time_in_proportion_to_the_file(make: Callable[[int], bytes]) -> None:
    """Eight times as much data takes less than thirty times as long, whatever the content."""
    search = search_with(Redactor([Secret(CANARY)]), bare_hex=False)

    def seconds(size: int) -> float:
        content = make(size)
        begun = time.process_time()
        search.before_leak_in_file(content)
        return time.process_time() - begun

    small = max(seconds(65_536), seconds(65_536), 0.02)
    # NOTE: quadratic time would be 64 times as long, and minutes for most of these.
    assert seconds(8 * 65_536) < 30 * small


@pytest.mark.matrix(0)
@pytest.mark.parametrize("name", ["backslashes in a PDF", "escapes of URLs", "words of base64"])
def test_nine_mebibytes_pass_within_a_minute(name: str, tmp_path: Path, redactor: Redactor) -> None:
    """The largest attachment is searched within a minute."""
    path = tmp_path / "letter.pdf"
    path.write_bytes(HARD[name](LARGEST)[:LARGEST])

    begun = time.process_time()
    refuse_leaks([path], redactor, attached={path.name: "letter.pdf"})

    assert time.process_time() - begun < 60


@pytest.mark.parametrize("number", ["9" * 5_000, "0" * 5_000 + "65", "x" + "f" * 5_000])
def test_a_reference_of_thousands_of_digits_is_read(
    number: str, tmp_path: Path, redactor: Redactor
) -> None:
    """A character reference with thousands of digits does not stop the search."""
    path = tmp_path / "report.html"
    reference = f"<p>&#{number};</p>"
    path.write_text(reference)
    refuse_leaks([path], redactor)

    refusal(path, redactor, f"{reference}{CANARY.replace('c', '&#99;')}".encode())
