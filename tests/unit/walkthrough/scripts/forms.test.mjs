import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { load, Model, newPage, settle } from "./page.mjs";
import { stepView } from "./views.mjs";

const { Panel, megabytes } = await load("dom.js", "forms.js", "panel.js");
const MIB = 2 ** 20;
const LARGEST = stepView().largest;

let page;
beforeEach(() => { page = newPage(); });

// Returns a panel with one of its forms open.
function opened(name = "attest", changes = {}) {
  const model = new Model(stepView(changes));
  const panel = new Panel(model, document.body);
  model.on("change:view", () => panel.draw());
  const form = panel.forms.find((one) => one.name === name);
  form.button.click();
  return { model, panel, form };
}

function file(name, size, type = "image/png") {
  return { name, size, type, arrayBuffer: async () => `the bytes of ${name}` };
}

describe("a form", () => {
  test("opens by its button with the focus in it, closes by it, and shuts the others", () => {
    const { panel, form } = opened();
    assert.equal(form.root.hidden, false);
    assert.equal(form.button.getAttribute("aria-expanded"), "true");
    assert.equal(document.activeElement, form.field("by"));
    const skip = panel.forms.find((one) => one.name === "skip");
    skip.button.click();
    assert.deepEqual([form.root.hidden, form.button.getAttribute("aria-expanded")], [true, "false"]);
    skip.button.click();
    assert.deepEqual([skip.root.hidden, skip.button.getAttribute("aria-expanded")], [true, "false"]);
  });

  test("Escape closes it, and the focus goes back to its button", () => {
    const { form } = opened();
    form.field("note").dispatch("keydown", { key: "Escape" });
    assert.equal(form.root.hidden, true);
    assert.equal(document.activeElement, form.button);
  });

  test("Enter in a text confirms; while a word is composed, or on a button, it does not", async () => {
    const { model, form } = opened();
    form.field("note").dispatch("keydown", { key: "Enter", isComposing: true });
    form.root.querySelector("button").dispatch("keydown", { key: "Enter" });
    await settle();
    assert.deepEqual(model.sent, []);
    const event = form.field("note").dispatch("keydown", { key: "Enter" });
    await settle();
    assert.equal(event.isPrevented, true);
    assert.equal(model.sent.length, 1);
  });

  test("sends name, words and files once, however often it is confirmed", async () => {
    const { model, form } = opened();
    form.field("by").value = "  Ada ";
    form.field("note").value = "With a large screen.";
    form.field("seen").value = "Another button.";
    form.attach([file("a.png", 64), file("", 64)]);
    form.confirm();
    form.confirm();
    await settle();
    assert.deepEqual(model.sent, [{
      action: "attest", by: "Ada", note: "With a large screen.", seen: "Another button.",
      files: [{ name: "a.png", type: "image/png" }, { name: "pasted.png", type: "image/png" }],
      buffers: ["the bytes of a.png", "the bytes of "] }]);
    assert.equal(page.kept.get("runbook.operator"), "Ada");
  });

  test("without files it asks for a reason alone", async () => {
    const { model, form } = opened("skip");
    assert.equal(form.fileNames, undefined);
    form.field("reason").value = "There is one.";
    form.confirm();
    await settle();
    assert.equal(model.sent[0].note, "There is one.");
    assert.deepEqual(model.sent[0].files, []);
  });

  test("once it is recorded it is empty and closed, and the focus is in the panel", async () => {
    const { model, panel, form } = opened();
    form.field("by").value = "Ada";
    form.field("note").value = "n";
    form.attach([file("a.png", 64)]);
    form.confirm();
    await settle();
    model.show({ busy_since: 1 });
    model.show({ busy_since: 0, written: 1, finished: 1 });
    assert.equal(form.root.hidden, true);
    assert.equal(form.field("note").value, "");
    assert.equal(form.field("by").value, "");
    assert.equal(form.fileNames.textContent, "");
    assert.deepEqual(form.files, []);
    assert.equal(document.activeElement, panel.root);
    form.button.click();
    assert.deepEqual([form.field("note").value, form.field("by").value], ["", "Ada"]);
  });

  test("a focus that has gone elsewhere by then stays there", async () => {
    const { model, panel, form } = opened();
    form.confirm();
    await settle();
    panel.check.focus();
    model.show({ written: 1, finished: 1 });
    assert.equal(document.activeElement, panel.check);
  });

  test("refused, it stays with what was typed, and can be confirmed again", async () => {
    const { model, form } = opened();
    form.field("note").value = "n";
    form.attach([file("page.gif", 64, "image/gif")]);
    form.confirm();
    await settle();
    model.show({ busy_since: 1 });
    form.confirm();
    model.show({ busy_since: 0, finished: 1, is_error: true, message: "page.gif is neither a picture nor a PDF" });
    assert.equal(form.root.hidden, false);
    assert.equal(form.field("note").value, "n");
    assert.equal(form.files.length, 1);
    form.confirm();
    await settle();
    assert.equal(model.sent.length, 2);
  });

  test("a file that is gone from the disk is named as the reason, and nothing is sent", async () => {
    const { model, form } = opened();
    const gone = { ...file("a.png", 64), arrayBuffer: async () => { throw new Error("NotReadableError"); } };
    form.attach([gone]);
    form.confirm();
    await settle();
    assert.deepEqual(model.sent, []);
    assert.equal(form.problem.textContent, "A file can no longer be read. Choose it again.");
    assert.equal(form.problem.hidden, false);
    assert.equal(form.asked, null);
  });

  test("where the kernel is gone it can be confirmed again later", async () => {
    const { model, form } = opened();
    model.isGone = true;
    form.confirm();
    await settle();
    assert.equal(form.asked, null);
  });

  test("offers the saved name, but not the first person's to the second", () => {
    page.kept.set("runbook.operator", "Ada");
    assert.equal(opened().form.field("by").value, "Ada");
    const second = opened("attest", { needs_another: true });
    assert.equal(second.form.field("by").value, "");
    assert.equal(second.form.button.textContent, "I confirm it");
    second.model.show({ needs_another: false });
    assert.equal(second.form.button.textContent, "I have done this");
  });

  test("only what was confirmed can be withdrawn", () => {
    const { model, form } = opened("withdraw");
    assert.equal(form.button.hidden, true);
    model.show({ can_withdraw: true });
    assert.equal(form.button.hidden, false);
  });
});

describe("files", () => {
  test("are measured as people write it", () => {
    assert.deepEqual([megabytes(9 * MIB), megabytes(1.25 * MIB), megabytes(64)], ["9.0 MiB", "1.3 MiB", "0.0 MiB"]);
  });

  test("a file above the limit is not attached, and the message says by how much", () => {
    const { form } = opened();
    form.attach([file("large.png", LARGEST + 1)]);
    assert.equal(form.problem.hidden, false);
    assert.equal(form.problem.textContent, "Not attached: large.png (9.0 MiB). The limit for all files together is "
      + "9.0 MiB. Attach a smaller picture.");
    assert.deepEqual(form.files, []);
    assert.equal(form.fileNames.textContent, "");
  });

  test("one of exactly the limit is attached, and the next one not beside it", () => {
    const { form } = opened();
    form.attach([file("most.png", LARGEST)]);
    assert.equal(form.fileNames.textContent, "Attached: most.png");
    assert.equal(form.problem.hidden, true);
    form.attach([file("more.png", 64), file("", 64)]);
    assert.equal(form.fileNames.textContent, "Attached: most.png");
    assert.match(form.problem.textContent, /^Not attached: more\.png \(0\.0 MiB\), The pasted picture \(0\.0 MiB\)\./);
  });

  test("of several those are kept for which there is room", () => {
    const { form } = opened();
    form.attach([file("a.png", LARGEST - 10), file("b.png", 11), file("c.png", 10)]);
    assert.equal(form.fileNames.textContent, "Attached: a.png, c.png");
    assert.match(form.problem.textContent, /^Not attached: b\.png/);
  });

  test("are removed together, with the problem", () => {
    const { form } = opened();
    form.attach([file("a.png", 64), file("large.png", LARGEST)]);
    assert.equal(form.removeFiles.hidden, false);
    form.removeFiles.click();
    assert.deepEqual([form.fileNames.textContent, form.problem.textContent], ["", ""]);
    assert.deepEqual([form.removeFiles.hidden, form.problem.hidden], [true, true]);
    assert.deepEqual(form.files, []);
  });

  test("a picture is pasted anywhere in the form; a pasted text is left to the field", () => {
    const { form } = opened();
    const text = form.field("note").dispatch("paste", { clipboardData: { files: [] } });
    assert.equal(text.isPrevented, false);
    const picture = form.field("note").dispatch("paste", { clipboardData: { files: [file("", 64)] } });
    assert.equal(picture.isPrevented, true);
    assert.equal(form.fileNames.textContent, "Attached: pasted picture");
  });

  test("the same file can be chosen again: the chooser forgets it", () => {
    const { form } = opened();
    const chooser = form.root.querySelector('input[type="file"]');
    chooser.files = [file("a.png", 64)];
    chooser.value = "C:\\fakepath\\a.png";
    chooser.dispatch("change");
    assert.equal(form.fileNames.textContent, "Attached: a.png");
    assert.equal(chooser.value, "");
  });
});

