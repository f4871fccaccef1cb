import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { load, Model, newPage, put } from "./page.mjs";
import { finishView, stepView } from "./views.mjs";

const scripts = ["dom.js", "forms.js", "panel.js"];
const { default: script, jump, openedStep, setFold, setPerson } = await load(...scripts);
const { default: finish } = await load("dom.js", "finish.js");
const SETTLED = { outcome: "verified", icon: "✔", label: "verified", is_settled: true, is_current: false, inputs: [] };

let page;
beforeEach(() => { page = newPage(); });

// Renders the panels of these steps below one another, as a notebook does; returns the first as `here`.
function shown(...steps) {
  const panels = steps.map((changes) => {
    const model = new Model(stepView(changes));
    const el = put("div", { class: "jp-Cell" });
    script.render({ model, el });
    const root = el.firstChild;
    return { model, root, line: root.querySelector(".rb-fold"),
      get isOpen() { return root.dataset.open === "true"; },
      press: (action) => root.querySelector(`[data-action="${action}"]`).click(),
      type(name, text) {
        const field = root.querySelector(`input[data-name="${name}"]`);
        field.value = text;
        field.dispatch("input");
      } };
  });
  return { here: panels[0], next: panels[1], panels, areOpen: () => panels.map((panel) => panel.isOpen) };
}

// The step that is done here, and the one that is next then.
function two(changes = {}) {
  return shown({ id: "a", next: { id: "b", title: "Do b" }, ...changes }, { id: "b", is_current: false, next: { id: "b", title: "Do b" } });
}

describe("the line of a step", () => {
  test("has the outcome, and who and when; its button says whether the step is open", () => {
    const { here } = shown({ outcome: "attested", icon: "✓", label: "confirmed", since: "Ada, 5 Jan, 09:40", is_current: false });
    assert.equal(here.line.textContent, "✓ confirmed13 · App ID and App SecretAda, 5 Jan, 09:40");
    assert.equal(here.line.getAttribute("aria-expanded"), "false");
    here.line.click();
    assert.equal(here.line.getAttribute("aria-expanded"), "true");
    assert.equal(here.line.textContent, "Step 13 · Sign-in✓ confirmedAda, 5 Jan, 09:40");
  });

  test("is all that is drawn of a step until it is opened; then the card stays", () => {
    const { here } = shown({ is_current: false });
    assert.deepEqual([here.root.querySelectorAll("input").length, here.root.querySelectorAll("button").length], [0, 1]);
    here.line.click();
    assert.ok(here.root.querySelectorAll("input").length > 0);
    here.type("app_id", "1");
    here.line.click();
    assert.equal(here.root.querySelector('[data-name="app_id"]').value, "1");
  });

  test("has no card before the kernel has made it, which it is asked for once", () => {
    const { here, next } = shown({ id: "a" }, { id: "b", has_card: false, is_current: false, inputs: undefined, forms: undefined });
    assert.deepEqual(next.model.sent, []);
    next.line.click();
    next.model.show({ since: "3 days" });
    assert.deepEqual(next.model.sent, [{ action: "open" }]);
    assert.deepEqual([next.isOpen, here.isOpen], [true, false]);
    assert.equal(next.root.querySelector(".rb-opening").textContent, "Opening…");
    const { inputs, forms } = stepView();
    next.model.show({ has_card: true, inputs, forms });
    assert.equal(next.root.querySelector(".rb-opening"), null);
    assert.equal(next.root.querySelector(".rb-heading").textContent, "App ID and App Secret");
    next.line.click();
    next.line.click();
    assert.deepEqual(next.model.sent, [{ action: "open" }]);
  });

  test("has the focus in its first field once it is there, if a person went to the step", () => {
    const { next } = shown({ id: "a" }, { id: "b", has_card: false, is_current: false, inputs: undefined, forms: undefined });
    const all = Object.getPrototypeOf(next.root);
    all.checkVisibility = () => true;
    jump("b", "Do b");
    assert.equal(globalThis.document.activeElement, next.root);
    const { inputs, forms } = stepView();
    next.model.show({ has_card: true, inputs, forms });
    delete all.checkVisibility;
    assert.equal(globalThis.document.activeElement.dataset.name, "app_id");
  });

  test("opens once the runbook is back, and says that it cannot once the kernel is gone", () => {
    const { next } = shown({ id: "a" }, { id: "b", has_card: false, is_current: false, inputs: undefined, forms: undefined });
    globalThis.document.documentElement.dataset.runbookServer = "stopped";
    next.line.click();
    assert.deepEqual(next.model.sent, []);
    delete globalThis.document.documentElement.dataset.runbookServer;
    globalThis.document.dispatchEvent(new CustomEvent("runbook:server"));
    assert.deepEqual(next.model.sent, [{ action: "open" }]);
    globalThis.document.dispatchEvent(new CustomEvent("runbook:server")); // what was asked may be lost
    assert.equal(next.model.sent.length, 2);
    next.model.status("dead");
    assert.equal(next.root.querySelector(".rb-opening").hidden, true);
    assert.match(next.root.textContent, /press Start at the top of the notebook/);
  });

  test("says while it is folded what is not proven and what was warned of", () => {
    const { here } = shown({ since: "checked today", is_current: false, in_part: true, limits: ["That it is saved.", "More."], warnings: ["It ends soon."] });
    assert.match(here.line.textContent, /today · Not proven: That it is saved\. · Warning: It ends soon\.$/);
    here.line.click();
    assert.match(here.line.textContent, /checked today$/);
    here.model.show({ in_part: false });
    here.line.click();
    assert.match(here.line.textContent, /today · Warning: It ends soon\.$/);
  });
});

describe("what is open", () => {
  test("is what comes next, as long as the person has decided nothing", () => {
    const { here, areOpen } = shown({ id: "a" }, { id: "b", is_current: false });
    assert.deepEqual(areOpen(), [true, false]);
    here.model.show({ is_current: false });
    assert.deepEqual(areOpen(), [false, false]);
  });

  test("is else what the person opened or closed, also after a reload", () => {
    const steps = [{ id: "a" }, { id: "b", is_current: false }];
    const { here, next, areOpen } = shown(...steps);
    here.line.click();
    next.line.click();
    assert.deepEqual(areOpen(), [false, true]);
    here.model.show({ is_current: true });
    next.model.show({ is_current: false });
    assert.deepEqual(areOpen(), [false, true]);
    const kept = page.stored;
    page = newPage();
    for (const [name, value] of kept) page.stored.set(name, value);
    assert.deepEqual(shown(...steps).areOpen(), [false, true]);
    page = newPage();
    assert.deepEqual(shown(...steps).areOpen(), [true, false]);
  });

  test("is nothing that was settled before the page was opened, whatever was open then", () => {
    page.stored.set("runbook:fold:/lab/tree/walkthrough/facebook_marketing.ipynb", "fb-13");
    const { here } = shown({ ...SETTLED });
    assert.equal(here.root.dataset.open, "false");
  });

  test("is the same in every panel of a step", () => {
    const { next, areOpen } = shown({ id: "a", is_current: false }, { id: "a", is_current: false }, { id: "b", is_current: false });
    next.line.click();
    assert.deepEqual(areOpen(), [true, true, false]);
  });

  test("is written on the cells of its title and its panel, as long as the panel is there", async () => {
    const { default: script } = await load(...scripts);
    const [title, cell] = [put("div", { class: "jp-Cell" }), put("div", { class: "jp-Cell" })];
    const model = new Model(stepView({ is_current: true, outcome: "failed" }));
    const forget = script.render({ model, el: put("div", {}, cell) });
    const states = () => [title.className, cell.className, title.dataset.open, cell.dataset.open];
    assert.deepEqual(states(), ["jp-Cell rb-title", "jp-Cell rb-cell", "true", "true"]);
    cell.querySelector(".rb-fold").click();
    model.show({ outcome: "verified" });
    assert.deepEqual(states(), ["jp-Cell rb-title", "jp-Cell rb-cell", "false", "false"]);
    forget();
    assert.equal(title.className, "jp-Cell");
  });

  test("is a step that somebody jumps to, by Alt and an arrow: the next or the one before", () => {
    const { panels, areOpen } = shown({ id: "a" }, { id: "b", is_current: false }, { id: "c", is_current: false });
    const [first, second, third] = panels;
    const press = (panel, key, altKey = true) => panel.root.querySelector("button").dispatch("keydown", { key, altKey });
    assert.equal(press(first, "ArrowDown").isPrevented, true);
    assert.deepEqual([areOpen(), document.activeElement === second.root], [[false, true, false], true]);
    press(second, "ArrowDown");
    press(third, "ArrowDown");
    assert.deepEqual([areOpen(), document.activeElement === third.root], [[false, false, true], true]);
    press(third, "ArrowUp");
    assert.equal(document.activeElement, second.root);
    press(first, "ArrowUp");
    assert.equal(press(second, "ArrowDown", false).isPrevented, false);
    assert.equal(press(second, "Enter").isPrevented, false);
    assert.equal(document.activeElement, second.root);
  });
});

describe("a step that is settled", () => {
  test("folds after the person acted, and the next one opens, with the focus", () => {
    const { here, next, areOpen } = two();
    here.root.querySelector('[data-action="check"]').focus();
    here.press("check");
    here.model.show({ busy_since: 1 });
    here.model.show({ ...SETTLED, busy_since: 1 });
    assert.deepEqual([areOpen(), document.activeElement === next.root], [[true, false], false]);
    here.model.show({ busy_since: 0, finished: 1 });
    next.model.show({ is_current: true });
    assert.deepEqual([areOpen(), document.activeElement === next.root], [[false, true], true]);
  });

  test("folds even if the person had opened it, and is then the page's to decide", () => {
    const { here, areOpen } = two({ is_current: false });
    here.line.click();
    here.press("check");
    here.model.show({ ...SETTLED, finished: 1 });
    assert.deepEqual(areOpen(), [false, false]);
    assert.equal(openedStep(), "");
  });

  test("moves a focus that is nowhere, and none that is elsewhere", () => {
    const { here, next } = two();
    here.press("check");
    here.model.show({ ...SETTLED, finished: 1 });
    assert.equal(document.activeElement, next.root);
    page = newPage();
    const other = two();
    const elsewhere = put("input");
    other.here.press("check");
    elsewhere.focus();
    other.here.model.show({ ...SETTLED, finished: 1 });
    assert.deepEqual([other.areOpen(), document.activeElement === elsewhere], [[false, false], true]);
  });

  test("folds and moves nothing where nobody acted: another tab, or another person", () => {
    const { here, areOpen } = two();
    here.model.show({ ...SETTLED });
    assert.deepEqual([areOpen(), document.activeElement], [[false, false], page.body]);
  });

  test("stays open where a person opened it, if it is settled by itself", () => {
    const { here } = two();
    here.model.show({ is_current: false });
    here.line.click();
    here.model.show({ ...SETTLED });
    assert.equal(here.root.dataset.open, "true");
  });

  test("is open where the person acted until it is settled, whatever comes next meanwhile", () => {
    const { here, areOpen } = two();
    here.press("check");
    here.model.show({ is_current: false, is_next: false, outcome: "inconclusive", finished: 1 });
    assert.equal(areOpen()[0], true);
  });

  test("makes room for what is next once it waits for others, if it was next when the person acted", () => {
    const { here, next, areOpen } = two();
    here.press("check");
    here.model.show({ is_current: false, is_next: false, outcome: "waiting", finished: 1 });
    next.model.show({ is_current: true });
    assert.deepEqual([areOpen(), document.activeElement === next.root], [[false, true], true]);
    page = newPage();
    const other = two({ is_current: false, is_next: false });
    other.here.line.click();
    other.here.press("check");
    other.here.model.show({ outcome: "waiting", finished: 1 });
    assert.deepEqual(other.areOpen(), [true, false]);
  });

  test("stays open for whoever works in it, while somebody else settles it", () => {
    const { here, areOpen } = two();
    const field = here.root.querySelector('[data-name="note"]');
    field.focus();
    here.model.show({ ...SETTLED });
    assert.deepEqual([areOpen(), document.activeElement === field], [[true, false], true]);
    page = newPage();
    const other = two();
    other.here.root.focus(); // nobody works in it
    other.here.model.show({ ...SETTLED });
    assert.deepEqual(other.areOpen(), [false, false]);
  });

  test("moves nothing if what the person did has ended before", () => {
    const { here } = two();
    here.root.focus();
    here.press("check");
    here.model.show({ finished: 1, outcome: "failed" });
    here.model.show({ ...SETTLED });
    assert.equal(document.activeElement, here.root);
  });

  test("moves nothing where values from elsewhere made the page look by itself", () => {
    const { here } = two();
    here.root.focus();
    here.model.show({ can_refresh: true });
    assert.deepEqual(here.model.sent, [{ action: "refresh" }]);
    here.model.show({ ...SETTLED, finished: 1 });
    assert.equal(document.activeElement, here.root);
  });

  test("goes on for whoever comes back from the provider's page, if that settles it", () => {
    const { here, next } = two({ can_refresh: true, checked_on: "noon" });
    page.comeBack();
    here.model.show({ ...SETTLED, finished: 1 });
    assert.equal(document.activeElement, next.root);
  });

  test("asks below its line whether to save its credential, until that is decided; the next one is open meanwhile", () => {
    const savedIn = (where) => [{ ...stepView().inputs[1], saved_in: where }];
    const offers = (here) => here.root.querySelector(".rb-offer");
    for (const decide of [(here) => offers(here).querySelector('[data-keep="later"]').click(),
      (here) => { offers(here).querySelector('[data-keep=".env"]').click(); here.model.show({ inputs: savedIn(".env"), finished: 2 }); }]) {
      page = newPage();
      const { here, next, areOpen } = two();
      assert.equal(offers(here).hidden, true);
      here.press("check");
      here.model.show({ ...SETTLED, inputs: savedIn("this session"), finished: 1 });
      next.model.show({ is_current: true });
      assert.deepEqual([areOpen(), document.activeElement === next.root, offers(here).hidden], [[false, true], true, false]);
      assert.match(offers(here).textContent, /is verified\. Save it on this machine\?Keyring\.envNot now$/);
      decide(here);
      assert.deepEqual([areOpen(), offers(here).hidden], [[false, true], true]);
    }
  });

  test("asks also where a check that ran by itself ends before the person's own", () => {
    const { here } = two({ busy: 1, busy_since: 1 });
    here.type("app_secret", "0a1b2c3d");
    here.root.querySelector('[data-name="app_secret"]').dispatch("keydown", { key: "Enter" });
    here.model.show({ finished: 1, busy: 0, busy_since: 0 }); // the kernel has not heard of the person's yet
    here.model.show({ busy: 1, busy_since: 2 });
    const inputs = [{ ...stepView().inputs[1], saved_in: "this session" }];
    here.model.show({ ...SETTLED, inputs, taken: 1, finished: 2, busy: 0, busy_since: 0 });
    assert.equal(here.root.querySelector(".rb-offer").hidden, false);
  });

  test("asks nothing where it was verified before, or elsewhere", () => {
    const { here } = two();
    here.model.show({ ...SETTLED, inputs: [{ ...stepView().inputs[1], saved_in: "this session" }] });
    assert.equal(here.root.querySelector(".rb-offer").hidden, true);
  });

  test("stays open until the word of the person is recorded", async () => {
    setPerson("Ada");
    const { here, next, areOpen } = two();
    here.press("confirm-attest");
    for (let turn = 0; turn < 20; turn += 1) await null;
    here.model.show({ ...SETTLED });
    assert.deepEqual(areOpen(), [true, false]);
    here.model.show({ finished: 1, written: 1 });
    next.model.show({ is_current: true });
    assert.deepEqual(areOpen(), [false, true]);
  });

  test("is folded, if it was settled before; opened again it stays open", () => {
    const { here, areOpen } = two(SETTLED);
    assert.deepEqual(areOpen(), [false, false]);
    here.line.click();
    here.model.show({ since: "checked today" });
    assert.deepEqual(areOpen(), [true, false]);
  });
});

describe("an open step", () => {
  const refreshes = (model) => model.sent.filter(({ action }) => action === "refresh").length;

  test("is looked at when its values arrive: once", () => {
    const { here } = shown({});
    assert.equal(refreshes(here.model), 0);
    here.model.show({ can_refresh: true });
    here.model.show({ since: "now" });
    assert.equal(refreshes(here.model), 1);
    here.model.show({ can_refresh: false });
    here.model.show({ can_refresh: true });
    assert.equal(refreshes(here.model), 2);
  });

  test("is not looked at while a value is being typed, nor if it was checked before", () => {
    const { here } = shown({});
    here.type("app_id", "1");
    here.model.show({ can_refresh: true });
    assert.equal(refreshes(here.model), 0);
    page = newPage();
    assert.equal(refreshes(shown({ can_refresh: true, checked_on: "noon" }).here.model), 0);
  });

  test("is looked at when it is opened, not while it is folded", () => {
    const { here } = shown({ can_refresh: true, is_current: false });
    assert.equal(refreshes(here.model), 0);
    here.line.click();
    assert.equal(refreshes(here.model), 1);
  });

  test("is looked at whenever the window comes back, if the kernel can; a folded one is not", () => {
    const { panels } = shown({ id: "a", can_refresh: true, checked_on: "noon" }, { id: "b", checked_on: "noon" },
      { id: "c", can_refresh: true, checked_on: "noon", is_current: false });
    page.comeBack();
    assert.deepEqual(panels.map(({ model }) => refreshes(model)), [1, 0, 0]);
    document.visibilityState = "hidden";
    page.comeBack();
    assert.equal(refreshes(panels[0].model), 1);
    document.visibilityState = "visible";
    page.comeBack();
    assert.equal(refreshes(panels[0].model), 2);
  });

  test("is not looked at while it is busy, nor without the kernel, which is no failure then", () => {
    const { here } = shown({ can_refresh: true, checked_on: "noon", busy_since: 1 });
    page.comeBack();
    here.model.show({ busy_since: 0 });
    here.model.status("dead");
    page.comeBack();
    assert.equal(refreshes(here.model), 0);
    assert.equal(here.root.querySelector('[role="status"]').textContent, "");
  });

  test("is opened by setFold from any panel of the page", () => {
    const { areOpen } = shown({ id: "a", is_current: false }, { id: "b", is_current: false });
    setFold("b", true);
    assert.deepEqual(areOpen(), [false, true]);
  });
});

describe("what the page opened by itself", () => {
  const step = (id) => ({ id, title: id });
  // A page that was just opened at a, and is told by another kernel that a is done: each panel on its own.
  const opened = () => {
    const all = shown({ id: "a", next: step("a") }, { id: "b", is_current: false, next: step("a") });
    const end = new Model(finishView({ next: step("a") }));
    finish.render({ model: end, el: put("div", { class: "jp-Cell" }) });
    page.wait(600);
    return { ...all, news: {
      done: () => all.here.model.show({ ...SETTLED, next: step("b") }),
      next: () => all.next.model.show({ is_current: true, next: step("b") }),
      end: () => end.show({ next: step("b") }) } };
  };
  const orders = ["done next end", "done end next", "next done end", "next end done", "end done next", "end next done"];

  for (const order of orders) {
    test(`folds by itself, in whichever order its panels hear of it: ${order}`, () => {
      const { areOpen, news } = opened();
      for (const name of order.split(" ")) {
        news[name]();
        page.wait(600);
      }
      assert.deepEqual(areOpen(), [false, true]);
      assert.equal(openedStep(), "");
    });
  }

  test("folds by itself after a reload too, where a link led to what is next", () => {
    setFold("a", true);
    const { here, areOpen } = two();
    here.model.show({ ...SETTLED });
    assert.deepEqual(areOpen(), [false, false]);
  });

  test("folds by itself where the page went on before it knew that the step is next", () => {
    const { here, next, areOpen, news } = opened();
    here.press("check");
    here.model.show({ ...SETTLED, finished: 1, next: step("b") });
    news.next();
    assert.deepEqual(areOpen(), [false, true]);
    next.model.show({ ...SETTLED, next: null });
    assert.deepEqual(areOpen(), [false, false]);
  });
});
