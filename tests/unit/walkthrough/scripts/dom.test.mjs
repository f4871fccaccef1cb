import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { load, Model, newPage, put, writes } from "./page.mjs";

const dom = await load("dom.js");
const { element } = dom;

let page;
beforeEach(() => { page = newPage(); });

describe("redrawing", () => {
  test("does not write the same text again, which a screen reader would repeat", () => {
    const node = put("div");
    dom.setText(node, "Now attested.");
    dom.setText(node, "Now attested.");
    assert.deepEqual(writes, ["Now attested."]);
  });

  test("keeps the elements if the key is the same", () => {
    const parent = put("div");
    dom.redraw(parent, ["a"], () => [element("b", {}, "first")]);
    const drawn = parent.firstChild;
    dom.redraw(parent, ["a"], () => [element("b", {}, "second")]);
    assert.equal(parent.firstChild, drawn);
    dom.redraw(parent, ["b"], () => [element("b", {}, "third")]);
    assert.equal(parent.textContent, "third");
  });

  test("keeps the focus on the same element, or moves it to the panel if the element is gone", () => {
    const panel = put("section", { tabindex: -1 });
    const parent = put("div", {}, panel);
    const draw = (...keys) => dom.redraw(parent, keys, () => keys.map((key) => element("a", { "data-key": key }, key)));
    draw("one", "two");
    parent.querySelector('[data-key="two"]').focus();
    draw("zero", "two");
    assert.equal(document.activeElement, parent.querySelector('[data-key="two"]'));
    draw("zero");
    assert.equal(document.activeElement, panel);
  });

  test("does not move a focus that is elsewhere", () => {
    const parent = put("div");
    const elsewhere = put("input");
    elsewhere.focus();
    dom.redraw(parent, ["a"], () => [element("a", { "data-key": "a" })]);
    assert.equal(document.activeElement, elsewhere);
  });
});

describe("buttons while something runs", () => {
  test("a held button ignores clicks without being disabled, until it is released", () => {
    const root = put("section");
    let clicks = 0;
    root.append(element("button", { onclick: () => { clicks += 1; } }, "Check"));
    const button = root.firstChild;
    dom.ignoreClicksWhileHeld(root);
    dom.holdButtons(root, true);
    button.click();
    assert.equal(clicks, 0);
    assert.equal(button.getAttribute("disabled"), null);
    dom.holdButtons(root, false);
    button.click();
    assert.equal(clicks, 1);
  });

  test("the progress shows the seconds since the start", (_context) => {
    const root = put("div");
    root.append(dom.progressBox("Working…"));
    dom.showSeconds(root, Date.now() / 1000 - 4);
    assert.match(root.textContent, /^Working… 4 s$/);
    dom.showSeconds(root, Date.now() / 1000 + 60);
    assert.match(root.textContent, / 0 s$/);
  });
});

describe("the connection to the kernel", () => {
  for (const status of ["restarting", "autorestarting", "terminating", "dead"]) {
    test(`the status ${status} means that the kernel is gone`, () => {
      const model = new Model({});
      let lost = 0;
      const stop = dom.watchKernel(model, () => { lost += 1; });
      model.status("busy");
      model.status("idle");
      assert.equal(lost, 0);
      model.status(status);
      assert.equal(lost, 1);
      stop();
      model.status(status);
      assert.equal(lost, 1);
    });
  }

  test("a closed comm channel means that the kernel is gone", () => {
    const model = new Model({});
    let lost = 0;
    const stop = dom.watchKernel(model, () => { lost += 1; });
    model.heard.get("comm:close")();
    assert.equal(lost, 1);
    stop();
    assert.equal(model.heard.has("comm:close"), false);
  });

  test("a message that cannot be sent raises no error", () => {
    const model = new Model({});
    assert.equal(dom.ask(model, { action: "check" }), true);
    model.isGone = true;
    assert.equal(dom.ask(model, { action: "check" }), false);
    assert.equal(model.sent.length, 1);
  });
});

describe("a jump to a step", () => {
  const cell = (attributes = {}) => put("div", { class: "jp-Cell", ...attributes });

  test("opens it, scrolls to it and focuses its panel", () => {
    const panel = put("section", { id: "runbook-fb-01", tabindex: -1 }, cell());
    assert.equal(dom.jump("fb-01", "Log in"), "");
    assert.equal(dom.openedStep(), "fb-01");
    assert.equal(panel.scrolled, 1);
    assert.equal(document.activeElement, panel);
  });

  test("focuses its first empty field where a person asked for it", () => {
    const panel = put("section", { id: "runbook-fb-01", tabindex: -1 }, cell());
    const field = (name, value, isShown) => {
      const node = put("input", { type: "text", "data-name": name }, panel);
      node.value = value;
      node.checkVisibility = () => isShown;
      return node;
    };
    field("app_id", "12", true);
    field("by", "", false);
    const secret = field("app_secret", "", true);
    dom.jump("fb-01", "Log in", { isAsked: false });
    assert.equal(document.activeElement, panel);
    dom.jump("fb-01", "Log in");
    assert.equal(document.activeElement, secret);
  });

  test("scrolls to its heading if no cell has run, and says what to do first", () => {
    const before = cell();
    const prose = cell({ class: "jp-Cell lm-mod-hidden" });
    put("h3", {}, prose, "1 · Log in¶");
    assert.equal(dom.jump("fb-01", "Log in"), "Press Start at the top of the notebook first.");
    assert.equal(before.scrolled, 1);
  });

  test("says that a section is collapsed", () => {
    put("section", { id: "runbook-fb-01" }, cell({ class: "jp-Cell lm-mod-hidden" }));
    assert.equal(dom.jump("fb-01", "Log in"), "This section is collapsed: expand its heading first.");
  });
});

describe("the address of a file in JupyterLab", () => {
  const configure = (baseUrl, serverRoot) =>
    put("script", { id: "jupyter-config-data" }, document.body, JSON.stringify({ baseUrl, serverRoot }));

  test("begins with JupyterLab's base URL", () => {
    configure("/user/somebody/", "/home/me/project/");
    assert.equal(dom.labAddress("lab/tree", "/home/me/project/evidence/acme/a b"),
      "/user/somebody/lab/tree/evidence/acme/a%20b");
    assert.equal(dom.labAddress("files", "/home/me/project/r.html"), "/user/somebody/files/r.html");
  });

  test("begins at the root without a prefix", () => {
    configure("/", "/home/me/project");
    assert.equal(dom.labAddress("lab/tree", "/home/me/project/evidence/b"), "/lab/tree/evidence/b");
  });

  test("is null for a file outside the server's root", () => {
    configure("/", "/home/me/project");
    assert.equal(dom.labAddress("files", "/home/me/project-2/r.html"), null);
  });

  test("is null outside JupyterLab", () => {
    assert.equal(dom.labAddress("files", "/home/me/project/r.html"), null);
  });
});

describe("who acts on the page", () => {
  test("is the server's user, until a name was typed on this page", () => {
    assert.equal(dom.personHere("ann"), "ann");
    dom.setPerson("Ada");
    assert.equal(dom.personHere("ann"), "Ada");
    dom.setPerson("");
    assert.equal(dom.personHere("ann"), "");
  });

  test("is known to every panel of the page, each of which has its own script", async () => {
    const other = await load("dom.js");
    let heard = 0;
    const stop = other.listen(other.PERSON, () => { heard += 1; });
    dom.setPerson("Ada");
    assert.deepEqual([other.personHere(""), heard], ["Ada", 1]);
    stop();
    dom.setPerson("Bob");
    assert.equal(heard, 1);
  });

  test("is kept for this tab, also over a reload, and so is that somebody is not who was named", () => {
    const reload = () => {
      const { stored } = page;
      page = newPage();
      for (const [name, value] of stored) page.stored.set(name, value);
    };
    dom.setPerson("Ada");
    reload();
    assert.equal(dom.personHere("ann"), "Ada");
    dom.setPerson("");
    reload();
    assert.equal(dom.personHere("ann"), "");
  });

  test("is kept for one page, and neither for another tab nor for the next session", async () => {
    dom.setPerson("Ada");
    assert.deepEqual([...page.kept.values()], []);
    page = newPage();
    assert.equal(dom.personHere(""), "");
    dom.setPerson("Ada");
    delete document.documentElement.dataset.runbookPerson;
    location.pathname = "/lab/tree/walkthrough/other.ipynb";
    assert.equal((await load("dom.js")).personHere(""), "");
  });

  test("is known until a reload if the browser keeps nothing", () => {
    const refuse = () => { throw new Error("no storage"); };
    globalThis.sessionStorage = { getItem: refuse, setItem: refuse };
    assert.equal(dom.personHere("ann"), "ann");
    dom.setPerson("Ada");
    assert.equal(dom.personHere("ann"), "Ada");
  });
});

describe("a text with marks", () => {
  test("has bold words, emphasis, code and addresses as nodes, and everything else as text", () => {
    const nodes = dom.marked("Press **Save** in *Setup*, then `x <b>`: https://a.example/b, or <i>not</i>.");
    assert.deepEqual(nodes.map((node) => (typeof node === "string" ? node : [node.tag, node.textContent])),
      ["Press ", ["b", "Save"], " in ", ["em", "Setup"], ", then ", ["code", "x <b>"], ": ", ["a", "https://a.example/b"], ", or <i>not</i>."]);
    assert.deepEqual(dom.marked("Plain 2 * 3 text"), ["Plain 2 * 3 text"]);
  });
});

describe("which step is open", () => {
  const there = (...ids) => { for (const id of ids) put("section", { id: `runbook-${id}` }); };

  test("is kept for this tab, and every panel of the page hears of it", () => {
    there("fb-01", "fb-02");
    const heard = [];
    const stop = dom.listen(dom.FOLD, (detail) => heard.push(detail));
    dom.setFold("fb-01", true);
    dom.setFold("fb-02", true);
    stop();
    assert.deepEqual(heard, [{ id: "fb-01" }, { id: "fb-02" }]);
    assert.equal(dom.openedStep(), "fb-02");
    assert.equal(page.kept.size, 0);
  });

  test("is none, if the person closed it", () => {
    dom.setFold("fb-01", false);
    assert.equal(dom.openedStep(), "none");
  });

  test("is the page's to decide again, if the person's decision is removed; that of another step stays", () => {
    there("fb-01", "fb-02");
    dom.setFold("fb-01", true);
    dom.setFold("fb-02");
    assert.equal(dom.openedStep(), "fb-01");
    dom.setFold("fb-01");
    assert.equal(dom.openedStep(), "");
    dom.setFold("fb-01", false);
    dom.setFold("fb-02");
    assert.equal(dom.openedStep(), "");
  });

  test("is no step that this page does not show", () => {
    dom.setFold("fb-01", true);
    assert.equal(dom.openedStep(), "");
  });

  test("belongs to one page: another notebook of the tab has its own", async () => {
    there("fb-01");
    dom.setFold("fb-01", true);
    delete document.documentElement.dataset.runbookOpened;
    location.pathname = "/lab/tree/walkthrough/other.ipynb";
    assert.equal((await load("dom.js")).openedStep(), "");
  });

  test("is known until a reload if the browser keeps nothing, and is no step that is unknown", () => {
    there("fb-01");
    const refuse = () => { throw new Error("no storage"); };
    dom.saveInTab(dom.FOLD, "something else");
    assert.equal(dom.openedStep(), "");
    globalThis.sessionStorage = { getItem: refuse, setItem: refuse };
    dom.setFold("fb-01", true);
    assert.equal(dom.openedStep(), "fb-01");
  });
});

describe("comparing what a page shows", () => {
  const expected = "https://acme.example/connector/callback";
  for (const [seen, said] of [
    [` ${expected}\n`, /^✔ The same/],
    [`https://other.example/cb, ${expected}`, /^✔ The same/],
    ["http://acme.example/connector/callback", /character 5 is “:”, and must be “s”/],
    [`${expected}/`, /at the end stands “\/” too much/],
    [expected.slice(0, -1), /“k” is missing/],
    [expected.replace("/c", "/\u200bc"), /an invisible character \(U\+200B\)/],
    ["", /^$/],
  ]) test(`says of ${JSON.stringify(seen)}: ${said}`, () => assert.match(dom.comparison(seen, expected), said));
});

describe("a text with links", () => {
  test("leads to the page that it names in bold, and to no other", () => {
    const [, link, , bold] = dom.marked("Open **Settings**, press **Save**.", [{ label: "Settings", url: "https://d.example/" }]);
    assert.deepEqual([link.getAttribute("href"), link.textContent, bold.textContent], ["https://d.example/", "Settings ↗", "Save"]);
    assert.equal(bold.getAttribute("href"), null);
  });
});
