"""An error text is recognised by its words, in whatever form it is pasted."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from runbook_lib.connectors.closest import closest
from runbook_lib.connectors.troubles import (
    ErrorText,
    asked_about,
    ordered,
    read_error,
    recognise,
    sharing,
)
from runbook_lib.core.procedure import Cause, Trouble


def trouble(*shown: str, codes: tuple[int, ...] = (), subcodes: tuple[int, ...] = ()) -> Trouble:
    return Trouble(
        shown=shown,
        codes=codes,
        subcodes=subcodes,
        means="It means this.",
        causes=(Cause(text="It was done."),),
        advice="Undo it.",
        source="https://example.com/docs",
    )


BLOCKED = trouble("URL Blocked", "This redirect failed because the URI isn't listed.", codes=(191,))
SCOPES = trouble("Invalid Scopes: …", "Users of your app will ignore these.")
LACKS = trouble("(#200) Requires … permission to manage the object", "(#200)", codes=(200, 201))
ENDED = trouble("Session has expired on …. The current time is …", codes=(190,))
HELD = trouble("Held back for a time because of policies", codes=(368,))
SPENT = trouble("This authorization code has been used.", codes=(), subcodes=(36009,))
ALL = (BLOCKED, SCOPES, LACKS, ENDED, HELD, SPENT)


@pytest.mark.parametrize(
    ("pasted", "found"),
    [
        ("URL Blocked", BLOCKED),
        ("url blocked", BLOCKED),
        ("  “URL   Blocked”: \n see below", BLOCKED),
        ("this redirect failed because the URI isn’t listed", BLOCKED),
        ("Error — Invalid Scopes: leads_retrieval, pages_manage_ads.", SCOPES),
        ("Invalid Scopes: ", SCOPES),
        ("(#200) Requires pages_manage_metadata permission to manage the object", LACKS),
        ("Session has expired on Saturday, 05:00. The current time is Sunday", ENDED),
        ("https://h.example/cb?error_code=191&error_message=URL+Blocked#_=_", BLOCKED),
        ("https://h.example/cb#error_description=Invalid%20Scopes%3A%20email", SCOPES),
        ("I see https://h.example/cb?error_message=URL%20Blocked here", BLOCKED),
        ('{"error": {"message": "URL Blocked", "code": 368}}', BLOCKED),
        ('{"error": {"error_user_title": "A", "error_user_msg": "URL Blocked."}}', BLOCKED),
        ('answer: {"data": {"error": {"message": "x", "code": 190}}} it says', ENDED),
        ('{"error": {"message": "Un autre texte", "code": 368}}', HELD),
        ("https://h.example/cb?error_code=368", HELD),
        ("368", HELD),
        ("#368", HELD),
        ("error 368", HELD),
        ("code: 368", HELD),
        ("(#201) something", LACKS),
        ("2026-11-28 ERROR call failed: {'error': {'message': 'Otro', 'code': 368}}", HELD),
        (r'{"level": "warn", "body": "{\"error\":{\"message\":\"URL Blocked\"}}"}', BLOCKED),
        (r'[{"code":400,"body":"{\"error\":{\"message\":\"x\",\"code\":368}}"}]', HELD),
        ('{"error":{"message":"URL Blocked","type":"An', BLOCKED),
        ('{"level": "warn", "message": "x", "e": "{\\"message\\": \\"URL Blocked\\"}"}', BLOCKED),
        ("<p>URL <b>Blocked</b></p>", BLOCKED),
        (
            "{&quot;e&quot;: &quot;This redirect failed because the URI isn&#39;t listed.&quot;}",
            BLOCKED,
        ),
        ("> This redirect failed because\n> the URI isn't\n>   listed.", BLOCKED),
        ("a line\n" * 2000 + "URL Blocked\n" + "a line\n" * 2000, BLOCKED),
        ("\x1b[31mURL\x1b[0m Blo\u00adck\u200bed\x00", BLOCKED),
        ("U\x00R\x00L\x00 \x00B\x00l\x00o\x00c\x00k\x00e\x00d\x00", BLOCKED),
        ("This redirect failed because the URI isn\\u2019t listed", BLOCKED),
        ("Fehlercode: 368", HELD),
        ("Código de error: 368.", HELD),
        ("エラーコード：368", HELD),
        ("OAuthException 368: nope", HELD),
        ("error_code=368", HELD),
        ("Error: 368, (no text)", HELD),
        ('{"error": {"message": "Texto", "code": 201, "error_subcode": 36009}}', SPENT),
        ("código 201/36009", SPENT),
        # Half of a text, or four words of it, are enough; the order counts.
        ("back for a time", HELD),
        ("failed because the URI", BLOCKED),
        ("permission to manage the", LACKS),
        ("invalid scopes", SCOPES),
    ],
)
def test_a_text_is_recognised_in_every_form(pasted: str, found: Trouble) -> None:
    """Case, quotes, blanks, names in gaps and surrounding text do not matter."""
    assert recognise(read_error(pasted), ALL) == [found]


@pytest.mark.parametrize(
    "pasted",
    [
        "blocked",
        "URL",
        "the",
        "Blocked URL",
        "URLs blocked",
        "368 leads were read",
        "(#9999)",
        "exit code 190",
        "returned status code 201",
        "HTTP code: 201",
        "ERROR 190 rows were rejected",
        "ERROR 19:10:00 [201] lost",
        "error 190.7.0.1 refused",
        "unicode 190 and barcode 201",
        "The current time is Sunday. Session has expired on Saturday",
        "https://h.example/cb?code=368",
        "https://h.example/cb?state=URL+Blocked",
        '{"message": 5}',
        '{"error": ["URL', "{", "[]", "?", "?=#", "https://[x?error=a",
    ],
)  # fmt: skip
def test_nothing_is_claimed_of_another_text(pasted: str) -> None:
    """A word, other words, a number in a sentence, an authorization code and broken JSON: no."""
    assert recognise(read_error(pasted), (BLOCKED, LACKS, ENDED, HELD)) == []


def test_a_code_counts_only_without_a_known_text() -> None:
    """A text says more than a code; a code alone names each that has it."""
    document = json.dumps({"error": {"message": "URL Blocked", "code": 200}})

    assert recognise(read_error(document), ALL) == [BLOCKED]
    assert recognise(ErrorText((), (200, 190)), ALL) == [LACKS, ENDED]


ROLE = trouble("The user must be an administrator of the page in order to impersonate it.")
REFUSED = replace(trouble("Token refused: …", "Unknown error"), is_vague=True, shares=(177,))
GONE = trouble("Token refused: the user removed the app", subcodes=(458,))
EMPTY = trouble('An empty list: {"data":[]}')
WEBVIEW = trouble("PLATFORM__DISABLED_HERE")
MORE = (*ALL, ROLE, REFUSED, GONE, EMPTY, WEBVIEW)


@pytest.mark.parametrize(
    ("pasted", "found"),
    [
        # A subcode decides before any text.
        ('{"error": {"message": "URL Blocked", "code": 190, "error_subcode": 36009}}', [SPENT]),
        ('{"error": {"message": "Unknown error", "code": 1, "error_subcode": 458}}', [GONE]),
        # The longer text that holds another is meant; code prefixes do not matter.
        ("(#10) Token refused: the user removed the app", [GONE]),
        ("Requires x permission to manage the object", [LACKS]),
        ("[200] Requires x permission to manage the object", [LACKS]),
        # A vague text counts only where nothing else is known, and nothing follows it.
        ('{"error": {"message": "Unknown error", "error_user_title": "URL Blocked"}}', [BLOCKED]),
        ("Token refused: something new", [REFUSED]),
        ("Unknown error, trace AbC [HTTP 500]", [REFUSED]),
        ("Unknown error. But this page here says in ten more words what has really happened", []),
        # A long text may differ in a few words, ids and numbers.
        ("The user has to be an administrator of page 42 in order to impersonate it", [ROLE]),
        ("OAuth: 7 The user must be an admin of the page in order to impersonate it. (77)", [ROLE]),
        ("The user must be an owner of a group in order to leave it", []),
        # One or many, “is not” or “isn't”, and words between those of a text do not matter.
        ("The user must be administrators of the pages in order to impersonate it", [ROLE]),
        ("This redirect failed because the URIs are unknown and the URI is not listed", []),
        ("This redirect failed because the URI is not listed.", [BLOCKED]),
        ("This authorization code, AbC, has already been used.", [SPENT]),
        # But of whom or of what it speaks does.
        ("The user must be an administrator of the app in order to impersonate it.", []),
        # A title that is not known says more than the vague text beside it.
        ('{"error": {"message": "Unknown error", "error_user_title": "A new thing"}}', []),
        # A few words within a sentence are no text; as a headline, or with a capital, they are.
        ("It is sad that a url blocked you", []),
        ("They see URL Blocked now", [BLOCKED]),
        ("They see: url blocked", [BLOCKED]),
        # What is no sentence.
        ('{"data": []}', [EMPTY]),
        ('{"error": {"data": []}}', []),
        ("https://m.example/error/?error_code=PLATFORM__DISABLED_HERE&display=touch", [WEBVIEW]),
        # A code that has other meanings too decides nothing.
        ("(#177)", []),
        ("Un autre texte (177)", []),
        # Of several that are in a paste, the longest is the first.
        ("URL Blocked (#200) Requires x permission to manage the object", [LACKS, BLOCKED]),
        # What a program writes behind a quoted message says no more about the error.
        (
            "Uncaught exception 'X' with message 'Unknown error' in /srv/a/b.php:12 "
            + "#0 a() " * 20,
            [REFUSED],
        ),
        (
            "{ message: 'Unknown error', type: 'X', trace: 'AbC', more: 'words' } "
            + "at a (b.js) " * 9,
            [REFUSED],
        ),
        # JSON that is nested too deeply, and a number without an end, are only words.
        *((pasted, []) for pasted in ('{"a":' * 100_000, "&#" + "9" * 5000, "[" * 500_000)),
    ],
)
def test_the_text_and_the_subcode_decide(pasted: str, found: list[Trouble]) -> None:
    """Of several that fit, the one that says more is meant; a shared code decides nothing."""
    assert recognise(read_error(pasted), MORE) == found


OLD = replace(trouble("Token gone"), shares=(177,), words=("expired", "ended on …"))
AWAY = replace(trouble("App away"), shares=(177,), words=("expired app",))


@pytest.mark.parametrize(
    ("pasted", "found"),
    [
        ("(#177) The thing has expired", [OLD]),
        ('{"error": {"message": "Your expired app is gone", "code": 177}}', [AWAY]),
        ("(#177) The thing is broken", []),
        ("The thing has expired", []),
        ("(#178) The thing has expired", []),
        ("(#177) URL Blocked: the thing has expired", [BLOCKED]),
    ],
)
def test_a_code_and_a_word_decide_together(pasted: str, found: list[Trouble]) -> None:
    """Of an unknown text a shared code with words of a trouble decides, the longest words."""
    assert recognise(read_error(pasted), (BLOCKED, OLD, AWAY)) == found


ONLY_ME = replace(trouble("App closed"), words=("acme login only/other !telegram", "acme app"))
EXPIRED = replace(trouble("Key old"), words=("acme key expir/old", "acme key", "~acme door shut"))


@pytest.mark.parametrize(
    ("pasted", "found"),
    [
        # All words in any order, one of several, by their beginnings; a short one is whole.
        ("Why can only I use the login of Acme?", [ONLY_ME]),
        ("The key of Acme has an expiration", [EXPIRED]),
        ("Others may login at Acmeville", [ONLY_ME]),
        ("The keyboard of Acme is old", []),
        # A word behind `!` must be missing, and two words decide with a code only.
        ("Why can only I use the login of Acme on Telegram?", []),
        ("Acme key", []),
        # Where two fit almost as well, both are said: the more words first.
        ("Acme: only I can login, the key is old", [ONLY_ME, EXPIRED]),
        # People ask in a sentence or two, and what belongs together stands together.
        ("word " * 40 + "Acme key expired", []),
        ("Acme " + "word " * 21 + "key expired", []),
        # Words that make a text only close decide nothing.
        ("Acme door shut", []),
    ],
)
def test_the_words_of_a_question_decide(pasted: str, found: list[Trouble]) -> None:
    """Without a code three words of a cause are enough, wherever they stand in a question."""
    known = (BLOCKED, ONLY_ME, EXPIRED)

    assert asked_about(read_error(pasted), known) == found
    assert recognise(read_error(pasted), known) == []


def test_parts_of_a_text_stand_near_each_other() -> None:
    """What is between two parts of a text is a name or a list, not a page."""
    gap = "pages_show_list, " * 20
    assert recognise(read_error(f"Requires {gap}permission to manage the object"), ALL) == [LACKS]
    assert recognise(read_error(f"Session has expired on {gap * 3}The current time is"), ALL) == []


@pytest.mark.parametrize("pasted", ["(#177)", "177", "Un autre texte (177)"])
def test_what_a_shared_code_may_mean_is_offered(pasted: str) -> None:
    """The troubles that have the code are there to be named, as possible."""
    assert sharing(read_error(pasted), MORE) == [REFUSED]


def near(pasted: str) -> list[Trouble]:
    """Return the troubles closest to `pasted`; none may be certain."""
    found, is_certain = closest(read_error(pasted), ALL, "acme", "")
    assert not is_certain
    return found


@pytest.mark.parametrize(
    "pasted",
    [
        "URL Bloked",
        "ULR Blokced",
        "ULR blocked",
        "urll blocked: this redirect",
        "URL Blovked\nmore of the page",
    ],
)
def test_a_typing_error_makes_a_text_similar_and_never_known(pasted: str) -> None:
    """The beginning of a text with a typing error is offered, and not claimed."""
    assert recognise(read_error(pasted), ALL) == []
    assert near(pasted) == [BLOCKED]


@pytest.mark.parametrize("pasted", ["xyzzy", "my URI", "Fine weather", "bl", "", "日本語のエラー"])
def test_another_text_is_similar_to_none(pasted: str) -> None:
    """What begins otherwise is offered as nothing."""
    assert near(pasted) == []


@pytest.mark.matrix(8)
@pytest.mark.parametrize(
    "piece",
    [
        *("a?b=c&", '{"a":', "#200 ", "?" * 50, "URL Block ", "= # ?", "&#", "&#9", "\\", "\\u"),
        *("<", "<a ", "\x1b[", "code ", "error_", '{"message": "x"}', '{"a":{"message":"x"},', "ﷺ"),
        *("http://a?b=c ", "[", "\x00", "(#", "code: 1", "error: 1", "\n"),
    ],
)
def test_a_huge_paste_is_read_in_linear_time(piece: str) -> None:
    """
    A hundred kilobytes of anything are read within five seconds of processor time.

    In quadratic time they would take minutes; a longer paste is cut.
    """
    started = time.process_time()
    pasted = read_error(piece * (100_000 // len(piece)))
    recognise(pasted, ALL)
    closest(pasted, ALL, "acme", "")

    assert time.process_time() - started < 5


def test_a_longer_paste_is_cut() -> None:
    """Of a megabyte the first 400,000 characters are read, and nothing behind them."""
    assert read_error("a " * 200_000 + "URL Blocked " * 50_000) == read_error("a " * 200_000)


def test_what_was_seen_comes_first() -> None:
    """First those in the reason, then those in an answer, then the others as they stand."""
    answers = [None, {"data": []}, {"error": {"message": "no", "code": 368}}, "Invalid Scopes: x"]
    pairs = ordered(ALL, "Facebook refuses it (URL Blocked).", answers)

    assert pairs == [
        (BLOCKED, "reason"),
        (SCOPES, "answer"),
        (HELD, "answer"),
        (LACKS, ""),
        (ENDED, ""),
        (SPENT, ""),
    ]


def test_advice_names_steps() -> None:
    """The steps in an advice are named; nothing else changes, and each must have a name."""
    written = replace(BLOCKED, advice="See {fb-08-uri}.")
    named = written.naming({"fb-08-uri": "step 8 (Set it)"})

    assert named == replace(written, advice="See step 8 (Set it).")
    with pytest.raises(KeyError):
        written.naming({})


@pytest.mark.parametrize(
    ("advice", "here", "elsewhere"),
    [
        ("Go to {a}: save it.", "Save it.", "Go to step 8 (Set it): save it."),
        ("Compare {a}, then {b}.", "Compare this step, then step 9 (Do it).", ""),
        ("Wait, then check.", "Wait, then check.", ""),
    ],
)
def test_advice_fits_the_step_that_shows_it(advice: str, here: str, elsewhere: str) -> None:
    """A step never sends a person to itself by its number; another one has the whole name."""
    names = {"a": "step 8 (Set it)", "b": "step 9 (Do it)"}
    named = replace(BLOCKED, advice=advice).naming(names)

    assert named.advice_at("step 8 (Set it)") == here
    assert named.advice_at("step 7 (See it)") == (elsewhere or named.advice)
