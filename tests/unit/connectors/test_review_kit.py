"""The review kit: a text for each permission, why it is asked for, and nothing that is markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from runbook_lib.connectors.facebook.app_review_kit import (
    Kit,
    KitPermission,
    kit_of,
    permission_uses,
    review_kit,
)
from runbook_lib.connectors.facebook.permissions import PERMISSION_DEPENDENCIES
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.connectors.review_kit import find_blanks, kit_markdown
from runbook_lib.core.procedure import StepKind
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.wording import wording

TIER = "Marketing API Access Tier"
NAME = "Acme Lead Sync"
DOMAIN = "acme-h.cyclr.com"
HOSTILE = {
    "script": "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": "\" onmouseover='alert(1)' x=\"",
    "Markdown": "**b** _e_ `c` [l](javascript:alert(1)) ![i](x) ~~s~~ | t | \\",
    "reference": "[x][y] <https://e.example> &lt;b&gt; &#60;",
    "heading": "# Heading",
    "quotation": "> quoted",
    "list": "- item",
    "number": "1. item",
    "rule": "---",
    "fence": "```",
    "lines": "a\n\n# b\n```\nc",
    "template": "{{ 7 * 7 }} {app} {0} {% raw %}",
    "turned": "\u202eoT delif\u2066",
    "control": "\x00\x1b[31m\x7f",
}
# All elements of the Markdown, once it is HTML.
MARKDOWN_ELEMENTS = set(
    re.findall(r"\w+", "a blockquote em h1 h2 h3 li ol p strong table tbody td th thead tr ul")
)
connectors = pytest.mark.parametrize("connector", FACEBOOK_CONNECTORS)
hostile = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)


class Page(HTMLParser):
    """The elements, the attributes and the text of a page; wrong nesting fails."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.pieces: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the element."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "link"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Assert that it closes the element that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record the text."""
        if "style" not in self._open:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        """All text, with white space collapsed."""
        return " ".join(" ".join(self.pieces).split())


MARKETING = find_procedure("facebook_marketing")


def markdown(kit: Kit) -> str:
    """Return the kit as Markdown, with the plan of the Marketing connector."""
    return kit_markdown(kit, MARKETING)


def made(
    *permissions: str, connector: str = "facebook_marketing", is_sandbox: bool = False, **more: Any
) -> Kit:
    known = {"app_name": NAME, "service_domain": DOMAIN, **more}
    kit = review_kit(permissions, connector=connector, **known)
    return replace(kit, is_sandbox=is_sandbox)


def part(kit: Kit, name: str) -> KitPermission:
    (found,) = [each for each in kit.permissions if each.name == name]
    return found


def as_page(markdown: str) -> Page:
    return Page(MarkdownIt("commonmark").enable("table").enable("strikethrough").render(markdown))


# --- the data --------------------------------------------------------------------------------
@pytest.mark.parametrize("connector", FACEBOOK_CONNECTORS)
def test_each_default_permission_has_a_use(connector: str) -> None:
    """The permissions that a connector asks for by default each have a text and a call."""
    procedure = find_procedure(connector)
    (item,) = [each for each in procedure.inputs if each.name == "permissions"]
    assert isinstance(item.default, tuple)
    for name in item.default:
        use = permission_uses(connector).find(name)
        assert use is not None
        assert use.calls


@pytest.mark.parametrize("connector", FACEBOOK_CONNECTORS)
def test_one_step_of_each_connector_has_its_kit(connector: str) -> None:
    """The step that waits for the review names the connector's own texts."""
    steps = [step for step in find_procedure(connector).steps if step.review_kit]

    assert [step.review_kit for step in steps] == [connector]
    assert "review-is-approved" in [check.id for check in steps[0].checks]


def test_the_dependencies_are_those_that_the_check_knows() -> None:
    """The kit adds exactly the permissions that the check of the review waits for."""
    for name, needed in PERMISSION_DEPENDENCIES.items():
        kit = made(name)
        added = {each.name for each in kit.permissions if not each.is_feature}
        assert added == {"public_profile", name, *needed}


@connectors
def test_every_use_can_be_read(connector: str) -> None:
    """Each use names itself once, says why it depends on others, and has a public source."""
    uses = permission_uses(connector)
    names = [use.name for use in uses.uses]

    assert len(names) == len(set(names))
    for use in uses.uses:
        assert use.usage.endswith((".", "›"))
        assert use.scene.endswith(".")
        assert {each.name for each in use.depends_on} <= set(names)
        assert all(source.startswith("https://") for source in use.source.split("; "))
        assert set(re.findall(r"{(\w*)}", use.usage)) <= {"app"}


# --- the document ----------------------------------------------------------------------------
def test_a_kit_has_a_text_the_calls_and_the_reasons() -> None:
    """Each permission has its text in the app's name, the calls that need it, and what asks."""
    kit = made("leads_retrieval")
    leads = part(kit, "leads_retrieval")
    forms = part(kit, "pages_manage_ads")

    assert NAME in leads.usage
    assert leads.calls[0].request == "GET /{form-id}/leads"
    assert (leads.is_chosen, leads.reasons) == (True, ())
    assert forms.is_chosen is False
    assert [each.name for each in forms.reasons] == ["leads_retrieval"]
    assert part(kit, TIER).is_feature
    assert DOMAIN in " ".join(kit.about)


def test_needed_permissions_that_were_not_chosen_are_named() -> None:
    """A warning names what the chosen permissions bring with them; chosen, it is not named."""
    also = wording("kit.also-need-these")
    (warning,) = [each for each in made("leads_retrieval").warnings if also in each]
    assert "ads_management" in warning
    assert TIER in warning
    assert not [each for each in made("pages_show_list").warnings if also in each]


def test_a_permission_that_nothing_uses_is_warned_of() -> None:
    """A known name of another connector, email, and an unknown one have a warning, no text."""
    for name in ("email", "pages_messaging", "no_such_permission"):
        kit = made(name)
        unused = part(kit, name)
        assert unused.usage.startswith("‹Say what")
        unknown = wording(
            "kit.permission-without-use",
            connector=MARKETING.title,
            permission=name,
        )
        assert unknown in unused.warning
        assert unused.warning in kit.warnings
        assert unused.calls == ()


def test_a_permission_without_a_known_call_is_warned_of() -> None:
    """business_management is asked for by others, and no call of the connector needs it."""
    business = part(made("leads_retrieval"), "business_management")

    assert wording("kit.no-known-call", connector=MARKETING.title) in business.warning
    assert wording("kit.depended-on-by", permission="leads_retrieval") in business.warning
    assert [call.is_test for call in business.calls] == [True]
    assert part(made("leads_retrieval"), "leads_retrieval").warning == ""


@pytest.mark.parametrize("permissions", [(), ("public_profile",), ("public_profile",) * 3])
def test_public_profile_alone_needs_no_review(permissions: tuple[str, ...]) -> None:
    """With public_profile alone the kit says that there is nothing to review."""
    kit = made(*permissions)

    assert [each.name for each in kit.permissions] == ["public_profile"]
    assert any(wording("kit.needs-no-review") in each for each in kit.warnings)


def test_the_scenes_meet_the_policy() -> None:
    """Login, grant screen with every permission, each permission in use, end, server to server."""
    kit = made("leads_retrieval", "email")
    shown = [scene.shows for scene in kit.scenes]
    names = [each.name for each in kit.permissions if not each.is_feature]

    assert wording("kit.whole-login") in shown[2]
    assert "grant screen" in shown[3]
    assert set(kit.scenes[3].permissions) == set(names)
    assert sorted(name for scene in kit.scenes[4:] for name in scene.permissions) == sorted(names)
    assert wording("kit.server-to-server") in kit.scenes[-2].caption
    assert any("English" in rule and "captions" in rule for rule in kit.rules)
    assert wording("kit.server-to-server") in kit.about[1]


@pytest.mark.parametrize("connector", FACEBOOK_CONNECTORS)
def test_the_recording_shows_the_first_consent(connector: str) -> None:
    """A returning person's dialog has no list: the kit says how to get it back."""
    kit = review_kit((), app_name="A", service_domain="", connector=connector)
    rules = " ".join(kit.rules)
    grant = kit.scenes[3].shows

    assert wording("kit.show-first-consent") in rules
    assert "Edit settings" in rules
    assert "Edit settings" in grant
    assert wording("kit.chooses-the-page") in grant
    assert wording("kit.captions-or-speech") in rules
    assert kit.scenes[-2].shows.startswith("The result")


def test_no_recording_is_asked_for_the_tier() -> None:
    """The kit says that the access tier needs no recording, and names the source."""
    tier = part(made("leads_retrieval"), TIER)

    assert wording("kit.asks-for-no-recording") in tier.scene
    assert "changelog" in tier.source
    assert all(TIER not in scene.permissions for scene in made("leads_retrieval").scenes)


def test_the_scenes_tell_the_story_in_order() -> None:
    """A page is chosen before its form, and a lead comes after both, however they are named."""
    kit = made("leads_retrieval", "pages_manage_ads", "pages_show_list")
    order = [scene.permissions[0] for scene in kit.scenes[4:] if scene.permissions]

    assert order.index("pages_show_list") < order.index("pages_manage_ads")
    assert order.index("pages_manage_ads") < order.index("leads_retrieval")


@connectors
def test_unknown_names_are_blanks(connector: str) -> None:
    """Without a name and a domain the kit has blanks for them."""
    kit = made("pages_show_list", connector=connector, app_name=" ", service_domain="")

    assert (kit.app_name, kit.service_domain) == ("‹App Display Name›", "‹Service Domain›")
    assert kit.unknown == ("App Display Name", "Service Domain")
    assert made("pages_show_list", connector=connector).unknown == ()


def test_the_values_of_a_run_make_a_kit() -> None:
    """A run's values are enough; the kit never reads a credential."""
    values = {"permissions": ("ads_read",), "app_display_name": NAME, "app_secret": "hush-hush"}
    kit = kit_of("facebook_marketing", values)

    assert part(kit, "ads_read").is_chosen
    assert kit.app_name == NAME
    assert "hush-hush" not in json.dumps(kit.document())


def test_without_a_chosen_name_the_kit_has_the_apps_own() -> None:
    """If nobody gave an App Display Name, the kit has the name that Facebook reported."""
    assert kit_of("facebook_marketing", {"app_name": NAME}).app_name == NAME
    both = {"app_name": "Other", "app_display_name": NAME}
    assert kit_of("facebook_marketing", both).app_name == NAME


# --- Markdown --------------------------------------------------------------------------------
@connectors
@pytest.mark.parametrize("is_sandbox", [False, True])
def test_the_markdown_has_the_whole_kit(connector: str, is_sandbox: bool) -> None:
    """Each text, warning, scene and step is there; practice is marked."""
    names = tuple(use.name for use in permission_uses(connector).uses if not use.is_feature)
    kit = made(*names, "email", connector=connector, is_sandbox=is_sandbox)
    texts = [
        *kit.warnings,
        *kit.about,
        *kit.rules,
        *kit.reviewer,
        *(scene.shows for scene in kit.scenes),
        *(each.usage for each in kit.permissions),
        *(call.request for each in kit.permissions for call in each.calls),
        *(why.why for each in kit.permissions for why in each.reasons),
        *(text for part in kit.prepare for text in (part.name, part.text)),
        *kit.sources,
    ]

    page = as_page(markdown(kit))
    squeezed = re.sub(r"\s", "", page.text)
    assert [text for text in texts if re.sub(r"\s", "", text) not in squeezed] == []
    assert ("SANDBOX" in page.text) is is_sandbox


@hostile
def test_a_hostile_name_is_text_in_markdown(name: str) -> None:
    """An app's name adds no elements, links or headings to the Markdown."""
    plain = as_page(markdown(made("leads_retrieval", "email")))
    page = as_page(markdown(made("leads_retrieval", "email", app_name=name)))

    assert set(page.tags) <= MARKDOWN_ELEMENTS
    assert page.tags == plain.tags
    assert page.attributes == plain.attributes
    shown = re.split(r"[\x00-\x1f\x7f\u202e\u2066]", name)[0]
    assert " ".join(shown.split()) in page.text


@hostile
def test_a_hostile_permission_is_text_too(name: str) -> None:
    """A name of a permission that no form would admit is text, too."""
    kit = made(name)

    assert set(as_page(markdown(kit)).tags) <= MARKDOWN_ELEMENTS


def test_an_ordinary_name_is_not_escaped() -> None:
    """A permission's name, an ampersand and a hyphen stay readable in the Markdown."""
    text = markdown(made("leads_retrieval", app_name="Smith & Sons - Lead-Sync (UK)"))

    assert "# Review kit: Smith & Sons - Lead-Sync (UK)\n" in text
    assert "### leads_retrieval\n" in text
    assert "leads\\_retrieval" not in text


def test_long_names_and_lists_are_bounded() -> None:
    """A very long name is cut, and hundreds of permissions are listed once each."""
    names = tuple(f"permission_{number}" for number in range(300))
    kit = made(*names, *names, app_name="W" * 5_000)

    assert len(kit.app_name) == 200
    assert len(kit.permissions) == 301
    assert len(markdown(kit)) < 1_000_000


def test_blanks_are_found() -> None:
    """Each place to fill in is found with its line; what was filled in is not."""
    assert find_blanks("‹a› b\n‹c\nd› ‹unfinished") == [(1, "‹a›"), (2, "‹c d›")]
    assert len(find_blanks(markdown(made("leads_retrieval")))) > 20


# --- the renewal, and the plan ---------------------------------------------------------------
def test_the_kit_prepares_for_the_five_sections_of_the_renewal() -> None:
    """Each section that Meta names for Data Access Renewal has a text, in the order of its page."""
    kit = made("leads_retrieval")

    assert kit.prepare_for == wording("kit.renewal-if-asked")
    assert [part.name for part in kit.prepare] == [
        "Business connection",
        "Allowed usage",
        "Data handling",
        "Data protection",
        "Reviewer instructions",
    ]
    assert any(source.endswith("/data-access-renewal/content") for source in kit.sources)


@connectors
def test_the_plan_is_printed_from_the_procedure(connector: str) -> None:
    """The kit has the things to have ready, and each gate with its days and earlier steps."""
    procedure = find_procedure(connector)
    plan = procedure.plan
    assert plan is not None
    kit = made("leads_retrieval", connector=connector)
    texts = [
        *plan.have_ready,
        *plan.meanwhile,
        *(text for gate in procedure.gates for text in gate),
        plan.duration,
        plan.source,
    ]

    squeezed = re.sub(r"\s", "", as_page(kit_markdown(kit, procedure)).text)
    assert [part for part in texts if re.sub(r"\s", "", part) not in squeezed] == []


@connectors
def test_the_plan_has_the_gates_of_its_steps(connector: str) -> None:
    """Each step that waits is a gate with its usual days, after those that the step names."""
    procedure = find_procedure(connector)
    assert procedure.plan is not None
    waiting = [step for step in procedure.steps if step.kind is StepKind.WAIT]

    assert [gate.step for gate in procedure.plan.gates] == [step.id for step in waiting]
    assert all(step.usual_time for step in waiting)
    assert [takes for _, takes, _, _ in procedure.gates] == [
        "7 to 21 days",
        "up to 5 days",
        "14 to 21 days",
        "1 to 22 days",
    ]
    titles = {step.id: f"{procedure.numbers[step.id]} {step.title}" for step in procedure.steps}
    assert [after.split("; ") for _, _, after, _ in procedure.gates] == [
        [titles[name] for name in step.after] for step in waiting
    ]
    assert "one organisation" in procedure.plan.source
    assert "five days" not in " ".join(step.instructions + step.prose for step in waiting[2:])
