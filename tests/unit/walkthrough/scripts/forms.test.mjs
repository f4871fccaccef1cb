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
function opened(name = "attest", changes = {}, by = "Ada") {
  const model = new Model(stepView(changes));
  const panel = new Panel(model, document.body);
  model.on("change:view", () => panel.draw());
  const form = panel.forms.find((one) => one.name === name);
  form.button.click();
  if (by) form.field("by").value = by;
  if (form.noteName === "reason") form.field("reason").value = "So it is.";
  return { model, panel, form };
}

function file(name, size, type = "image/png") {
  return { name, size, type, arrayBuffer: async () => `the bytes of ${name}` };
}

describe("a form", () => {
  test("is opened, with the focus in it, and closed by its button; opening it closes the others", () => {
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

  test("is closed by Escape, and the focus returns to its button", () => {
    const { form } = opened();
    form.field("note").dispatch("keydown", { key: "Escape" });
    assert.equal(form.root.hidden, true);
    assert.equal(document.activeElement, form.button);
  });

  test("is confirmed by Enter in a text field, but not during composition or on a button", async () => {
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

  test("sends name, texts and files once, even if it is confirmed twice", async () => {
    const { model, form } = opened();
    form.field("by").value = "  Ada ";
    form.field("note").value = "With a large screen.";
    form.field("seen").value = "Another button.";
    form.attach([file("a.png", 64), file("", 64)]);
    form.confirm();
    form.confirm();
    await settle();
    assert.deepEqual(model.sent, [{
      action: "attest", answer: "", by: "Ada", note: "With a large screen.", seen: "Another button.",
      files: [{ name: "a.png", type: "image/png" }, { name: "pasted.png", type: "image/png" }],
      buffers: ["the bytes of a.png", "the bytes of "] }]);
    assert.equal(page.kept.get("runbook.operator"), "Ada");
  });

  test("gives the answer that it is for, with its day", async () => {
    const [attest] = stepView().forms;
    const asked = { ...attest, name: "attest-asked", answer: "asked", label: "Asked for",
      fields: [{ name: "due", label: "Due", help: "", type: "date" }] };
    const { model, panel, form } = opened("attest-asked", { forms: [attest, asked] });
    form.field("due").value = "2026-12-24";
    form.confirm();
    await settle();
    assert.deepEqual(model.sent.map(({ action, answer, due }) => [action, answer, due]), [["attest", "asked", "2026-12-24"]]);
    assert.equal(panel.forms[0].field("due"), null);
  });

  test("has no files if it asks for a reason only", async () => {
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

  test("does not move a focus that is elsewhere by then", async () => {
    const { model, panel, form } = opened();
    form.confirm();
    await settle();
    panel.check.focus();
    model.show({ written: 1, finished: 1 });
    assert.equal(document.activeElement, panel.check);
  });

  test("keeps its content if it is refused, and can be confirmed again", async () => {
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

  test("says at the field that a name or a reason is missing, and sends nothing", async () => {
    const { model, form } = opened("skip");
    const [by, reason] = [form.field("by"), form.field("reason")];
    for (const field of [by, reason]) {
      const text = field.value;
      field.value = "  ";
      form.confirm();
      await settle();
      assert.deepEqual(model.sent, []);
      assert.equal(field.getAttribute("aria-invalid"), "true");
      assert.equal(document.activeElement, field);
      assert.match(form.problem.textContent, /^(Enter your name|Give a reason): /);
      field.value = text;
    }
    form.confirm();
    await settle();
    assert.equal(model.sent.length, 1);
    assert.equal(reason.getAttribute("aria-invalid"), "false");
    assert.equal(form.problem.hidden, true);
  });

  test("sends nothing if a file cannot be read, and says so", async () => {
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

  test("can be confirmed again later if the kernel is gone", async () => {
    const { model, form } = opened();
    model.isGone = true;
    form.confirm();
    await settle();
    assert.equal(form.asked, null);
  });

  test("suggests the saved name, but not for a second person's confirmation", () => {
    page.kept.set("runbook.operator", "Ada");
    assert.equal(opened("attest", {}, "").form.field("by").value, "Ada");
    const second = opened("attest", { needs_another: true }, "");
    assert.equal(second.form.field("by").value, "");
    assert.equal(second.form.button.textContent, "I confirm it");
    second.model.show({ needs_another: false });
    assert.equal(second.form.button.textContent, "I have done this");
  });

  test("offers to withdraw only a confirmation", () => {
    const { model, form } = opened("withdraw");
    assert.equal(form.button.hidden, true);
    model.show({ can_withdraw: true });
    assert.equal(form.button.hidden, false);
  });
});

describe("files", () => {
  test("have sizes in MiB with one decimal", () => {
    assert.deepEqual([megabytes(9 * MIB), megabytes(1.25 * MIB), megabytes(64)], ["9.0 MiB", "1.3 MiB", "0.0 MiB"]);
  });

  test("are not attached above the limit; the message has their size and the limit", () => {
    const { form } = opened();
    form.attach([file("large.png", LARGEST + 1)]);
    assert.equal(form.problem.hidden, false);
    assert.equal(form.problem.textContent, "Not attached: large.png (9.0 MiB). The limit for all files together is "
      + "9.0 MiB. Attach a smaller picture.");
    assert.deepEqual(form.files, []);
    assert.equal(form.fileNames.textContent, "");
  });

  test("are attached up to exactly the limit, which applies to all together", () => {
    const { form } = opened();
    form.attach([file("most.png", LARGEST)]);
    assert.equal(form.fileNames.textContent, "Attached: most.png");
    assert.equal(form.problem.hidden, true);
    form.attach([file("more.png", 64), file("", 64)]);
    assert.equal(form.fileNames.textContent, "Attached: most.png");
    assert.match(form.problem.textContent, /^Not attached: more\.png \(0\.0 MiB\), The pasted picture \(0\.0 MiB\)\./);
  });

  test("are attached if there is room, and named if there is not", () => {
    const { form } = opened();
    form.attach([file("a.png", LARGEST - 10), file("b.png", 11), file("c.png", 10)]);
    assert.equal(form.fileNames.textContent, "Attached: a.png, c.png");
    assert.match(form.problem.textContent, /^Not attached: b\.png/);
  });

  test("are removed together, with the message", () => {
    const { form } = opened();
    form.attach([file("a.png", 64), file("large.png", LARGEST)]);
    assert.equal(form.removeFiles.hidden, false);
    form.removeFiles.click();
    assert.deepEqual([form.fileNames.textContent, form.problem.textContent], ["", ""]);
    assert.deepEqual([form.removeFiles.hidden, form.problem.hidden], [true, true]);
    assert.deepEqual(form.files, []);
  });

  test("can be pasted anywhere in the form; pasted text goes to the field", () => {
    const { form } = opened();
    const text = form.field("note").dispatch("paste", { clipboardData: { files: [] } });
    assert.equal(text.isPrevented, false);
    const picture = form.field("note").dispatch("paste", { clipboardData: { files: [file("", 64)] } });
    assert.equal(picture.isPrevented, true);
    assert.equal(form.fileNames.textContent, "Attached: pasted picture");
  });

  test("can be chosen again: the file input is emptied", () => {
    const { form } = opened();
    const chooser = form.root.querySelector('input[type="file"]');
    chooser.files = [file("a.png", 64)];
    chooser.value = "C:\\fakepath\\a.png";
    chooser.dispatch("change");
    assert.equal(form.fileNames.textContent, "Attached: a.png");
    assert.equal(chooser.value, "");
  });
});

