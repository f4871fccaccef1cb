"""Who can use the pages that `runbook lab` serves: users with the token, from its own origin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from tests.browser.conftest import new_lab
from tests.browser.jupyter import (
    NO_CERTIFICATES,
    NOTEBOOK,
    TENANT,
    TOKEN,
    Lab,
    Serve,
    Walk,
    keep_picture,
    serious_violations,
)
from tests.support.wording import wording

SOME_KERNEL = "11111111-2222-3333-4444-555555555555"
UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
# Public: the login page with its images, and the version.
PUBLIC = ("/login", "/api", "/static/favicon.ico")
_PATIENCE_SECONDS = 240
SECRET_STEP = "fb-05-confirm-creation"
# Timers that are 2 seconds late, which is when the widgets' scripts give a panel up.
_LATE = """
const timer = window.setTimeout;
window.setTimeout = (act, ms, ...rest) => timer(act, ms === 100 ? 2100 : ms, ...rest);
"""
_STICKS = "document.querySelector('.rb-sticky')?.getBoundingClientRect().top === 0"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Iterator[Lab]:
    """Yield one `runbook lab --app` for the tests here, which leave no kernel running."""
    from facebook_cyclr_sandbox.server import Sandbox  # noqa: PLC0415

    with Sandbox("approved") as sandbox:
        lab = new_lab(tmp_path_factory.mktemp("access"), sandbox, keys_home, "--app")
        (lab.project / "screen.png").write_bytes(b"a picture of the project")
        with lab:
            yield lab


def ask(lab: Lab, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Return the server's answer to a request with these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(trust_env=False, timeout=_PATIENCE_SECONDS, verify=NO_CERTIFICATES) as client:
        request = client.build_request(method, f"{lab.url}{path}", headers=named)
        with_stream = client.send(request, stream=True)
        try:
            if with_stream.status_code != 101:
                with_stream.read()
        finally:
            with_stream.close()
        return with_stream


def kernels(lab: Lab, token: str = TOKEN) -> list[str]:
    """Return the ids of the kernels that run."""
    answer = ask(lab, "/api/kernels", authorization=f"token {token}")
    assert answer.status_code == 200
    return [kernel["id"] for kernel in answer.json()]


def is_refused(answer: httpx.Response) -> bool:
    """Return whether an answer is a refusal, or a redirect to the login page."""
    if answer.status_code == 302:
        return "/login?" in answer.headers["location"]
    return answer.status_code in (403, 404, 405)


def is_untouched(lab: Lab) -> bool:
    """Return whether no kernel runs and there is no journal."""
    return kernels(lab) == [] and not list(lab.evidence.rglob("*"))


PATHS = [
    "/",
    "//",
    "/voila",
    "/voila/",
    "/voila/tree",
    "/voila/tree/",
    f"/voila/render/{NOTEBOOK}",
    f"//voila/render/{NOTEBOOK}",
    f"/voila//render/{NOTEBOOK}",
    f"/voila/render//{NOTEBOOK}",
    f"/voila/render/{NOTEBOOK}?template=lab",
    f"/voila/render/../render/{NOTEBOOK}",
    "/voila/static/voila.js",
    "/voila/templates/lab/static/voila.js",
    "/voila/templates/lab",
    f"/voila/files/{NOTEBOOK}",
    "/voila/files/screen.png",
    "/voila/api/contents",
    f"/voila/api/shutdown/{SOME_KERNEL}",
    "/voila/api/themes/x",
    "/voila/labextensions/x",
    f"/voila/execution/{SOME_KERNEL}",
    f"/voila/query/{SOME_KERNEL}",
    "/voila/kernels",
    "/api/kernels",
    f"/api/kernels/{SOME_KERNEL}",
    f"/api/kernels/{SOME_KERNEL}/channels",
    f"/api/kernels/{SOME_KERNEL}/restart",
    "/api/kernelspecs",
    "/api/contents",
    f"/api/contents/{NOTEBOOK}",
    "/api/sessions",
    "/api/terminals",
    "/api/shutdown",
    f"/files/{NOTEBOOK}",
    f"/notebooks/{NOTEBOOK}",
    f"/nbconvert/html/{NOTEBOOK}",
    "/lab",
    "/tree",
]
ELSEWHERE = ("/", "//", "/voila/", "/voila/tree/")
STRANGERS: dict[str, dict[str, str]] = {
    "without-token": {},
    "wrong-token": {"authorization": "token wrong"},
    "empty-token": {"authorization": "token"},
    "foreign-host": {"host": "evil.example"},
    "foreign-host-with-token": {"host": "evil.example:80", "authorization": f"token {TOKEN}"},
    "foreign-origin": {"origin": "https://evil.example"},
}


@pytest.mark.matrix
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_an_unauthorized_request_changes_nothing(app: Lab, stranger: str, method: str) -> None:
    """
    Without a valid token, host and origin, no path and method starts a kernel or writes a file.
    """
    for path in PATHS:
        answer = ask(app, path, method, **STRANGERS[stranger])
        if path in ELSEWHERE:  # redirected to another path here, which is refused
            assert answer.status_code in (302, 403, 404, 405), path
            assert answer.headers.get("location", "/").startswith("/"), path
        elif method == "OPTIONS" and answer.status_code in (200, 204):
            assert answer.headers.get("access-control-allow-origin") is None, path
        else:
            assert is_refused(answer), (path, answer.status_code)
    assert is_untouched(app)


@pytest.mark.parametrize("stranger", STRANGERS)
def test_an_unauthorized_request_opens_no_channel(app: Lab, stranger: str) -> None:
    """No WebSocket channel opens without a valid token, host and origin."""
    for path in (f"/api/kernels/{SOME_KERNEL}/channels", f"/voila/execution/{SOME_KERNEL}"):
        for own in ({}, {"origin": app.url}):
            answer = ask(app, path, **{**UPGRADE, **own, **STRANGERS[stranger]})
            assert is_refused(answer), path
    assert is_untouched(app)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_open_a_page(app: Lab, site: str) -> None:
    """A link from another site starts no kernel, even in a browser that is logged in."""
    with httpx.Client(base_url=app.url, trust_env=False, timeout=_PATIENCE_SECONDS) as browser:
        browser.get("/voila/static/voila.js", params={"token": TOKEN}).raise_for_status()
        (login,) = [cookie for cookie in browser.cookies.jar if cookie.name != "_xsrf"]
        page = browser.get(f"/voila/render/{NOTEBOOK}", headers={"sec-fetch-site": site})

    assert login.get_nonstandard_attr("samesite") == "Strict" or "Strict" in str(login._rest)
    assert page.status_code == 403
    assert is_untouched(app)


def test_unneeded_services_do_not_exist(app: Lab) -> None:
    """With the token too, there are no terminals, no files, no sessions and no other extensions."""
    for path in ("/api/contents", "/api/terminals", "/api/sessions", "/lab", "/tree"):
        assert ask(app, path, authorization=f"token {TOKEN}").status_code == 404, path
    for path in (f"/nbconvert/html/{NOTEBOOK}", f"/api/contents/{NOTEBOOK}"):
        assert ask(app, path, authorization=f"token {TOKEN}").status_code == 404, path
    assert ask(app, f"/voila/files/{NOTEBOOK}", authorization=f"token {TOKEN}").status_code == 403
    assert is_untouched(app)


def eventually(is_so: Callable[[], Any]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        # The server is another process.
        time.sleep(0.1)


def test_the_app_shows_panels_without_code(app: Lab, page: Page, axe: str) -> None:
    """
    `runbook lab --app` shows the same panels without code cells, and they work.

    The header stays visible, and the page is dark if the system is.
    """
    page.emulate_media(color_scheme="dark")
    page.goto(f"{app.url}/?token={TOKEN}", timeout=120_000)
    page.wait_for_url(f"**/voila/render/{NOTEBOOK}?token=*", timeout=120_000)
    walk = Walk(page, app)
    walk.ready()
    expect(page.get_by_text('run.step("fb-01-log-in")')).to_have_count(0)
    expect(page).to_have_title("Facebook Marketing API connector: runbook")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Begin", exact=True).click()
    second = page.locator("#runbook-fb-02-developer-account")
    expect(second).to_be_hidden()
    page.get_by_role("button", name="33 more steps").click()
    expect(second).to_be_visible()
    page.get_by_role("button", name="Fewer steps").click()
    expect(second).to_be_hidden()
    page.set_viewport_size({"width": 800, "height": 900})
    page.get_by_role("button", name="Progress").click()
    expect(page.locator(".rb-header").get_by_text("All steps")).to_be_visible()
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 1280, "height": 900})
    assert walk.attest("fb-01-log-in") == "attested"
    assert walk.check("fb-13-app-id-and-secret") == "verified"
    expect(page.locator(".rb-header")).to_be_in_viewport()
    page.wait_for_function(_STICKS)
    heading = page.get_by_role("heading", name="Log in to Facebook")
    expect(heading).not_to_be_in_viewport()
    for shown, colour in (("body", "rgb(15, 19, 24)"), (".rb-panel", "rgb(23, 28, 34)")):
        expect(page.locator(shown).first).to_have_css("background-color", colour)
    keep_picture(page, "app-dark")
    journal = journal_path(app.evidence, TENANT, PROCEDURE.id).read_text(encoding="utf-8")
    assert '"origin":"walkthrough"' in journal
    end = page.locator("#runbook-finish")
    end.get_by_role("button", name="Seal the evidence").click()
    end.get_by_text(wording("walkthrough.sealed-in")).wait_for(timeout=120_000)
    assert serious_violations(page, axe) == []
    expect(end.get_by_text(wording("walkthrough.sealed", outcome="incomplete"))).to_be_visible()
    (bundle,) = (path.parent for path in app.evidence.rglob("report.html"))
    expect(end.get_by_text(str(bundle))).to_be_visible()
    with page.context.expect_page() as opened:
        end.get_by_role("button", name="Open the report").click()
    report = opened.value.frame_locator("iframe")
    expect(report.get_by_role("heading", level=1)).to_contain_text(TENANT)
    opened.value.close()
    with page.expect_download() as downloaded:
        end.get_by_role("button", name="Download the evidence").click()
    assert downloaded.value.suggested_filename == f"{bundle.name}.zip"
    expect(page.locator(".rb-header")).to_contain_text(PROCEDURE.title)
    page.goto("about:blank")  # closing a page ends its kernel


def test_a_page_has_its_own_kernel(app: Lab, page: Page) -> None:
    """
    Only its own page can reach a kernel, which ends with the page.

    A browser that is logged in needs no token, and the page shows what was done on another one. A
    browser that is too busy to look for a panel in time shows all of them nevertheless.
    """
    page.add_init_script(_LATE)
    # A page whose window was closed at once may not have said so: its kernel ends later.
    before = set(kernels(app))
    page.goto(f"{app.url}/voila/static/voila.js?token={TOKEN}")
    page.goto(f"{app.url}/voila/render/{NOTEBOOK}", timeout=120_000)
    walk = Walk(page, app)
    walk.ready()
    expect(walk.panel("fb-01-log-in")).to_have_attribute("data-outcome", "attested")
    for step in PROCEDURE.steps:
        expect(page.locator(f"#runbook-{step.id}")).to_be_attached()
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    (kernel,) = set(kernels(app)) - before

    channel = f"/api/kernels/{kernel}/channels"
    mine = {"authorization": f"token {TOKEN}", **UPGRADE}
    assert ask(app, channel, **mine, origin=app.url).status_code == 101
    for stranger in STRANGERS.values():
        assert ask(app, channel, **{**UPGRADE, **stranger}).status_code == 403
    cookies = page.context.cookies(app.url)
    login = {"cookie": "; ".join(f"{one['name']}={one['value']}" for one in cookies), **UPGRADE}
    assert ask(app, channel, **login, origin=app.url).status_code == 101
    for foreign in ("https://evil.example", "http://127.0.0.1:1", "null", "http://localhost"):
        assert ask(app, channel, **login, origin=foreign).status_code == 403
    for known in (login, mine):
        assert ask(app, channel, **known, host="evil.example").status_code == 403
    for stranger in ({}, {"cookie": "_xsrf=x"}, {"authorization": "token wrong"}):
        assert ask(app, f"/voila/api/shutdown/{kernel}", "POST", **stranger).status_code == 403
        assert ask(app, f"/api/kernels/{kernel}", "DELETE", **stranger).status_code == 403
    assert kernel in kernels(app)

    assert walk.attest("fb-02-developer-account") == "attested"
    page.goto("about:blank")
    eventually(lambda: kernel not in kernels(app))


def test_leaving_with_something_unsaved_asks_first(app: Lab, page: Page) -> None:
    """
    A comment that was typed asks, too. Who stays keeps the kernel, and the credential.

    Who leaves ends it, as without a question.
    """
    settings = app.env_file.read_text(encoding="utf-8")
    secret = settings.partition("RUNBOOK_FACEBOOK_APP_SECRET=")[2].split()[0]
    app.leave_out("RUNBOOK_FACEBOOK_APP_SECRET")
    before = set(kernels(app))
    page.goto(f"{app.url}/voila/render/{NOTEBOOK}?token={TOKEN}", timeout=120_000)
    walk = Walk(page, app)
    walk.ready()
    (kernel,) = set(kernels(app)) - before
    form = walk.form("fb-02-developer-account", "comment")
    form.get_by_label("Comment", exact=True).fill("It asked for a phone number.")
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    asked.value.dismiss()
    form.get_by_label("Comment", exact=True).fill("")
    walk.fill(SECRET_STEP, app_secret=secret)
    assert walk.check(SECRET_STEP) == "verified"

    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    assert walk.check(SECRET_STEP) == "verified"
    assert kernel in kernels(app)

    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    asked.value.accept()
    eventually(lambda: kernel not in kernels(app))
    app.env_file.write_text(settings, encoding="utf-8")


def test_a_server_behind_a_prefix_has_the_same_checks(
    sandbox: Any, serve: Serve, page: Page
) -> None:
    """
    With a base URL, as in JupyterHub, requests are checked too, and pages work with the token.

    The printed address has a random token and opens the page; no process shows the token.
    Once the server is stopped, its kernels end.
    """
    served = serve(sandbox, "--app", base="/user/somebody", JUPYTER_TOKEN="", JUPYTER_TOKEN_FILE="")
    start = f"{served.url}/voila/render/{NOTEBOOK}?token="
    eventually(lambda: start in served.log.read_text(encoding="utf-8"))
    token = served.log.read_text(encoding="utf-8").partition(start)[2].split()[0]
    assert len(token) >= 32
    for path in (f"/voila/render/{NOTEBOOK}", "/voila", "/api/kernels", "/voila/static/voila.js"):
        assert is_refused(ask(served, path)), path
        assert is_refused(ask(served, path, host="evil.example")), path
    assert kernels(served, token) == []
    assert list(served.evidence.rglob("*")) == []

    page.goto(f"{served.url}/?token={token}", timeout=120_000)
    page.wait_for_url(f"{start}{token}", timeout=120_000)
    walk = Walk(page, served)
    walk.ready()
    assert len(kernels(served, token)) == 1
    for kept in ("cmdline", "environ"):
        assert [path for path in Path("/proc").glob(f"[0-9]*/{kept}") if has(path, token)] == []
    assert walk.attest("fb-01-log-in") == "attested"
    page.goto("about:blank")
    eventually(lambda: kernels(served, token) == [])

    page_of_a_kernel = ask(served, f"/voila/render/{NOTEBOOK}", authorization=f"token {token}")
    assert page_of_a_kernel.status_code == 200
    assert len(kernels(served, token)) == 1
    ours = f"RUNBOOK_EVIDENCE={served.evidence}"
    assert [path for path in Path("/proc").glob("[0-9]*/environ") if has(path, ours)] != []
    served.stop()
    eventually(lambda: not any(has(path, ours) for path in Path("/proc").glob("[0-9]*/environ")))


def has(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:  # the process has ended
        return False


LAB_PATHS = [
    "/lab",
    f"/lab/tree/walkthrough/{NOTEBOOK}",
    f"/voila/render/walkthrough/{NOTEBOOK}",
    "/voila/files/screen.png",
    "/files/screen.png",
    "/voila/static/voila.js",
    "/api/kernels",
    "/api/contents",
    "/api/terminals",
    "/api/sessions",
    "/files/x",
    "/voila",
]


@pytest.mark.parametrize("stranger", [name for name in STRANGERS if name != "foreign-origin"])
def test_jupyterlab_keeps_its_own_checks(jupyterlab: Lab, stranger: str) -> None:
    """JupyterLab refuses requests without a valid token and host."""
    for path in LAB_PATHS:
        assert is_refused(ask(jupyterlab, path, **STRANGERS[stranger])), path
    for method in ("POST", "PUT", "DELETE"):
        for path in ("/api/kernels", "/api/contents/x", "/api/terminals", "/api/sessions"):
            answer = ask(jupyterlab, path, method, **STRANGERS[stranger])
            assert is_refused(answer), (method, path)
    channel = f"/api/kernels/{SOME_KERNEL}/channels"
    assert is_refused(ask(jupyterlab, channel, **UPGRADE, **STRANGERS[stranger]))
    assert is_untouched(jupyterlab)


def test_jupyterlab_serves_no_voila_pages(jupyterlab: Lab) -> None:
    """Voilà's pages, which start a kernel by a GET, do not exist in JupyterLab."""
    known = {"authorization": f"token {TOKEN}"}
    for path in (f"/voila/render/walkthrough/{NOTEBOOK}", "/voila", "/voila/files/screen.png"):
        assert ask(jupyterlab, path, **known).status_code == 404
    assert ask(jupyterlab, f"/api/contents/walkthrough/{NOTEBOOK}", **known).status_code == 200
    assert "jupyterlab-preview" in ask(jupyterlab, "/lab", **known).text.partition("disabled")[2]
    assert is_untouched(jupyterlab)


def test_jupyterlab_refuses_requests_of_other_origins(jupyterlab: Lab) -> None:
    """
    With a login too, another origin can neither read an answer nor start a kernel (CORS, XSRF).
    """
    with httpx.Client(base_url=jupyterlab.url, trust_env=False) as browser:
        browser.get("/lab", params={"token": TOKEN}).raise_for_status()
        foreign = {"origin": "https://evil.example", "referer": "https://evil.example/"}
        assert browser.post("/api/kernels", headers=foreign).status_code in (403, 404)
        answer = browser.get("/api/contents", headers=foreign)
        assert answer.status_code in (403, 404)
        assert "access-control-allow-origin" not in answer.headers
    assert is_untouched(jupyterlab)


@pytest.mark.costly("browser and server of this file end with it")
def test_the_page_for_a_second_person_opens_nothing_without_its_link(app: Lab) -> None:
    """An address that was never given is refused, as is a foreign name or another site's form."""
    path = f"/runbook/confirm/{TENANT}/{PROCEDURE.id}/never-given"
    assert ask(app, path).status_code == 410
    assert ask(app, path, host="attacker.example").status_code == 403
    foreign = ask(app, path, "POST", origin="http://attacker.example")
    assert foreign.status_code in (403, 404)
    assert kernels(app) == []
