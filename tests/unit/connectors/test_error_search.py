"""An error text is decided by subcode, text or code, or found by words."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from dataclasses import replace

import pytest

from runbook_lib.connectors.error_text import GAP, read_error
from runbook_lib.connectors.known_errors import (
    ExplanationBasis,
    KnownErrors,
    SearchWords,
    has_full_text_search,
    rank_seen,
)
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.procedure import Cause, KnownError

MARKETING = find_procedure("facebook_marketing")
KEYS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz", strict=True))


def error(
    *shown: str,
    codes: tuple[int, ...] = (),
    shared: tuple[int, ...] = (),
    subcodes: tuple[int, ...] = (),
    search_words: str = "",
) -> KnownError:
    return KnownError(
        id=shown[0],
        shown=shown,
        codes=codes,
        shared_codes=shared,
        subcodes=subcodes,
        search_words=search_words,
        meaning="It means this.",
        causes=(Cause(text="It was done."),),
        advice="Undo it.",
        source="https://example.com/docs",
    )


BLOCKED = error("URL Blocked", "This redirect failed because the URI isn't listed.", codes=(191,))
SCOPES = error("Invalid Scopes: …", "Users of your app will ignore these.")
LACKS = error("(#200) Requires … permission to manage the object", "(#200)", codes=(200, 201))
ENDED = error("Session has expired on …. The current time is …", codes=(190,))
HELD = error("Held back for a time because of policies", codes=(368,))
SPENT = error("This authorization code has been used.", subcodes=(36009,))
ROLE = error("The user must be an administrator of the page in order to impersonate it.")
REFUSED = replace(error("Token refused: …", "Unknown error", shared=(177,)), is_generic=True)
GONE = error("Token refused: the user removed the app", subcodes=(458,))
EMPTY = error('An empty list: {"data":[]}')
WEBVIEW = error("PLATFORM__DISABLED_HERE")
LANGUAGES = error("会话已过期，请重新登录", "セッションの期限が切れました", "सत्र समाप्त हो गया है")
FRENCH = error("La session a été invalidée car l’utilisateur a modifié son mot de passe")
ALL = (
    BLOCKED,
    SCOPES,
    LACKS,
    ENDED,
    HELD,
    SPENT,
    ROLE,
    REFUSED,
    GONE,
    EMPTY,
    WEBVIEW,
    LANGUAGES,
    FRENCH,
)


# A score says something only among many.
ROOMS = tuple(error(f"Room {number} is cold") for number in range(150))


def decided(pasted: str, *errors: KnownError) -> list[KnownError]:
    """Return the error that is certain, or known and generic, in a list; else nothing."""
    found = KnownErrors(errors or ALL).decide(read_error(pasted))
    return [found.errors[0]] if found.is_certain or found.names_cause else []


@pytest.mark.parametrize(
    ("pasted", "found"),
    [
        ("URL Blocked", BLOCKED),
        ("url blocked", BLOCKED),
        ("  “URL   Blocked”: \n see below", BLOCKED),
        ("this redirect failed because the URI isn’t listed", BLOCKED),
        ("This redirect failed because the URI is not listed.", BLOCKED),
        ("Error — Invalid Scopes: leads_retrieval, pages_manage_ads.", SCOPES),
        ("Invalid Scopes: ", SCOPES),
        ("invalid scopes", SCOPES),
        ("(#200) Requires pages_manage_metadata permission to manage the object", LACKS),
        ("Requires x permission to manage the object", LACKS),
        ("[200] Requires x permission to manage the object", LACKS),
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
        # A part of a text, if it has words enough.
        ("back for a time because", HELD),
        ("redirect failed because the URI", BLOCKED),
        # A subcode decides before any text or code.
        ('{"error": {"message": "Texto", "code": 201, "error_subcode": 36009}}', SPENT),
        ("código 201/36009", SPENT),
        ('{"error": {"message": "URL Blocked", "code": 190, "error_subcode": 36009}}', SPENT),
        ('{"error": {"message": "Unknown error", "code": 1, "error_subcode": 458}}', GONE),
        ("{errorCode: 190, subErrorCode: 458}", GONE),
        # The longest text is meant; a generic one counts only where nothing else is known.
        ("(#10) Token refused: the user removed the app", GONE),
        ("URL Blocked (#200) Requires x permission to manage the object", LACKS),
        ('{"error": {"message": "Unknown error", "error_user_title": "URL Blocked"}}', BLOCKED),
        ("Token refused: something new", REFUSED),
        ("Unknown error, trace AbC [HTTP 500]", REFUSED),
        ("Uncaught exception 'X' with message 'Unknown error' in /srv/a/b.php:12 " + "#0 a() " * 20,
            REFUSED),
        ("{ message: 'Unknown error', type: 'X' } " + "at a (b.js) " * 9, REFUSED),
        # A few words begin a sentence, or have a capital letter.
        ("They see URL Blocked now", BLOCKED),
        ("They see: url blocked", BLOCKED),
        # Texts that are no sentences.
        ('{"data": []}', EMPTY),
        ("{'data': [], 'paging': {}}", EMPTY),
        ("https://m.example/error/?error_code=PLATFORM__DISABLED_HERE&display=touch", WEBVIEW),
        # Published translations; without spaces, and with combining signs.
        ("错误：会话已过期，请重新登录。", LANGUAGES),
        ("エラー：セッションの期限が切れました", LANGUAGES),
        ("त्रुटि: सत्र समाप्त हो गया है।", LANGUAGES),
        ("la session a ete invalidee".replace("ete", "été").replace("idee", "idée")
            + " car l'utilisateur a modifié son mot de passe.", FRENCH),
    ],
)  # fmt: skip
def test_a_text_is_known_in_every_form(pasted: str, found: KnownError) -> None:
    """Case, quotes, blanks, markup, names in gaps and surrounding text do not matter."""
    assert decided(pasted) == [found]


@pytest.mark.parametrize(
    "pasted",
    [
        "blocked",
        "URL",
        "the",
        "Blocked URL",
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
        '{"error": ["URL',
        "{",
        "?=#",
        "https://[x?error=a",
        "It is sad that a url blocked you",
        "The user must be an administrator of the app in order to impersonate it.",
        "Unknown error. But this page here says in ten more words what has really happened",
        '{"error": {"message": "Unknown error", "error_user_title": "A new thing is broken here"}}',
        '{"error": {"data": []}}',
        "(#177)",
        "Un autre texte (177)",
        '{"a":' * 100_000,
        "&#" + "9" * 5000,
    ],
)
def test_nothing_is_claimed_of_another_text(pasted: str) -> None:
    """A word, other words, a number in a sentence, an authorization code and broken JSON: no."""
    assert decided(pasted) == []


def test_a_code_counts_only_without_a_known_text() -> None:
    """A text says more than a code; several codes alone decide nothing."""
    document = json.dumps({"error": {"message": "URL Blocked", "code": 200}})

    assert decided(document) == [BLOCKED]
    assert decided("(#200) (#190)") == []
    assert KnownErrors(ALL).explain("(#200) (#190)").errors == (LACKS, ENDED)


def test_parts_of_a_text_stand_near_each_other() -> None:
    """The gap between two parts of a text is a name or a list, not a page."""
    gap = "pages_show_list, " * 20
    assert decided(f"Requires {gap}permission to manage the object") == [LACKS]
    assert decided(f"Session has expired on {gap * 3}The current time is") == []


def test_a_shared_code_leaves_its_causes() -> None:
    """A code with several meanings offers those that have it, those with the words first."""
    old = error("Token gone", shared=(177,), search_words="expired ended")
    away = error("App away", shared=(177,), search_words="expired app removed")
    known = KnownErrors((BLOCKED, old, away, *ROOMS))

    for pasted, first in (("(#177) The app was removed", away), ("(#177) It has ended", old)):
        found = known.explain(pasted)
        assert (found.decided_by, found.is_certain) == (ExplanationBasis.CODE, False)
        assert found.errors[0] == first
    assert known.explain("(#177)").errors == (old, away)
    assert known.explain("(#177) URL Blocked").errors == (BLOCKED,)


def test_a_generic_text_is_known_and_leaves_causes() -> None:
    """It comes first, and what its code or the other words say follows."""
    old = error("Token gone", shared=(177,), search_words="expired ended")
    found = KnownErrors((old, REFUSED)).explain('{"message": "Unknown error", "code": 177}')

    assert (found.decided_by, found.is_certain) == (ExplanationBasis.TEXT, False)
    assert found.errors == (REFUSED, old)


# --- the search ---------------------------------------------------------------------------------
WORDS = SearchWords(
    products=("acme",),
    field=("door", "lamp"),
    change=("since", "yesterday"),
    other_software=("telegram",),
    translations=(
        ("tür", "door"),
        ("дверь", "door"),
        ("ドア", "door"),
        ("geschlossen", "shut"),
        ("zu", "shut"),
        ("schloss", "lock"),
        ("ランプ", "lamp"),
        ("暗い", "dark"),
    ),
)
DOOR = error("Door refused", search_words="door lock shut acme handle lost")
LIGHT = replace(
    error("Lamp is dark", search_words="lamp dark acme bulb"), meaning="The bulb is broken."
)
WATER = error("No water", search_words="water pump acme")
HOUSE = (DOOR, LIGHT, WATER, *ROOMS)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # Words in any order, and words of its meaning; never certain.
        ("The door of my Acme is shut", [DOOR]),
        ("Acme: I have lost the handle", [DOOR]),
        ("Acme: is the bulb broken?", [LIGHT]),
        ("Acme: the doors were locked", [DOOR]),
        # Another product; words that nobody has; nothing at all.
        ("The lamp beside the Telegram is dark", []),
        ("Good morning to everybody", []),
        ("", []),
        # But for typing errors.
        ("Door refusde", [DOOR]),
        ("No watre: the pump stands still", [WATER]),
        # Words of other languages, in every script, beside names in letters too.
        ("Acme: Die Tür ist geschlossen", [DOOR]),
        ("Acme: die Türen sind zu", [DOOR]),
        ("Acme: дверь closed, lock", [DOOR]),
        ("Acmeのランプは暗い", [LIGHT]),
        ("Acme ドア", [DOOR]),
        ("Acme: Schlosser", [DOOR]),
    ],
)
def test_words_only_offer(text: str, found: list[KnownError]) -> None:
    """Words rank the closest errors, and make no answer certain."""
    answer = KnownErrors(HOUSE, WORDS).explain(text)

    assert list(answer.errors[:1]) == found
    assert not answer.is_certain
    assert len(answer.errors) <= 3


def test_pairs_of_characters_find_scripts_without_spaces() -> None:
    """A part of a Chinese, Japanese or Hindi text is found without a dictionary."""
    known = KnownErrors((LANGUAGES, *ROOMS), SearchWords(products=("acme",)))

    for text in ("Acme 会话过期了", "Acme セッション期限", "Acme सत्र समाप्त क्यों"):
        assert known.explain(text).errors[:1] == (LANGUAGES,)
    assert known.explain("Acme 今天天气好").errors == ()


@pytest.mark.parametrize(
    ("text", "is_certain"),
    [
        ("URL Blocked", True),
        ("Acme beside Telegram: URL Blocked", True),
        ("Telegram: URL Blocked", False),
        ("Telegram: error code: 368", False),
        # A text that says what it means is known, whoever shows it.
        ("Telegram: This authorization code has been used.", True),
    ],
)
def test_other_software_takes_certainty_away(text: str, is_certain: bool) -> None:
    """A short text or a code is not ours where other software is named and ours is not."""
    assert KnownErrors(ALL, WORDS).explain(text).is_certain is is_certain


def test_causes_after_the_set_up_come_first() -> None:
    """If something worked before, causes of the months after the set-up come first."""
    screen = error("Door is not painted", search_words="door acme missing leads")
    later = replace(error("Door fell off", search_words="door acme leads"), is_after_set_up=True)
    known = KnownErrors((screen, later, *ROOMS), WORDS)

    assert known.explain("Acme: leads missing at the door").errors[0] == screen
    assert known.explain("Acme: leads missing at the door since yesterday").errors[0] == later


def test_the_more_frequent_of_equal_causes_comes_first() -> None:
    """The number of reports decides between equal causes."""
    rare = replace(error("Door a", search_words="handle"), id="a")
    frequent = replace(error("Door b", search_words="handle"), id="b")
    known = KnownErrors((rare, replace(frequent, reports=40), *ROOMS), WORDS)

    assert known.explain("Acme: the handle").errors[0].id == "b"


class WithoutFullTextSearch(sqlite3.Connection):
    """A connection of an SQLite that was compiled without FTS5."""

    def executescript(self, script: str) -> sqlite3.Cursor:
        """Run it, with a module that does not exist in place of FTS5."""
        return super().executescript(script.replace("fts5", "no_such_module"))


def test_without_full_text_search_texts_and_codes_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """FTS5 is a compile option of SQLite: without it nothing is offered by words."""
    monkeypatch.setattr(sqlite3, "connect", WithoutFullTextSearch)
    known = KnownErrors((*ALL, DOOR), WORDS)

    assert not has_full_text_search()
    assert known.explain("URL Blocked").errors == (BLOCKED,)
    assert known.explain("Code 368").errors == (HELD,)
    assert known.explain("(#177)").errors == (REFUSED,)
    assert known.explain("The door of my Acme is shut").decided_by is ExplanationBasis.NOTHING


def test_this_sqlite_has_full_text_search() -> None:
    """The tests here run with FTS5."""
    assert has_full_text_search()
    assert sqlite3.sqlite_version_info >= (3, 34)


def mistype(text: str, dice: random.Random) -> str:
    """Return `text` with a typing error for each dozen letters, four at most."""
    letters = list(text)
    for _ in range(max(1, min(4, len(text) // 12))):
        place = dice.randrange(len(letters) - 1)
        kind = dice.randrange(4)
        if kind == 0:
            letters[place : place + 2] = reversed(letters[place : place + 2])
        elif kind == 1:
            del letters[place]
        elif kind == 2:
            letters.insert(place, letters[place])
        else:
            letters[place] = KEYS.get(letters[place].lower(), "x")
    return "".join(letters)


def test_most_typing_errors_lead_to_their_text() -> None:
    """92 % of our own headlines with typing errors come first, and few are taken for another."""
    dice = random.Random(26)
    known = KnownErrors(MARKETING.known_errors, vendor_of(MARKETING).search_words)
    mistyped = [
        (error.id, mistype(" ".join(shown.replace(GAP, "ads_read").split()[:12]), dice))
        for error in known.errors
        for shown in error.shown[:4]
    ]
    answers = [(name, known.explain(text)) for name, text in mistyped]
    first = [name for name, found in answers if [e.id for e in found.errors[:1]] == [name]]
    wrong = [name for name, found in answers if found.is_certain and found.errors[0].id != name]

    assert len(first) >= 0.92 * len(answers)
    assert len(wrong) <= 0.01 * len(answers), wrong


@pytest.mark.matrix(8)
@pytest.mark.parametrize(
    "piece",
    [
        "a?b=c&",
        '{"a":',
        "#200 ",
        "?" * 50,
        "URL Block ",
        "= # ?",
        "&#",
        "&#9",
        "\\",
        "\\u",
        "<",
        "<a ",
        "\x1b[",
        "code ",
        "error_",
        '{"message": "x"}',
        '{"a":{"message":"x"},',
        "ﷺ",
        "http://a?b=c ",
        "[",
        "\x00",
        "(#",
        "code: 1",
        "error: 1",
        "\n",
        'message": "',
        "会话",
    ],
)
def test_a_huge_paste_is_read_in_linear_time(piece: str) -> None:
    """
    A hundred kilobytes of anything are read within five seconds of processor time.

    In quadratic time they would take minutes; a longer paste is cut.
    """
    started = time.process_time()
    KnownErrors(ALL, WORDS).explain(piece * (100_000 // len(piece)))

    assert time.process_time() - started < 5


def test_a_longer_paste_is_cut() -> None:
    """Only the first 400,000 characters of a megabyte are read."""
    assert read_error("a " * 200_000 + "URL Blocked " * 50_000) == read_error("a " * 200_000)


# --- a step's errors ----------------------------------------------------------------------------
def test_seen_errors_come_first() -> None:
    """First those in the reason, then those in an answer, then the others as they stand."""
    known = (BLOCKED, SCOPES, LACKS, ENDED, HELD, SPENT)
    answers = [None, {"data": []}, {"error": {"message": "no", "code": 368}}, "Invalid Scopes: x"]
    pairs = rank_seen(known, "Acme refuses it (URL Blocked).", answers)

    assert pairs == [
        (BLOCKED, "reason"),
        (SCOPES, "response"),
        (HELD, "response"),
        (LACKS, ""),
        (ENDED, ""),
        (SPENT, ""),
    ]
    assert rank_seen((), "URL Blocked", answers) == []


def test_advice_names_steps() -> None:
    """The steps in an advice are named; nothing else changes, and each must have a name."""
    cause = Cause(text="It was done.", advice="Undo {fb-08-uri}.")
    written = replace(BLOCKED, advice="See {fb-08-uri}.", causes=(cause,))
    named = written.naming({"fb-08-uri": "step 8 (Set it)"})

    undo = replace(cause, advice="Undo step 8 (Set it).")
    assert named == replace(written, advice="See step 8 (Set it).", causes=(undo,))
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
