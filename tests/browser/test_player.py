"""Somebody who presses what is blue, and makes every usual mistake, ends with sealed evidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from facebook_cyclr_sandbox.server import Sandbox
from tests.browser.conftest import new_lab, own_windows
from tests.browser.frozen_server import NOTICED, frozen
from tests.browser.jupyter import Lab, Walk
from tests.browser.player import OPERATOR, Player
from tests.browser.practising_person import NAME, Person, png

_LOADED = 60_000
# More presses than steps: each step takes a few, and each mistake one or two more.
_MOST_TURNS = 160
# What a person finds in the consoles.
_LEFT_OUT = (
    "RUNBOOK_CYCLR_CLIENT_ID",
    "RUNBOOK_CYCLR_CLIENT_SECRET",
    "RUNBOOK_CYCLR_ACCOUNT_API_ID",
    "RUNBOOK_CYCLR_USERNAME",
    "RUNBOOK_CYCLR_SERVICE_DOMAIN",
    "RUNBOOK_FACEBOOK_DATA_DELETION_URL",
)


@dataclass
class World:
    """The sandbox's pages as the person uses them, and what was read there."""

    given: dict[str, Any]
    """The sandbox's description."""
    person: Person
    """The person at the sandbox's pages."""
    folder: Path
    """A folder for attachments."""
    app_page: str = ""
    """The address of the app's dashboard."""
    requests_page: str = ""
    """The address of the review's requests."""
    found: dict[str, str] = field(default_factory=dict)
    """Values that the person read, by the labels of their fields."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Credentials by the labels of their fields."""

    def at_app(self) -> Person:
        """Return the person, at the app's dashboard."""
        self.person.page.goto(self.app_page)
        return self.person


@dataclass
class Game:
    """One walk from nothing to sealed evidence."""

    player: Player
    """Presses the blue button."""
    world: World
    """The sandbox's pages."""
    lab: Lab
    """The server of the walkthrough."""
    walk: Walk
    """The walkthrough in the browser."""
    makes_mistakes: bool = False
    """Whether the person makes the known mistakes on the way."""
    done: set[str] = field(default_factory=set)
    """Titles of the steps whose text was followed at the sandbox's pages."""


# --- what the text of each step says, done at the sandbox's pages ---------------------------------
def log_in(game: Game, number: str) -> None:
    game.world.person.log_in()


def create_app(game: Game, number: str) -> None:
    game.player.enter(number, App_Display_Name=NAME)
    game.world.person.create_app()
    game.world.app_page = game.world.person.page.url


def read_credentials(game: Game, number: str) -> None:
    if "app_id" in game.world.found:
        return  # it was entered after the wrong ones
    app_id, app_secret = game.world.person.read_credentials()
    game.world.found.update(app_id=app_id, app_secret=app_secret)
    game.player.enter(number, App_ID=app_id, App_Secret=app_secret)


def verify_business(game: Game, number: str) -> None:
    game.world.person.verify_business()


def verify_access(game: Game, number: str) -> None:
    game.world.person.verify("Access Verification")


def set_redirect_uri(game: Game, number: str) -> None:
    host = game.world.person.read_service_domain()
    game.world.found["host"] = host
    game.player.enter(number, Service_Domain=host)
    game.world.at_app().set_up_login(f"https://{host}/connector/callback")


def choose_permissions(game: Game, number: str) -> None:
    card = game.player.card(number)
    person = game.world.at_app()
    chosen = card.get_by_role("group", name="Permissions", exact=True)
    names = [
        label.strip().split(" ")[0]
        for label in chosen.get_by_role("checkbox", checked=True)
        .locator("xpath=..")
        .all_inner_texts()
    ]
    game.world.found["permissions"] = ",".join(names)
    person.press("Use cases")
    for name in names:
        add = person.page.get_by_role("button", name=re.compile(f"^Add {name} to "))
        if add.count():
            add.first.click()
            person.page.wait_for_load_state()


def make_test_calls(game: Game, number: str) -> None:
    token = game.world.person.take_token()
    game.world.secrets["User access token"] = token
    game.player.enter(number, User_access_token=token)
    game.player.card(number).get_by_label(re.compile("test calls")).filter(
        visible=True
    ).first.check()


def get_advanced_access(game: Game, number: str) -> None:
    person = game.world.at_app()
    person.press("Permissions and Features")
    person.request("public_profile", "Increase access")


def request_permissions(game: Game, number: str) -> None:
    person = game.world.at_app()
    person.press("Permissions and Features")
    for name in game.world.found["permissions"].split(","):
        button = person.page.get_by_role("button", name=f"Request advanced access to {name}")
        if button.count() and button.is_enabled():
            person.request(name)


def publish_pages(game: Game, number: str) -> None:
    person = game.world.at_app()
    person.press("Settings > Basic")
    address = person.complete_settings(png(game.world.folder / "icon.png"))
    game.player.enter(number, Data_deletion_address=address)


def renew(game: Game, number: str) -> None:
    person = game.world.at_app()
    person.press("App Review Request")
    person.renew_data_access()


def submit(game: Game, number: str) -> None:
    person = game.world.at_app()
    person.press("App Review Request")
    person.fill_in_request("Leads are copied to the customer's own system.")
    person.press("Submit for Review")
    person.reads("The review is pending.")
    game.world.requests_page = person.page.url


def publish(game: Game, number: str) -> None:
    game.world.at_app().publish()


def complete_settings(game: Game, number: str) -> None:
    """Everything was filled in with the public pages."""


def open_setup(game: Game, number: str) -> None:
    person = game.world.person
    client_id, secret = person.read_api_client()
    person.page.goto(person.console)
    person.press("First Customer")
    account = person.page.locator("#account-id").inner_text().strip()
    game.world.secrets["Cyclr API Client Secret"] = secret
    game.player.enter(
        number,
        Cyclr_API_Client_ID=client_id,
        Cyclr_API_Client_Secret=secret,
        Account_API_ID=account,
    )


def enter_client_id(game: Game, number: str) -> None:
    found = game.world.found
    game.world.person.set_up_connector(found["app_id"], found["app_secret"])
    game.player.enter(number, Cyclr_user_name="operator@partner.test")


def install(game: Game, number: str) -> None:
    person = game.world.person
    person.page.goto(person.console)
    person.press("First Customer")
    person.page.get_by_label("Connector", exact=True).select_option("Facebook Marketing API")
    person.press("Install")
    person.reads("Not authenticated")


def authenticate(game: Game, number: str) -> None:
    person = game.world.person
    person.press("Authenticate Facebook Marketing API")
    person.heading(f"{NAME} asks for access")
    person.press("Continue")
    person.heading("Your browser would now leave Facebook")
    person.press("Continue on loopback")
    person.opens("First Customer: Connectors")


def consent(game: Game, number: str, *, customer: bool = False) -> None:
    player = game.player
    page = game.player.page
    sign_in = player.button(number, "Sign in with Facebook")
    if not sign_in.count():
        return  # its token is known from the test calls
    player.act(sign_in, number)
    with page.context.expect_page() as opened:
        player.card(number).get_by_role("link", name="Open the consent page ↗").click()
    dialog = Person(opened.value, game.world.person.dashboard, game.world.person.console)
    if customer:
        dialog.become_customer()
    dialog.heading(f"{NAME} asks for access")
    dialog.page.get_by_role("button", name="Continue").click()
    shown = dialog.page.get_by_text("/connector/callback?code=").first
    game.world.found["address"] = shown.inner_text().strip()
    dialog.page.close()
    page.bring_to_front()
    player.field(number, "Address to paste").fill(game.world.found["address"])
    player.act(player.button(number, "Use this address"), number)


def consent_as_customer(game: Game, number: str) -> None:
    consent(game, number, customer=True)


DEEDS: dict[str, Callable[[Game, str], None]] = {
    "Log in to Facebook": log_in,
    "Create App:": create_app,
    "Create the app and confirm": read_credentials,
    "Have your business verified": verify_business,
    "Be verified as a Tech Provider": verify_access,
    "Set the Valid OAuth Redirect URI": set_redirect_uri,
    "Choose Permissions and Features": choose_permissions,
    "Make a test call": make_test_calls,
    "Get Advanced Access": get_advanced_access,
    "Request leads_retrieval": request_permissions,
    "Publish the privacy policy": publish_pages,
    "Renew the app's data access": renew,
    "Submit for review": submit,
    "Publish the app": publish,
    "Open the connector's Setup": open_setup,
    "Client ID:": enter_client_id,
    "Install the connector": install,
    "Authenticate the connector": authenticate,
    "Inspect a user's token": consent,
    "Consent as somebody": consent_as_customer,
}


# --- the mistakes that people make, each once, before a step's text is followed ------------------
def without_a_name(game: Game, number: str) -> None:
    """No name; one with a character that nobody sees; one with blanks around it is taken."""
    player = game.player
    player.press_blue()
    player.says(number, re.compile("Enter your name"))
    player.field(number, "Your name").fill("Sandbox\u200boperator")
    player.press_blue()
    player.says(number, re.compile("invisible character"))
    assert player.next_number() == number
    player.field(number, "Your name").fill(f"  {OPERATOR} ")


def twice(game: Game, number: str) -> None:
    """A double click confirms one step, not two."""
    player = game.player
    player.button(number, re.compile("confirms$")).dblclick()
    player.settle(number)
    expect(player.header).to_contain_text("2 of 34 done")


def with_facebook_in_the_name(game: Game, number: str) -> None:
    player = game.player
    player.enter(number, App_Display_Name="Facebook Leads")
    player.press_blue()
    player.says(number, "Not saved yet: App Display Name.")
    expect(player.button(number, "Use it anyway")).to_be_visible()


def wrong_pair(game: Game, number: str) -> None:
    """One wrong digit; another app's secret; both pasted with blanks, a tab and a line's end."""
    player = game.player
    app_id, secret = game.world.person.read_credentials()
    game.world.found.update(app_id=app_id, app_secret=secret)
    wrong = app_id[:-1] + str((int(app_id[-1]) + 1) % 10)
    for pair in ((wrong, secret), (app_id, "0123456789abcdef0fedcba987654321")):
        player.enter(number, App_ID=pair[0], App_Secret=pair[1])
        player.press_blue()
        player.says(number, re.compile("^Facebook does not accept this App ID with this App Sec"))
        assert player.next_number() == number
        assert len(player.blue()) == 1
    player.enter(number, App_ID=f"\t{app_id} ", App_Secret=f" {secret}\n")
    player.press_blue()


def skip_without_a_reason(game: Game, number: str) -> None:
    player = game.player
    player.card(number).get_by_text("More", exact=True).click()
    player.button(number, "Skip").click()
    player.button(number, re.compile("skips this$")).click()
    player.says(number, re.compile("Give a reason"))
    player.page.keyboard.press("Escape")


def reload_with_a_note(game: Game, number: str) -> None:
    """The page asks before typed text is left; whoever goes on is at the step, with the text."""
    player = game.player
    player.card(number).get_by_text("More", exact=True).click()
    player.field(number, "Note").fill("Half a sentence")
    asked: list[str] = []
    player.page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    player.page.reload()
    game.walk.press_start()
    assert asked == ["beforeunload"]
    assert player.next_number() == number
    expect(player.field(number, "Note")).to_have_value("Half a sentence")


def two_tabs(game: Game, number: str) -> None:
    """A step that is confirmed in one tab is done in the other, too."""
    player = game.player
    first = game.player.page
    second = Walk(first.context.new_page(), game.lab)
    second.load()
    second.press_start()
    player.page = second.page
    player.open_page(number)
    player.card(number).get_by_label("Your name", exact=True).first.fill(OPERATOR)
    player.confirm(number)
    player.page = first
    first.bring_to_front()
    expect(player.header).not_to_contain_text(f"Next: {number} ")
    second.page.close()
    game.walk.restart_kernel()


def with_a_path(game: Game, number: str) -> None:
    """A Service Domain pasted as an address, in capitals, is taken as its host."""
    player = game.player
    for pasted in ("https://CONNECT.partner.test/path?x", "CONNECT.PARTNER.TEST"):
        player.enter(number, Service_Domain=pasted)
        player.press_blue()
        player.says(number, "https://connect.partner.test/connector/callback")


def misspelt_permission(game: Game, number: str) -> None:
    player = game.player
    player.card(number).get_by_text("More permissions", exact=True).click()
    field = player.card(number).get_by_role("textbox", name="Permissions", exact=True)
    before = field.input_value()
    field.fill(f"{before}, ads_raed")
    player.says(number, re.compile("Did you mean ads_read?"))
    field.fill(before)
    player.press_blue()


def without_https(game: Game, number: str) -> None:
    player = game.player
    player.enter(number, Data_deletion_address="www.partner.test/data-deletion")
    player.says(number, re.compile("must start with https://"))


def due_in_the_past(game: Game, number: str) -> None:
    player = game.player
    player.press_blue()
    player.card(number).get_by_role("radio", name="Asked for, not done yet").check()
    player.field(number, "Due").fill("2020-01-31")
    player.confirm(number)
    expect(player.button(number, "Use it anyway")).to_be_visible()
    assert player.next_number() == number
    player.card(number).get_by_role("radio", name="It is done").check()


def submitted_tomorrow(game: Game, number: str) -> None:
    player = game.player
    player.card(number).get_by_role("radio", name="Submitted, and not decided").check()
    player.field(number, "Sent").fill("2099-01-31")
    player.confirm(number)
    expect(player.button(number, "Use it anyway")).to_be_visible()
    player.field(number, "Sent").fill("")


def server_frozen_and_stopped(game: Game, number: str) -> None:
    """The page says within 30 seconds that the server is frozen, and at once that it stopped."""
    player = game.player
    band = player.page.get_by_role("alert").filter(visible=True)
    with frozen(game.lab, "jupyterlab"):
        expect(band).to_contain_text("cannot be reached", timeout=NOTICED)
    expect(band).to_have_count(0)
    game.lab.stop()
    expect(band).to_contain_text("The runbook has stopped")
    game.lab.start()
    game.walk.load()
    game.walk.press_start()
    assert player.next_number() == number


def kernel_restarted(game: Game, number: str) -> None:
    game.walk.restart_kernel()
    assert game.player.next_number() == number


def another_tabs_address(game: Game, number: str) -> None:
    player = game.player
    player.press_blue()
    player.field(number, "Address to paste").fill(game.world.app_page)
    player.act(player.button(number, "Use this address"), number)
    player.says(number, re.compile("This is the address of another page"))
    player.says(number, re.compile("begins with"))


def by_keyboard(game: Game, number: str) -> None:
    """The step is confirmed without a mouse."""
    game.player.header.get_by_role("link").first.focus()
    tab_to(game, game.player.button(number, re.compile("confirms$")))
    game.player.page.keyboard.press("Enter")
    game.player.settle(number)


def tab_to(game: Game, there: Locator) -> None:
    """Press Tab until it has the focus."""
    for _ in range(_MOST_TURNS):
        if there.evaluate("one => one === document.activeElement"):
            return
        game.player.page.keyboard.press("Tab")
    pytest.fail("The keyboard does not reach it.")


MISTAKES: dict[str, Callable[[Game, str], None]] = {
    "Log in to Facebook": without_a_name,
    "Get a Facebook developer account": twice,
    "Create App:": with_facebook_in_the_name,
    "Choose the use case": by_keyboard,
    "Create the app and confirm": wrong_pair,
    "Be verified as a Tech Provider": skip_without_a_reason,
    "Set up Facebook Login": reload_with_a_note,
    "Open Facebook Login": two_tabs,
    "Set the Valid OAuth Redirect URI": with_a_path,
    "Choose Permissions and Features": misspelt_permission,
    "Publish the privacy policy": without_https,
    "Renew the app's data access": due_in_the_past,
    "Submit for review": submitted_tomorrow,
    "Open the connector's Setup": server_frozen_and_stopped,
    "Client Secret:": kernel_restarted,
    "Consent as somebody": another_tabs_address,
}

ANSWERS = {
    "Have your business verified": "Approved",
    "Be verified as a Tech Provider": "Approved",
    "Renew the app's data access": "It is done",
    "Submit for review": "Submitted, and not decided",
    "Ask whether it sends": "None of them",
    "Ask which login product": "Facebook Login",
    "Ask which kind of token": "A user token",
    "Ask which Graph version": "No end announced",
}


def matching(table: dict[str, Any], title: str) -> Any:
    """Return what a table has for the step with this title, or `None`."""
    return next((value for beginning, value in table.items() if title.startswith(beginning)), None)


def turn(game: Game) -> None:
    """Do what the page asks for next, once."""
    player = game.player
    following = player.next()
    assert following is not None
    number = following.number
    title = following.title
    assert player.is_next_in_sight(), player.pressed[-3:]
    offer = player.page.get_by_role("button", name=re.compile(r"^\.env: ")).filter(visible=True)
    if offer.count():
        offer.first.click()
        player.page.wait_for_timeout(500)
        return
    if title not in game.done:
        game.done.add(title)
        mistake = matching(MISTAKES, title) if game.makes_mistakes else None
        if mistake:
            player.open_page(number)
            mistake(game, number)
            if player.next_number() != number:
                return
        deed = matching(DEEDS, title)
        if deed:
            deed(game, number)
            player.page.bring_to_front()
            player.settle(number)
            if player.next() != following:
                return
    enter_again(game, number)
    blue = player.blue()
    answer = matching(ANSWERS, title)
    radio = (
        player.card(number).get_by_role("radio", name=answer).filter(visible=True)
        if answer
        else None
    )
    if not blue and "Nothing to do but wait" in following.advice:
        game.world.person.page.goto(game.world.requests_page)
        game.world.person.await_decision()
        player.page.bring_to_front()
        player.act(player.button(number, re.compile("^Check")), number)
        return
    is_chosen = player.card(number).get_by_role("radio", checked=True).filter(visible=True).count()
    if radio is not None and radio.count() and not is_chosen:
        radio.first.check()
        player.confirm(number)
        return
    name = player.card(number).get_by_label("Your name", exact=True).filter(visible=True)
    if name.count():
        name.first.fill(OPERATOR)
    player.press_blue(number)


def enter_again(game: Game, number: str) -> None:
    """Enter the credentials that the card asks for, since a restart has lost them."""
    asked = game.player.card(number).inner_text()
    for label, secret in game.world.secrets.items():
        if re.search(rf"Enter [^.]*{label}", asked):
            game.player.field(number, label).fill(secret)


def walk_to_the_end(game: Game) -> None:
    """Do what the page asks for until every step is done, then seal."""
    for _ in range(_MOST_TURNS):
        if game.player.next() is None:
            break
        turn(game)
    assert game.player.next() is None, game.player.pressed[-10:]


@contextmanager
def begun(browser: Browser, folder: Path, keys_home: Path, width: int) -> Iterator[Game]:
    """Yield the start: nothing is done, and nothing is known but where the systems are."""
    with Sandbox("fresh") as sandbox, own_windows(browser) as context:
        given: dict[str, Any] = sandbox.description
        with new_lab(folder, sandbox, keys_home, token="") as lab:
            lab.leave_out(*_LEFT_OUT)
            walk = Walk(context.new_page(), lab)
            person = Person(context.new_page(), given["dashboard_url"], given["cyclr_console_url"])
            walk.load()
            walk.press_start()
            walk.page.get_by_role("button", name="Begin", exact=True).click()
            if width < 1280:
                walk.choose_theme("JupyterLab Dark")
                walk.page.set_viewport_size({"width": width, "height": 900})
            yield Game(Player(walk.page), World(given, person, folder), lab, walk)


@pytest.mark.costly("two walks through all steps, one with every usual mistake")
@pytest.mark.parametrize("width", [1280, 400])
def test_pressing_each_blue_button_ends_with_sealed_evidence(
    browser: Browser, tmp_path: Path, keys_home: Path, width: int
) -> None:
    """
    Whoever follows only the page, and makes every usual mistake, ends with all steps done.

    At each width what is next is in sight, and while something is to do, one thing is blue. The
    mistakes are made at 1280 pixels; the narrow page is dark. `test_page_accessibility` has 320.
    """
    with begun(browser, tmp_path, keys_home, width) as game:
        game.makes_mistakes = width == 1280
        walk_to_the_end(game)
        end = game.player.page.get_by_role("region", name="The end of the notebook")
        end.get_by_role("button", name="Seal the evidence").click()
        expect(end).to_contain_text("Your customers can connect", timeout=_LOADED * 4)
        expect(end).to_contain_text("All 34 steps are done.")
