"""
The partner's own website: pages for Facebook's reviewers, good ones and bad ones.

The HTTPS socket of the service domain serves it, by host name:

* `www.partner.test` and `partner.test`: `/privacy`, `/terms` and `/data-deletion` are as they
  should be; `/app-page` is empty without script; `/moved` leads to another registrable domain,
  `/moved-within` to another host of the same one; any other path is 404
* `soft.partner.test` answers every path with the same page and 200
"""

from facebook_cyclr_sandbox.http.page_templates import render_page
from facebook_cyclr_sandbox.http.web_messages import (
    WebRequest,
    WebResponse,
    html_response,
    redirect_response,
)
from facebook_cyclr_sandbox.state.cyclr_state import CyclrState

# Title and text of each page; an empty line separates paragraphs.
_TEXTS = {
    "/": (
        "Sandbox Partner",
        """\
Sandbox Partner connects the tools that small companies use: their advertising, their customer
lists and their mailings.

A customer signs in once for each tool, sees what is asked for, and can withdraw it at any time
in the settings of that tool.
""",
    ),
    "/privacy": (
        "Privacy Policy",
        """\
This policy describes which data Sandbox Partner receives from Facebook when a customer connects
a Page, what it is used for, and how long it is kept.

We receive the names and answers that people enter into a customer's lead forms, and the names
of the customer's Pages, forms and ad accounts. We pass them on to the system that the customer
has chosen, and to nobody else.

Leads are deleted from our systems within thirty days. Access ends at once when a customer
disconnects the Page, or withdraws the permission at Facebook.

Questions about this policy, and requests for access to or deletion of data, are answered by
support@partner.test within ten working days.
""",
    ),
    "/terms": (
        "Terms of Service",
        """\
These terms apply between Sandbox Partner and the company that uses its service to connect
Facebook Pages with other systems.

The customer may connect only Pages and ad accounts that it owns or manages, and tells the
people who fill in its forms what happens to their answers.

Either side may end the contract at the end of a month. The data that was received for the
customer is then deleted within thirty days.
""",
    ),
    "/data-deletion": (
        "User Data Deletion",
        """\
A person who has filled in a lead form of one of our customers can have the answers deleted.
Write to support@partner.test from the address that you entered, and name the Page on which you
found the form.

A customer removes everything by disconnecting the Page in the settings, or at Facebook under
Settings, Business Integrations, by removing this app. We then delete what we hold within thirty
days, and confirm it by mail.
""",
    ),
}
_SHELL = (
    "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>SANDBOX</title></head>"
    "<body><div id='root'></div><script src='/app.js'></script></body></html>"
)


def handle_website_request(cyclr: CyclrState, host: str, request: WebRequest) -> WebResponse:
    """Respond to a request for a page of the website."""
    if request.method not in {"GET", "HEAD"}:
        return _render_website("405 – Method Not Allowed", "This page can only be read.", 405)
    path = "/" if host.startswith("soft.") else request.path.rstrip("/") or "/"
    if path in _TEXTS:
        return _render_website(*_TEXTS[path])
    bare = cyclr.website_host.removeprefix("www.")
    odd = {
        "/app-page": html_response(_SHELL),
        "/moved": redirect_response("https://www.elsewhere.test/", 301),
        "/moved-within": redirect_response(f"https://{bare}/privacy", 301),
    }
    return (
        odd[path]
        if path in odd
        else _render_website("404 – Not Found", "There is no such page.", 404)
    )


def _render_website(title: str, text: str, status: int = 200) -> WebResponse:
    return render_page("website.html", status, title=title, paragraphs=text.split("\n\n"))
