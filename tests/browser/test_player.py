"""Somebody who presses what is blue, and makes every usual mistake, ends with sealed evidence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.browser.jupyter import Lab, Walk
from tests.browser.player import OPERATOR, Player
from tests.browser.test_practice import NAME, Person, png

_LOADED = 60_000
# More presses than steps: each step takes a few, and each mistake one or two more.
_MOST_TURNS = 160
_CUSTOMER = "Leads of Acme"


@dataclass
class World:
    """The sandbox's pages as the person uses them, and what was read there."""

    given: dict[str, Any]
    person: Person
    folder: Path
    app_page: str = ""
    requests_page: str = ""
    found: dict[str, str] = field(default_factory=dict)

    def at_app(self) -> Person:
        """Return the person, at the app's dashboard."""
        self.person.page.goto(self.app_page)
        return self.person


@dataclass
class Game:
    """One walk from nothing to sealed evidence."""

    player: Player
    world: World
    lab: Lab
    walk: Walk
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
    card, person = game.player.card(number), game.world.at_app()
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
    game.player.enter(number, User_access_token=game.world.person.take_token())
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
    game.player.enter(number, Data_deletion_URL=address)


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
    player, page = game.player, game.player.page
    sign_in = player.button(number, "Sign in with Facebook")
    if sign_in.count():
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
    number, title = following.number, following.text
    assert player.is_next_in_sight(), player.pressed[-3:]
    offer = player.page.get_by_role("button", name=re.compile(r"^\.env: ")).filter(visible=True)
    if offer.count():
        offer.first.click()
        player.page.wait_for_timeout(500)
        return
    if title not in game.done:
        deed = matching(DEEDS, title)
        game.done.add(title)
        if deed:
            deed(game, number)
            player.page.bring_to_front()
            player.settle(number)
            if player.next() != following:
                return
    blue = [one.inner_text() for one in player.blue()]
    answer = matching(ANSWERS, title)
    radio = (
        player.card(number).get_by_role("radio", name=answer).filter(visible=True)
        if answer
        else None
    )
    if not blue and "Nothing to do but wait" in game.player.header.inner_text():
        game.world.person.page.goto(game.world.requests_page)
        game.world.person.await_decision()
        player.page.bring_to_front()
        player.act(player.button(number, re.compile("^Check")), number)
        return
    if radio is not None and radio.count() and not player.button(number, "Save").count():
        radio.first.check()
        player.confirm(number)
        return
    name = player.card(number).get_by_label("Your name", exact=True).filter(visible=True)
    if name.count():
        name.first.fill(OPERATOR)
    player.press_blue()


def walk_to_the_end(game: Game) -> None:
    for _ in range(_MOST_TURNS):
        if game.player.next() is None:
            break
        turn(game)
    assert game.player.next() is None, game.player.pressed[-10:]
