import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { load, Model, newPage, put } from "./page.mjs";
import { finishView } from "./views.mjs";

const { default: script } = await load("dom.js", "finish.js");
const BUNDLE = "/home/me/project/evidence/acme/facebook_marketing/20261124T120000Z-0a1b2c3d";

let page;
beforeEach(() => { page = newPage(); });

function shown(changes = {}) {
  const model = new Model(finishView(changes));
  const stop = script.render({ model, el: page.body });
  const root = page.body.querySelector('[id="runbook-finish"]');
  return { model, stop, root, live: root.querySelector('[role="status"]'), seal: root.querySelector('[data-action="seal"]') };
}

describe("the end of the notebook", () => {
  test("lists the open steps with number, title and outcome", () => {
    const { model, root } = shown();
    assert.equal(root.dataset.outcome, "not_run");
    assert.match(root.textContent, /^20 of 21 steps are done\.Open steps3 · Open My Apps ○ to do/);
    const fold = root.querySelector("details");
    assert.equal(fold.hidden, false);
    model.show({ open: [], done: 21 });
    assert.equal(root.dataset.outcome, "verified");
    assert.match(root.textContent, /^All 21 steps are done\./);
    assert.equal(fold.hidden, true);
  });

  test("says once everything is sealed that customers can connect, and what to watch from now on", () => {
    const { model, root, seal } = shown();
    assert.equal(seal.textContent, "Seal the evidence");
    assert.doesNotMatch(root.textContent, /customers can connect|watch from now on/);
    const end = { verdict: "Your customers can connect.", warnings: [], sealed: "Sealed 24 Nov 2026: complete.", took: "It took 12 days.", watch: ["the certificate", "the Graph version"] };
    model.show({ open: [], done: 21, next: null, bundle: BUNDLE, end });
    assert.match(root.textContent, /^Your customers can connect\./);
    assert.match(root.textContent, /All 21 steps are done\. It took 12 days\. Sealed 24 Nov 2026: complete\.Watch from now onthe certificatethe Graph version/);
    assert.equal(seal.textContent, "Seal again");
    model.show({ end: { ...end, watch: [] } });
    assert.doesNotMatch(root.textContent, /watch from now on/);
    model.show({ end: { ...end, verdict: "Your customers can connect, with one warning:", warnings: ["8 · It ends soon."] } });
    assert.match(root.textContent, /^Your customers can connect, with one warning:8 · It ends soon\.All 21/);
    model.show({ open: finishView().open, done: 20, end: null });
    assert.match(root.textContent, /^20 of 21 steps are done\./);
    assert.doesNotMatch(root.textContent, /customers can connect|Sealed 24 Nov/);
  });

  test("links to an open step, or says what to do first", () => {
    const { root, live } = shown();
    const link = root.querySelector('a[data-key="fb-03"]');
    link.click();
    assert.equal(live.textContent, "Press Start at the top of the notebook first.");
    const panel = put("section", { id: "runbook-fb-03" });
    link.click();
    assert.equal(document.activeElement, panel);
    assert.equal(live.textContent, "");
  });

  test("seals once, and is busy meanwhile", () => {
    const { model, root, live, seal } = shown();
    seal.click();
    assert.deepEqual(model.sent, [{ action: "seal" }]);
    model.show({ busy_since: Date.now() / 1000 });
    seal.click();
    assert.equal(model.sent.length, 1);
    assert.equal(root.getAttribute("aria-busy"), "true");
    assert.match(live.textContent, /^Checking every step again…/);
    model.show({ message: "Waiting for another run." });
    assert.match(live.textContent, /^Waiting for another run\./);
  });

  test("asks once before it seals what is open, and sends what the person decides", () => {
    const { model, root, seal } = shown();
    const asked = root.querySelector('[aria-label="Before sealing"]');
    assert.equal(asked.hidden, true);
    model.show({ doubts: ["App Secret is missing."] });
    assert.equal(asked.hidden, false);
    assert.match(asked.textContent, /App Secret is missing\./);
    root.querySelector('[data-action="seal-anyway"]').click();
    assert.deepEqual(model.sent, [{ action: "seal_anyway" }]);
    model.show({ doubts: [], next: null });
    assert.equal(asked.hidden, true);
    assert.ok(seal.classList.contains("rb-main"));
  });

  test("has the report and the evidence by its buttons, which ask the kernel", () => {
    const there = { document: { title: "", body: put("div"), createElement: document.createElement } };
    globalThis.window.open = () => there;
    const { model, root } = shown({ bundle: BUNDLE, bundle_name: "b" });
    const buttons = root.querySelectorAll("[data-fetch]");
    assert.deepEqual(buttons.map((button) => button.textContent), ["Open the report", "Download the evidence", "Print the report, or save it as PDF"]);
    for (const button of buttons) button.click();
    assert.deepEqual(model.sent.map(({ name }) => name), ["report.html", "b.zip", "report.html"]);
    buttons[0].click();
    model.say({ kind: "file", name: "report.html" }, [new TextEncoder().encode("<h1>Report</h1>")]);
    const [frame] = there.document.body.querySelectorAll("iframe");
    assert.deepEqual([frame.srcdoc, frame.getAttribute("sandbox")], ["<h1>Report</h1>", "allow-popups"]);
    model.show({ bundle: "" });
    assert.equal(root.querySelectorAll("[data-fetch]").length, 0);
  });

  test("says in one sentence what became of it; what changed meanwhile is in a fold, an error is not", () => {
    const { model, live } = shown({ message: "The run is complete.\n8: verified when sealed.", bundle: BUNDLE, bundle_name: "b" });
    const fold = live.querySelector('[data-fold="changed"]');
    assert.equal(fold.textContent, "What changed while sealing8: verified when sealed.");
    assert.equal(live.querySelector(".rb-message").textContent.replace(fold.textContent, ""), "The run is complete.");
    model.show({ message: "It failed.\nTwice.", is_error: true });
    assert.deepEqual([live.querySelector("details"), live.querySelector(".rb-message").textContent], [null, "It failed.\nTwice."]);
  });

  test("links to the sealed bundle at JupyterLab's base URL", () => {
    put("script", { id: "jupyter-config-data" }, page.body,
      JSON.stringify({ baseUrl: "/user/somebody/", serverRoot: "/home/me/project" }));
    const { model, root, live } = shown();
    model.show({ message: "The run is incomplete.", bundle: BUNDLE, bundle_name: BUNDLE.split("/").at(-1) });
    const [bundle] = live.querySelectorAll("a");
    const below = BUNDLE.replace("/home/me/project/", "");
    assert.equal(bundle.href, `/user/somebody/lab/tree/${below}`);
    assert.equal(bundle.textContent, "20261124T120000Z-0a1b2c3d");
    assert.match(live.textContent, /^The run is incomplete\.Sealed: /);
    assert.equal(root.querySelector("[data-bundle]"), bundle);
  });

  test("names the folder if the page cannot show files", () => {
    const { live } = shown({ bundle: BUNDLE, bundle_name: "b" });
    assert.ok(live.textContent.startsWith(`Sealed in ${BUNDLE}.`));
    assert.equal(live.querySelector("a"), null);
  });

  test("says what to do if the kernel is gone", () => {
    const { model, root, live, seal } = shown({ busy_since: 1 });
    model.status("dead");
    assert.equal(live.textContent, "The kernel was restarted: press Start at the top of the notebook.");
    assert.equal(root.getAttribute("aria-busy"), "false");
    seal.click();
    assert.deepEqual(model.sent, []);
  });

  test("shows only the reason if the journal cannot be read", () => {
    const { root, live } = shown({ open: null, message: "The journal cannot be read.", is_error: true });
    assert.equal(root.querySelector(".rb-row").hidden, true);
    assert.match(live.textContent, /The journal cannot be read\./);
  });

  test("removes its timers and listeners when it is disposed", () => {
    const { model, stop } = shown();
    stop();
    assert.deepEqual([model.heard.size, page.heard.size, page.timers.size], [0, 0, 0]);
  });
});

describe("the next step", () => {
  const step = () => {
    return { panel: put("section", { class: "rb", id: "runbook-fb-01" }, put("div", { class: "jp-Cell" })) };
  };

  test("is shown again if JupyterLab scrolls away late", () => {
    shown({ next: { id: "fb-01", title: "Log in" } });
    const { panel } = step();
    page.wait(600);
    assert.equal(document.activeElement, panel);
    page.heard.get("focusin")({ type: "focusin", target: panel });
    page.wait(600);
    assert.equal(panel.scrolled, 2);
  });

  for (const kind of ["wheel", "keydown", "pointerdown"]) {
    test(`is left alone after a ${kind}`, () => {
      shown({ next: { id: "fb-01", title: "Log in" } });
      const { panel } = step();
      page.wait(600);
      page.heard.get(kind)({ type: kind, target: document.body });
      page.wait(600);
      assert.equal(panel.scrolled, 1);
      assert.equal(page.heard.size, 0);
    });
  }

  test("waits below what to have at hand while that is shown", () => {
    for (const [isShown, [begun, opened]] of [["true", [1, 0]], ["false", [0, 1]]]) {
      page = newPage();
      shown({ next: { id: "fb-01", title: "Log in" } });
      put("section", { class: "rb-header", "data-begin": isShown });
      const begin = put("section", { id: "runbook-begin" });
      const { panel } = step();
      page.wait(600);
      assert.deepEqual([begin.scrolled, panel.scrolled], [begun, opened]);
      assert.equal(document.activeElement, begun ? begin : panel);
    }
  });

  test("is left alone once another panel has the focus", () => {
    shown({ next: { id: "fb-01", title: "Log in" } });
    const { panel } = step();
    page.heard.get("focusin")({ type: "focusin", target: put("section", { class: "rb", id: "runbook-fb-02" }) });
    page.wait(600);
    assert.equal(panel.scrolled, 0);
  });
});
