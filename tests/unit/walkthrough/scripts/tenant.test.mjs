import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { load, Model, newPage, put } from "./page.mjs";

const { default: script } = await load("dom.js", "tenant.js");
const VIEW = { question: "Whose app is this?", field: "A name", help: "For example acme. There are: beta." };

let page;
beforeEach(() => { page = newPage(); });

function shown() {
  const model = new Model(VIEW);
  const stop = script.render({ model, el: page.body });
  const root = page.body.querySelector('[id="runbook-tenant"]');
  const find = (selector) => root.querySelector(selector);
  return { model, stop, root, field: find("input"), open: find('[data-action="open-tenant"]'), begin: find('[data-action="begin-tenant"]'),
    problem: find(".rb-problem"), doubt: find(".rb-doubt") };
}

function type(field, text) {
  field.value = text;
  field.dispatch("input");
}

describe("the question whose app this is", () => {
  test("asks with a label, and names an example and the tenants that there are", () => {
    const { root, field, open, begin } = shown();
    assert.match(root.textContent, /^Whose app is this\?A nameFor example acme\. There are: beta\./);
    assert.equal(root.querySelector("label").getAttribute("for"), field.id);
    assert.ok(open.classList.contains("rb-main"));
    assert.equal(begin.hidden, true);
  });

  test("sends the answer once, by its button or by Enter", () => {
    const { model, field, open } = shown();
    type(field, " acme ");
    open.click();
    open.click();
    assert.deepEqual(model.sent, [{ action: "answer", text: "acme" }]);
    model.say({ kind: "problem", text: "No." });
    field.dispatch("keydown", { key: "Enter", isComposing: true });
    assert.equal(model.sent.length, 1);
    assert.equal(field.dispatch("keydown", { key: "Enter" }).isPrevented, true);
    assert.equal(model.sent.length, 2);
  });

  test("sends nothing without an answer, and says so", () => {
    const { model, open, field, problem } = shown();
    open.click();
    assert.deepEqual(model.sent, []);
    assert.equal(problem.textContent, "Enter an answer first.");
    assert.equal(document.activeElement, field);
  });

  test("shows what is wrong until the text changes", () => {
    const { model, field, open, problem } = shown();
    type(field, "a b");
    open.click();
    model.say({ kind: "problem", text: "That is no name." });
    assert.equal(problem.textContent, "That is no name.");
    assert.equal(field.getAttribute("aria-invalid"), "true");
    type(field, "ab");
    assert.equal(problem.hidden, true);
    assert.equal(field.getAttribute("aria-invalid"), "false");
  });

  test("begins a new tenant only by its own button, which is blue while there is the doubt", () => {
    const { model, field, open, begin, doubt } = shown();
    type(field, "acme");
    open.click();
    model.say({ kind: "doubt", text: "There is no record of acme yet." });
    assert.equal(doubt.textContent, "There is no record of acme yet.");
    assert.equal(begin.hidden, false);
    assert.equal(open.classList.contains("rb-main"), false);
    type(field, "acne");
    assert.equal(begin.hidden, true);
    assert.equal(doubt.hidden, true);
    open.click();
    model.say({ kind: "doubt", text: "There is no record of acne yet." });
    begin.click();
    assert.deepEqual(model.sent.at(-1), { action: "answer", text: "acne", is_sure: true });
  });

  test("shows no doubt about another text than the one that stands there", () => {
    const { model, field, open, begin, doubt } = shown();
    type(field, "acme");
    open.click();
    type(field, "acne");
    model.say({ kind: "doubt", text: "There is no record of acme yet." });
    assert.equal(doubt.hidden, true);
    assert.equal(begin.hidden, true);
  });

  test("has the focus, wherever running all cells leads, until the person acts", () => {
    const { field, stop } = shown();
    assert.equal(document.activeElement, page.body);
    page.wait(600);
    assert.equal(document.activeElement, field);
    put("input").focus();
    page.wait(600);
    assert.equal(document.activeElement, field);
    const other = put("input");
    page.heard.get("keydown")({ type: "keydown", target: other });
    other.focus();
    page.wait(600);
    assert.equal(document.activeElement, other);
    stop();
    assert.equal(page.timers.size, 0);
  });

  test("says what to do once the kernel is gone", () => {
    const { model, field, open, problem } = shown();
    type(field, "acme");
    model.status("dead");
    assert.match(problem.textContent, /press Start at the top/);
    type(field, "acme-h");
    assert.equal(problem.textContent, "");
    model.isGone = true;
    open.click();
    assert.match(problem.textContent, /press Start at the top/);
  });
});
