"""
What Cyclr's Facebook Messenger API connector uses each permission for, as data for App Review.

The texts are the case of a product that embeds Cyclr, to be adapted: see
`facebook.permission_uses`. Cyclr documents no method of this connector.
"""

from __future__ import annotations

from runbook_lib.connectors.facebook.permission_uses import (
    PERMISSIONS,
    PUBLIC_PROFILE,
    SERVER_TO_SERVER,
    ConnectorUses,
    Use,
)
from runbook_lib.connectors.review_kit import Call

_SEND = "https://developers.facebook.com/docs/messenger-platform/reference/send-api/"
_CONVERSATIONS = "https://developers.facebook.com/docs/graph-api/reference/page/conversations/"

_USES = (
    PUBLIC_PROFILE,
    Use(
        name="business_management",
        usage=(
            "The pages of our customers belong to their business portfolios. {app} reads them as "
            "such, so that a person who manages a page through a business can choose it. {app} "
            "does not change a business, its people or its assets."
        ),
        calls=(Call("GET /me/businesses", "lists the person's businesses", is_test=True),),
        shot="On the grant screen the person chooses the business, and its page appears.",
        source=PERMISSIONS,
    ),
    Use(
        name="pages_show_list",
        usage=(
            "After the login {app} lists the pages that the person manages, and the customer "
            "chooses the page whose messages ‹a workflow› answers. Other pages are not read."
        ),
        calls=(Call("GET /me/accounts", "lists the pages that the person manages"),),
        shot="The list of the person's pages appears in ‹our product›, and one page is chosen.",
        source=PERMISSIONS,
    ),
    Use(
        name="pages_read_engagement",
        usage=(
            "{app} reads the name of the chosen page, to show the customer which page ‹a workflow› "
            "answers for. Posts and followers are not read."
        ),
        calls=(Call("GET /{page-id}?fields=name", "reads the page's name"),),
        shot="The name of the chosen page is shown beside ‹the workflow› that uses it.",
        source=PERMISSIONS,
    ),
    Use(
        name="pages_manage_metadata",
        usage=(
            "{app} subscribes the chosen page to the webhook for messages, so that a message "
            "reaches ‹the customer's system› at once. No other setting of the page is changed."
        ),
        calls=(
            Call(
                "POST /{page-id}/subscribed_apps?subscribed_fields=messages",
                "subscribes the app to the page's messages",
            ),
            Call("GET /{page-id}/subscribed_apps", "lists the apps that the page is subscribed to"),
        ),
        shot="‹A workflow› is switched on for the page, and the next message arrives at once.",
        source=PERMISSIONS,
    ),
    Use(
        name="pages_messaging",
        usage=(
            "Our customers answer people who write to their page in Messenger. {app} receives such "
            "a message, passes it to the system that the customer chose, ‹for example a help "
            "desk›, and sends the answer that ‹an agent or a workflow› gives. {app} answers only "
            "people who wrote first, and sends no advertising."
        ),
        calls=(
            Call("POST /{page-id}/messages", "sends an answer to a person who wrote"),
            Call("GET /{page-id}/conversations", "lists the conversations of the page"),
        ),
        shot=(
            "A person writes to the page in Messenger; the message arrives in ‹the customer's "
            "system›; an answer is given there and arrives in Messenger, without a cut."
        ),
        source=f"{_SEND}; {_CONVERSATIONS}",
    ),
)

USES = ConnectorUses(
    title="Facebook Messenger API",
    purpose=(
        "‹Our product› lets businesses connect the tools that they use. {app} is its "
        "connection to Messenger: a customer connects their own Facebook page, and "
        "‹workflows› that the customer switched on pass messages to the page to the "
        "customer's other systems, and the answers back. The connection runs on Cyclr "
        "({domain}), an integration platform that ‹our product› embeds."
    ),
    server_to_server=SERVER_TO_SERVER,
    choice="choose a page",
    trigger="With another Facebook account, write a message to the page in Messenger",
    end="the message in ‹the customer's system›, and the answer to it in Messenger",
    uses=_USES,
)
