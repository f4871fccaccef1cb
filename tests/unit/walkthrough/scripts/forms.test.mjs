import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { load, Model, newPage, settle } from "./page.mjs";
import { stepView } from "./views.mjs";

const { Panel, megabytes, personHere, setPerson } = await load("dom.js", "forms.js", "panel.js");
const MIB = 2 ** 20;
const LARGEST = stepView().largest;

let page;
beforeEach(() => { page = newPage(); });

// Returns a panel with one of its forms open, by default the one that stands in it; `by` is typed there.
function opened(name = "attest", changes = {}, by = "Ada") {
  const model = new Model(stepView(changes));
  const panel = new Panel(model, document.body);
  model.on("change:view", () => panel.draw());
  if (!panel.isBuilt) panel.line.click();
  const form = panel.forms.find((one) => one.name === name);
  opener(panel, name)?.click();
  if (by) typeName(form, by);
  if (form.form.needs_note) form.field("note").value = "So it is.";
  return { model, panel, form };
}

// The button that opens a form; what stands in the panel has none.
function opener(panel, name) { return panel.root.querySelector(`[data-form="${name}"]`); }

function typeName(form, name) {
  form.field("by").value = name;
  form.field("by").dispatch("input");
}

function isShown(node) { return !node.closest("[hidden]"); }

function file(name, size, type = "image/png") {
  return { name, size, type, arrayBuffer: async () => `the bytes of ${name}` };
}

describe("a form", () => {
  test("is opened, with the focus in it, and closed by its button; opening it closes the others", () => {
    const { panel, form } = opened("comment");
    assert.equal(form.root.hidden, false);
    assert.equal(opener(panel, "comment").getAttribute("aria-expanded"), "true");
    assert.equal(document.activeElement, form.field("by"));
    const skip = panel.forms.find((one) => one.name === "skip");
    opener(panel, "skip").click();
    assert.deepEqual([form.root.hidden, opener(panel, "comment").getAttribute("aria-expanded")], [true, "false"]);
    opener(panel, "skip").click();
    assert.deepEqual([skip.root.hidden, opener(panel, "skip").getAttribute("aria-expanded")], [true, "false"]);
  });

  test("names what was written or attached and is not recorded", () => {
    const { panel, form } = opened();
    assert.equal(panel.root.dataset.unsaved, undefined);
    form.field("note").value = "The page looks new.";
    form.field("note").dispatch("input");
    form.attach([file("a.png", 1)]);
    assert.equal(panel.root.dataset.unsaved, "13 (Note, Screenshot)");
    form.clear();
    panel.draw();
    assert.equal(panel.root.dataset.unsaved, undefined);
  });

  test("has the focus in the first field that is shown: a known name has none", () => {
    setPerson("Ada");
    const { form } = opened("comment", {}, "");
    assert.equal(document.activeElement, form.field("note"));
  });

  test("is closed by Escape, and the focus returns to its button", () => {
    const { panel, form } = opened("comment");
    form.field("note").dispatch("keydown", { key: "Escape" });
    assert.equal(form.root.hidden, true);
    assert.equal(document.activeElement, opener(panel, "comment"));
  });

  test("is closed by Escape in its note too, which stands in the card's fold", () => {
    const { panel, form } = opened("attest", { actions: { primary: "", other: "check", menu: ["attest"] } });
    form.field("note").focus();
    form.field("note").dispatch("keydown", { key: "Escape" });
    assert.deepEqual([form.root.hidden, document.activeElement === opener(panel, "attest")], [true, true]);
  });

  test("stands in the card if it is what the step needs next; beside that it is opened, else it is in the menu", () => {
    const { model, panel, form } = opened("attest", {}, "");
    assert.deepEqual([isShown(form.root), opener(panel, "attest").closest(".rb-menu")], [true, null]);
    opener(panel, "attest").click();
    assert.equal(isShown(form.root), false);
    model.show({ actions: { primary: "attest", other: "", menu: [] } });
    assert.deepEqual([isShown(form.root), opener(panel, "attest")], [true, null]);
    model.show({ actions: { primary: "", other: "check", menu: ["attest"] } });
    assert.equal(isShown(form.root), false);
    opener(panel, "attest").click();
    assert.equal(isShown(form.root), true);
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
      action: "attest", answer: "", by: "Ada", inputs: {}, note: "With a large screen.", seen: "Another button.",
      files: [{ name: "a.png", type: "image/png" }, { name: "pasted.png", type: "image/png" }],
      buffers: ["the bytes of a.png", "the bytes of "] }]);
    assert.equal(personHere(""), "Ada");
  });

  test("asks about a doubtful day, and sends it again only by Use it anyway, and not once it is another", async () => {
    const { model, form } = opened("assign");
    const due = form.field("due");
    const anyway = () => form.root.querySelectorAll('[data-action="anyway-assign"]');
    due.value = "2026-11-01";
    form.confirm();
    await settle();
    model.show({ finished: 1, refused: [{ input: "due", doubt: "2026-11-01 has passed." }] });
    assert.deepEqual([isShown(form.doubt), form.doubt.querySelector("div").textContent, due.value],
      [true, "2026-11-01 has passed.", "2026-11-01"]);
    anyway()[0].click();
    await settle();
    assert.deepEqual(model.sent.map(({ sure }) => sure), [undefined, ["due"]]);
    assert.equal(isShown(form.doubt), false);
    model.show({ finished: 2, refused: [] });
    due.value = "2026-11-02";
    form.confirm();
    await settle();
    assert.equal(model.sent[2].sure, undefined);
    model.show({ finished: 3, written: 1 });
    assert.equal(isShown(form.doubt), false);
  });

  test("has no files if it asks for a reason only", async () => {
    const { model, form } = opened("skip");
    assert.equal(form.fileNames, undefined);
    form.field("note").value = "There is one.";
    form.confirm();
    await settle();
    assert.equal(model.sent[0].note, "There is one.");
    assert.deepEqual(model.sent[0].files, []);
  });

  test("keeps note, picture and what differed in the card's fold; a reason that is needed is shown", () => {
    const { form } = opened();
    const fold = form.field("note").closest("details");
    assert.match(fold.querySelector("summary").textContent, /^More: add a note, /);
    for (const name of ["seen", "note"]) assert.equal(form.field(name).closest("details"), fold);
    assert.equal(form.all('input[type="file"]')[0].closest("details"), fold);
    form.attach([file("a.png", 64)]);
    assert.equal(fold.open, true);
    page = newPage();
    assert.equal(opened("skip").form.field("note").closest("details"), null);
  });

  test("sends the values typed beside it, which the word is about", async () => {
    const { model, panel, form } = opened();
    const { field } = panel.fields.get("app_id");
    field.value = "123456789012345";
    field.dispatch("input");
    form.confirm();
    await settle();
    assert.deepEqual(model.sent.map(({ action, inputs }) => [action, inputs]), [["attest", { app_id: "123456789012345" }]]);
  });

  test("once it is recorded it is empty and closed, and the focus is in the panel", async () => {
    const { model, panel, form } = opened("comment");
    form.field("note").focus();
    form.confirm();
    await settle();
    model.show({ busy_since: 1 });
    model.show({ busy_since: 0, written: 1, finished: 1 });
    assert.equal(form.root.hidden, true);
    assert.deepEqual([form.field("note").value, form.field("by").value], ["", ""]);
    assert.equal(document.activeElement, panel.root);
  });

  test("once it is recorded its files are gone", async () => {
    const { model, form } = opened();
    form.attach([file("a.png", 64)]);
    form.confirm();
    await settle();
    model.show({ written: 1, finished: 1 });
    assert.equal(form.fileNames.textContent, "");
    assert.deepEqual(form.files, []);
  });

  test("does not move a focus that is elsewhere by then", async () => {
    const { model, panel, form } = opened("comment");
    form.confirm();
    await settle();
    const check = panel.root.querySelector('[data-action="check"]');
    check.focus();
    model.show({ written: 1, finished: 1 });
    assert.equal(document.activeElement, check);
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
    const [by, reason] = [form.field("by"), form.field("note")];
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
});

describe("who confirms", () => {
  test("is on the button, as soon as a name is typed", () => {
    const { form } = opened("attest", {}, "");
    assert.deepEqual([form.confirmButton.textContent, isShown(form.notYou)], ["I have done this", false]);
    typeName(form, "Ann Lee");
    assert.equal(form.confirmButton.textContent, "Ann Lee confirms");
    assert.equal(isShown(form.field("by")), true);
    assert.equal(opened("skip").form.confirmButton.textContent, "Ada skips this");
  });

  test("is the server's user, with one click and no field", async () => {
    const { model, form } = opened("attest", { user: "ann" }, "");
    assert.deepEqual([form.confirmButton.textContent, isShown(form.field("by")), isShown(form.notYou)], ["ann confirms", false, true]);
    form.confirmButton.click();
    await settle();
    assert.deepEqual(model.sent.map(({ action, by }) => [action, by]), [["attest", "ann"]]);
  });

  test("is asked for only where it is needed: in the next step, in an open form, or once it is pressed", async () => {
    assert.equal(isShown(opened("attest", {}, "").form.field("by")), true);
    page = newPage();
    assert.equal(isShown(opened("skip", { is_next: false }, "").form.field("by")), true);
    page = newPage();
    const { model, form } = opened("attest", { is_next: false }, "");
    assert.equal(isShown(form.field("by")), false);
    form.confirmButton.click();
    await settle();
    assert.deepEqual([isShown(form.field("by")), document.activeElement === form.field("by"), model.sent], [true, true, []]);
    assert.match(form.problem.textContent, /^Enter your name: /);
  });

  test("is typed once: every other panel of the page then bears the name", async () => {
    const { form } = opened();
    const { form: other } = opened("attest", { id: "fb-14" }, "");
    assert.equal(other.confirmButton.textContent, "I have done this");
    form.confirm();
    await settle();
    assert.deepEqual([other.confirmButton.textContent, isShown(other.field("by"))], ["Ada confirms", false]);
    const later = opened("attest", { id: "fb-15" }, "");
    assert.equal(later.form.confirmButton.textContent, "Ada confirms");
  });

  test("is never taken from an earlier session, whatever the browser keeps", () => {
    for (const kept of [page.kept, page.stored]) {
      for (const name of ["runbook.operator", "runbook:person"]) kept.set(name, "Ada");
    }
    const { form } = opened("attest", {}, "");
    assert.deepEqual([form.field("by").value, form.confirmButton.textContent], ["", "I have done this"]);
  });

  test("can be somebody else: Not you? asks again, in all panels", async () => {
    const { model, form } = opened("attest", { user: "ann" }, "");
    const { form: other } = opened("attest", { id: "fb-14", user: "ann" }, "");
    form.notYou.click();
    assert.deepEqual([isShown(form.field("by")), document.activeElement === form.field("by")], [true, true]);
    assert.deepEqual([form, other].map((one) => one.confirmButton.textContent), ["I have done this", "I have done this"]);
    typeName(form, "Bob");
    form.confirm();
    await settle();
    assert.equal(model.sent[0].by, "Bob");
    assert.equal(other.confirmButton.textContent, "Bob confirms");
  });

  test("a second person is never offered the first one's name, and theirs stays with their word", async () => {
    setPerson("Ada");
    const { model, form } = opened("attest", { needs_another: true, user: "ann" }, "");
    assert.deepEqual([form.field("by").value, form.confirmButton.textContent, isShown(form.notYou)], ["", "I have done this", false]);
    assert.equal(isShown(form.field("by")), true);
    form.confirmButton.click();
    await settle();
    assert.deepEqual(model.sent, []);
    typeName(form, "Bob");
    form.confirmButton.click();
    await settle();
    assert.equal(model.sent[0].by, "Bob");
    assert.equal(personHere("ann"), "Ada");
    model.show({ needs_another: false, written: 1, finished: 1 });
    assert.equal(form.confirmButton.textContent, "Ada confirms");
  });
});

describe("a question with several answers", () => {
  const field = (name, label, more = {}) => ({ name, label, type: "date", help: "", choices: [], ...more });
  const option = (name, more = {}) => ({ name, action: name, answer: "", label: name, sentence: `It is ${name}.`, note_label: "", fields: [], ...more });
  const permissions = field("permissions", "Permissions", { type: "choices", choices: ["public_profile", "ads_read"], ticked: true });
  const question = { ...stepView().forms[0], name: "answer", label: "What does App Review say?", act: "Confirm", options: [
    option("submit", { fields: [field("on", "Sent"), permissions] }),
    option("attest-asked", { action: "attest", answer: "asked", fields: [field("due", "Due")] }),
    option("decline", { fields: [field("on", "Decided"), { ...permissions, ticked: false }], note_label: "The reason given" })] };
  const asked = { forms: [question], actions: { primary: "answer", other: "", menu: [] }, user: "ann" };
  const choose = (form, name) => form.root.querySelector(`[data-option="${name}"]`).dispatch("change");

  test("is one form, which stands there where the person is needed, else behind a button with the question", () => {
    const { panel, form } = opened("answer", asked, "");
    assert.deepEqual([opener(panel, "answer"), form.root.hidden], [null, false]);
    const other = opened("answer", { ...asked, actions: { primary: "check", other: "answer", menu: [] } }, "");
    assert.equal(opener(other.panel, "answer").textContent, "What does App Review say?");
    opener(other.panel, "answer").click();
    assert.equal(other.form.root.hidden, true);
  });

  test("has nothing chosen at first", () => {
    const { form } = opened("answer", asked, "");
    const group = form.root.querySelector('[role="radiogroup"]');
    assert.equal(group.getAttribute("aria-label"), "What does App Review say?");
    assert.deepEqual(group.querySelectorAll("label").map((label) => label.textContent), [" submit", " attest-asked", " decline"]);
    assert.equal(new Set(group.querySelectorAll("input").map((radio) => radio.getAttribute("name"))).size, 1);
    assert.equal(isShown(form.confirmButton), true);
    for (const node of [form.sentence, form.notYou, form.field("by")]) assert.equal(isShown(node), false);
  });

  test("shows sentence, fields and note of the chosen answer, and of no other", () => {
    const { form } = opened("answer", asked, "");
    choose(form, "submit");
    assert.deepEqual([form.sentence.textContent, isShown(form.sentence), isShown(form.field("on"))], ["It is submit.", true, true]);
    assert.deepEqual(form.fields.querySelectorAll("[data-choice]").map((box) => [box.value, box.checked]), [["public_profile", true], ["ads_read", true]]);
    assert.deepEqual([isShown(form.confirmButton), form.noteLabel.textContent], [true, "Note"]);
    choose(form, "attest-asked");
    assert.deepEqual([form.field("on"), isShown(form.field("due")), form.sentence.textContent], [null, true, "It is attest-asked."]);
    assert.deepEqual(form.root.querySelectorAll("[data-choice]"), []);
    choose(form, "decline");
    assert.deepEqual([form.field("due"), form.noteLabel.textContent], [null, "The reason given"]);
    assert.deepEqual(form.fields.querySelectorAll("[data-choice]").map((box) => box.checked), [false, false]);
  });

  test("goes on with the step: what is chosen by then is what the step is about, and what was typed stays", () => {
    const { panel, model } = opened("answer", asked, "");
    const form = () => panel.forms.find(({ name }) => name === "answer");
    choose(form(), "submit");
    form().field("note").value = "So far.";
    model.show({ forms: [{ ...question, chosen: "decline" }] });
    assert.deepEqual([form().option.name, form().field("note").value], ["decline", "So far."]);
    assert.deepEqual(form().root.querySelectorAll("[data-option]").map((radio) => radio.checked), [false, false, true]);
    assert.equal(panel.root.querySelectorAll('[role="radiogroup"]').length, 1);
    model.show({ forms: [question] });
    assert.equal(form().option.name, "decline");
  });

  test("sends the chosen answer, with its day and the chosen names", async () => {
    const { model, form } = opened("answer", asked, "");
    form.confirm();
    await settle();
    assert.deepEqual([model.sent, form.problem.textContent], [[], "Choose an answer first."]);
    choose(form, "submit");
    assert.equal(isShown(form.problem), false);
    form.field("on").value = "2026-11-20";
    form.fields.querySelectorAll("[data-choice]")[0].checked = false;
    form.confirm();
    await settle();
    const [{ action, answer, by, on, permissions: names }] = model.sent;
    assert.deepEqual([action, answer, by, on, names], ["submit", "", "ann", "2026-11-20", ["ads_read"]]);
    model.show({ finished: 1 });
    choose(form, "attest-asked");
    form.field("due").value = "2026-12-24";
    form.confirm();
    await settle();
    const second = model.sent[1];
    assert.deepEqual([second.action, second.answer, second.due, "permissions" in second], ["attest", "asked", "2026-12-24", false]);
  });

  test("sends an empty list if no name is chosen", async () => {
    const { model, form } = opened("answer", asked, "");
    choose(form, "submit");
    for (const box of form.fields.querySelectorAll("[data-choice]")) box.checked = false;
    form.confirm();
    await settle();
    assert.deepEqual(model.sent[0].permissions, []);
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
    const [chooser] = form.all('input[type="file"]');
    chooser.files = [file("a.png", 64)];
    chooser.value = "C:\\fakepath\\a.png";
    chooser.dispatch("change");
    assert.equal(form.fileNames.textContent, "Attached: a.png");
    assert.equal(chooser.value, "");
  });
});

