import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { load, Model, newPage, settle, writes } from "./page.mjs";
import { stepView } from "./views.mjs";

const { default: script } = await load("dom.js", "forms.js", "panel.js");
const AGAIN = "The kernel was restarted: press Start at the top of the notebook.";

let page;
beforeEach(() => { page = newPage(); });

// Renders a panel as anywidget does; returns its parts, and functions for a person's actions.
function shown(changes = {}) {
  const model = new Model(stepView(changes));
  const stop = script.render({ model, el: page.body });
  const root = page.body.firstChild;
  const find = (selector) => root.querySelector(selector);
  return { model, root, stop, find,
    live: root.querySelector('[role="status"]'),
    field: (name) => find(`input[data-name="${name}"]`),
    problem: (name) => find(`[id="rb-fb-13-${name}-problem"]`),
    note: (name) => find(`[id="rb-fb-13-${name}-note"]`).textContent,
    press: (action) => find(`button[data-action="${action}"]`).click(),
    type(name, text) {
      const field = find(`input[data-name="${name}"]`);
      if (typeof text === "boolean") field.checked = text; else field.value = text;
      field.dispatch("input");
    } };
}

function folds(root) { return root.querySelectorAll("summary[data-key]").map((one) => one.textContent); }

describe("input", () => {
  test("is validated by the kernel once, 200 ms after the last key", () => {
    const { model, type } = shown();
    type("app_id", "2");
    page.wait(150);
    type("app_id", "29445");
    page.wait(199);
    assert.deepEqual(model.sent, []);
    page.wait(1);
    assert.deepEqual(model.sent, [{ action: "validate", name: "app_id", value: "29445" }]);
  });

  test("is not validated if it is a tick", () => {
    const { model, type } = shown();
    type("install", true);
    page.wait(1000);
    assert.deepEqual(model.sent, []);
  });

  test("shows a problem at its field until the value is valid", () => {
    const { model, field, problem } = shown();
    assert.equal(problem("app_id").hidden, true);
    model.say({ kind: "problem", name: "app_id", problem: "an App ID is a number of 15 or 16 digits, such as 1" });
    assert.equal(problem("app_id").textContent, "an App ID is a number of 15 or 16 digits, such as 1");
    assert.equal(problem("app_id").hidden, false);
    assert.equal(field("app_id").getAttribute("aria-invalid"), "true");
    assert.equal(problem("app_secret").hidden, true);
    model.say({ kind: "problem", name: "app_id", problem: "" });
    assert.equal(problem("app_id").hidden, true);
    assert.equal(field("app_id").getAttribute("aria-invalid"), "false");
  });

  test("is masked in a field where it does not belong, and moved to its own", () => {
    const { model, find, type } = shown();
    type("app_id", "0123456789abcdef0123456789abcdef");
    model.say({ kind: "problem", name: "app_id", problem: "This looks like a secret.", home: "app_secret" });
    const [from, to] = ["app_id", "app_secret"].map((name) => find(`input[data-name="${name}"]`));
    assert.equal(from.type, "password");
    find("[data-move]").click();
    assert.deepEqual([from.value, from.type, to.value], ["", "text", "0123456789abcdef0123456789abcdef"]);
  });

  test("is sent with Check: only changed fields and secrets", () => {
    const { model, field, press, type } = shown({ inputs: [
      ...stepView().inputs, { ...stepView().inputs[0], name: "untouched", value: "as it was" }] });
    type("app_id", "123456789012345");
    field("app_secret").value = "filled in by a password manager";
    type("install", true);
    press("check");
    assert.deepEqual(model.sent, [{ action: "check", inputs: {
      app_id: "123456789012345", app_secret: "filled in by a password manager", install: true } }]);
  });

  test("is removed from a password field once it is accepted, and stays in others", () => {
    const { model, field, press, type } = shown();
    type("app_id", "123456789012345");
    type("app_secret", "0a1b2c3d");
    press("check");
    assert.equal(field("app_secret").value, "0a1b2c3d");
    const [first, ...others] = stepView().inputs;
    model.show({ taken: 1, busy_since: 1, inputs: [{ ...first, value: "123456789012345" }, ...others] });
    assert.deepEqual([field("app_id").value, field("app_secret").value], ["123456789012345", ""]);
    assert.equal(field("app_id").dataset.touched, undefined);
  });

  test("stays with its problem if it is refused, while valid values are accepted", () => {
    const { model, field, press, problem, type } = shown();
    type("app_id", "29445");
    type("app_secret", "0a1b2c3d");
    press("check");
    model.show({ taken: 1, refused: [{ input: "app_id", problem: "too short" }] });
    assert.deepEqual([field("app_id").value, field("app_id").getAttribute("aria-invalid")], ["29445", "true"]);
    assert.equal(problem("app_id").textContent, "too short");
    assert.equal(field("app_secret").value, "");
    assert.equal(problem("app_secret").hidden, true);
  });

  test("is kept if it was typed after the request", () => {
    const { model, field, press, type } = shown();
    type("app_secret", "first");
    press("check");
    type("app_secret", "second");
    model.show({ taken: 1 });
    assert.equal(field("app_secret").value, "second");
  });

  test("is not removed before the kernel has accepted it", () => {
    const { model, field, press, type } = shown();
    type("app_secret", "0a1b2c3d");
    press("check");
    model.show({ busy_since: 1 });
    assert.equal(field("app_secret").value, "0a1b2c3d");
  });

  test("is replaced by a value from elsewhere, but not while it is typed", () => {
    const { model, field, type } = shown();
    const given = (value) => stepView().inputs.map((one) => (one.name === "app_id" ? { ...one, value } : one));
    model.show({ inputs: given("111111111111111") });
    assert.equal(field("app_id").value, "111111111111111");
    field("app_id").focus();
    model.show({ inputs: given("222222222222222") });
    assert.equal(field("app_id").value, "111111111111111");
    page.body.focus();
    type("app_id", "3");
    model.show({ inputs: given("444444444444444") });
    assert.equal(field("app_id").value, "3");
  });
});

describe("values that are typed", () => {
  const needed = (...names) => stepView().inputs.map((one) => ({ ...one, is_needed: names.includes(one.name) }));
  const checks = (model) => model.sent.filter(({ action }) => action === "check").map(({ inputs }) => inputs);
  const leave = (field) => field.dispatch("change");

  test("are checked by themselves once everything that the check needs is there", () => {
    const { model, field, type } = shown({ inputs: needed("app_id", "app_secret") });
    type("app_id", "123456789012345");
    leave(field("app_id"));
    assert.deepEqual(checks(model), []);
    type("app_secret", "  ");
    leave(field("app_secret"));
    assert.deepEqual(checks(model), []);
    type("app_secret", "0a1b2c3d");
    leave(field("app_secret"));
    assert.deepEqual(checks(model), [{ app_id: "123456789012345", app_secret: "0a1b2c3d" }]);
  });

  test("are not checked by themselves if nothing was typed, if that side_effect, or if there is no check", () => {
    for (const changes of [{ side_effect: "It creates a link." }, { can_check: false }]) {
      page = newPage();
      const { model, field, type } = shown({ inputs: needed("app_id"), ...changes });
      type("app_id", "123456789012345");
      leave(field("app_id"));
      assert.deepEqual(checks(model), []);
    }
    page = newPage();
    const { model, field } = shown({ inputs: needed() });
    leave(field("app_id"));
    assert.deepEqual(checks(model), []);
  });

  test("are sent once if their field is left by pressing Check, and again if it is pressed later", () => {
    const { model, field, press, type } = shown({ inputs: needed("app_id") });
    type("app_id", "123456789012345");
    leave(field("app_id"));
    press("check");
    assert.equal(checks(model).length, 1);
    model.show({ busy_since: 1 });
    model.show({ busy_since: 0, taken: 1, finished: 1 });
    press("check");
    model.show({ busy_since: 1 });
    model.show({ busy_since: 0, finished: 2 });
    press("check");
    assert.equal(checks(model).length, 3);
  });

  test("are sent again after an error, and if another value was typed meanwhile", () => {
    const { model, press, type } = shown();
    press("check");
    press("check");
    assert.equal(checks(model).length, 1);
    type("app_id", "1");
    press("check");
    assert.equal(checks(model).length, 2);
    model.show({ finished: 1, is_error: true, message: "No route." });
    press("check");
    assert.equal(checks(model).length, 3);
  });
});

describe("a list that is chosen", () => {
  const choices = [{ name: "public_profile", needs: [], is_locked: true }, { name: "ads_read", needs: [] }, { name: "leads_retrieval", needs: ["ads_read", "pages_show_list"] }];
  const list = (value) => ({ inputs: [{ ...stepView().inputs[0], name: "permissions", label: "Permissions", value, choices }] });
  const ticked = (root) => root.querySelectorAll("[data-choice]").filter((box) => box.checked).map((box) => box.dataset.choice);

  function tick(root, name, isOn) {
    const box = root.querySelector(`[data-choice="${name}"]`);
    box.checked = isOn;
    box.dispatch("change");
  }

  test("has a check mark for each name, with those that it depends on; the chosen stand first", () => {
    const { root } = shown(list("public_profile"));
    assert.deepEqual(ticked(root), ["public_profile"]);
    const [chosen, others] = root.querySelectorAll('[role="group"]').filter((group) => group.classList.contains("rb-options"))
      .map((group) => group.querySelectorAll("label").map((label) => label.textContent));
    assert.deepEqual(chosen, [" public_profile"]);
    assert.deepEqual(others, [" ads_read", " leads_retrieval with ads_read, pages_show_list"]);
    assert.equal(root.querySelector('[data-fold="choices"]').querySelector("summary").textContent, "More permissions");
    assert.ok(root.querySelector('input[data-name="permissions"]').closest('[data-fold="choices"]'));
  });

  test("has the same names in its text and in its check marks, whichever is changed", () => {
    const { root, field, type } = shown(list("public_profile"));
    tick(root, "ads_read", true);
    assert.equal(field("permissions").value, "public_profile, ads_read");
    tick(root, "ads_read", false);
    assert.equal(field("permissions").value, "public_profile");
    type("permissions", " ads_read ,public_profile,");
    assert.deepEqual(ticked(root), ["public_profile", "ads_read"]);
  });

  test("ticks what a name needs with it, and holds that as long as the name is ticked", () => {
    const { root, field } = shown(list("public_profile"));
    const held = () => root.querySelectorAll("[data-choice]").filter((box) => box.parentElement.hidden).map((box) => box.dataset.choice);
    tick(root, "leads_retrieval", true);
    assert.equal(field("permissions").value, "public_profile, leads_retrieval, ads_read, pages_show_list");
    assert.deepEqual([ticked(root), held()], [["public_profile", "ads_read", "leads_retrieval"], ["public_profile", "ads_read"]]);
    tick(root, "leads_retrieval", false);
    assert.deepEqual([ticked(root), held()], [["public_profile", "ads_read"], ["public_profile"]]);
  });

  test("shows what a name needs as ticked, and what is always there, even if the text does not name it", () => {
    const { root } = shown(list("leads_retrieval"));
    assert.deepEqual(ticked(root).sort(), ["ads_read", "leads_retrieval", "public_profile"]);
  });

  test("keeps names that it does not know", () => {
    const { model, root, field, press } = shown(list("public_profile, new_permission"));
    tick(root, "ads_read", true);
    assert.equal(field("permissions").value, "public_profile, new_permission, ads_read");
    press("check");
    assert.deepEqual(model.sent.at(-1).inputs, { permissions: "public_profile, new_permission, ads_read" });
  });

  test("follows a choice from elsewhere, but not while it is being changed", () => {
    const { model, root } = shown(list("public_profile"));
    model.show(list("ads_read"));
    assert.deepEqual(ticked(root), ["public_profile", "ads_read"]);
    tick(root, "ads_read", true);
    model.show(list("leads_retrieval"));
    assert.deepEqual(ticked(root), ["public_profile", "ads_read"]);
  });

  test("is checked by the kernel as a typed text is", () => {
    const { model, root } = shown(list("public_profile"));
    tick(root, "ads_read", true);
    page.wait(200);
    assert.deepEqual(model.sent.find(({ action }) => action === "validate"), { action: "validate", name: "permissions", value: "public_profile, ads_read" });
  });
});

describe("a credential", () => {
  const savedIn = (where) => stepView().inputs.map((one) => (one.name === "app_secret" ? { ...one, saved_in: where } : one));

  test("is shown only as known, with its place", () => {
    const { model, find, note } = shown();
    assert.equal(note("app_secret"), "32 characters.");
    assert.equal(find(".rb-keep").hidden, true);
    model.show({ inputs: savedIn("this session") });
    assert.equal(note("app_secret"), "Known (this session). Empty keeps it.");
    assert.equal(find(".rb-keep").hidden, false);
  });

  test("is offered to be saved once it is verified, until the person has decided", () => {
    const { model, find } = shown({ inputs: savedIn("this session"), outcome: "failed" });
    const isOffered = () => !find("[data-offer]").hidden && !find(".rb-keep").hidden;
    assert.equal(isOffered(), false);
    model.show({ outcome: "verified" });
    assert.equal(isOffered(), true);
    model.show({ inputs: savedIn(".env") });
    assert.equal(isOffered(), false);
    model.show({ inputs: savedIn("this session") });
    find('button[data-keep="later"]').click();
    assert.equal(isOffered(), false);
    assert.deepEqual(model.sent, []);
    assert.equal(find('button[data-keep="forget"]').closest("[hidden]"), null);
  });

  test("is saved as it was typed last", () => {
    const { model, find, type } = shown({ inputs: savedIn("this session"), outcome: "verified" });
    type("app_secret", "the newest");
    const save = find('button[data-keep=".env"]');
    assert.equal(save.getAttribute("aria-label"), ".env: App Secret");
    save.click();
    assert.deepEqual(model.sent, [{ action: "save_credential", name: "app_secret", store: ".env", inputs: { app_secret: "the newest" } }]);
  });

  test("is removed from its field too when it is forgotten", () => {
    const { model, field, find, type } = shown({ inputs: savedIn(".env") });
    type("app_secret", "half typed");
    find('button[data-keep="forget"]').click();
    assert.equal(field("app_secret").value, "");
    assert.deepEqual(model.sent, [{ action: "forget_credential", name: "app_secret" }]);
  });

  test("is handed over through the clipboard only", async () => {
    const { model, find, press, root } = shown({ copied_secret: { name: "app_secret", label: "App Secret", unknown: "" } });
    press("copy-secret");
    assert.deepEqual(model.sent, [{ action: "copy_secret" }]);
    model.say({ kind: "secret", value: "0a1b2c3d" });
    await settle();
    assert.deepEqual(page.copied, ["0a1b2c3d"]);
    assert.equal(find('[data-action="copy-secret"]').textContent, "Copied");
    assert.equal(root.textContent.includes("0a1b2c3d"), false);
    page.wait(1500);
    assert.equal(find('[data-action="copy-secret"]').textContent, "Copy the App Secret");
  });

  test("is not offered if it is not known", () => {
    const { find, root } = shown({ copied_secret: { name: "app_secret", label: "App Secret", unknown: "Not known yet." } });
    assert.equal(find('[data-action="copy-secret"]'), null);
    assert.match(root.textContent, /App Secret: Not known yet\./);
  });
});

describe("a text to paste elsewhere", () => {
  const pastes = [{ label: "Valid OAuth Redirect URIs", value: "https://acme/callback" }];

  test("is copied by its button, which says so for a short time", async () => {
    const { find } = shown({ pastes });
    const button = find('[aria-label="Copy Valid OAuth Redirect URIs"]');
    button.click();
    await settle();
    assert.deepEqual(page.copied, ["https://acme/callback"]);
    assert.equal(button.textContent, "Copied");
    page.wait(1500);
    assert.equal(button.textContent, "Copy");
  });

  test("is selected if the browser refuses the clipboard", async () => {
    navigator.clipboard.writeText = async () => { throw new Error("NotAllowedError"); };
    const { find } = shown({ pastes });
    find('[aria-label="Copy Valid OAuth Redirect URIs"]').click();
    await settle();
    assert.equal(page.selected.textContent, "https://acme/callback");
    assert.equal(find('[aria-label="Copy Valid OAuth Redirect URIs"]').textContent, "Press Ctrl+C");
  });
});

describe("the display of a step", () => {
  test("has outcome, reason and each kind of note with its label", () => {
    const { root } = shown({ outcome: "failed", icon: "✗", label: "failed", reason: "Facebook refuses this App Secret.",
      remarks: ["r"], warnings: ["Copy it again."], changes: ["c"], limits: ["That it is yours."] });
    assert.equal(root.dataset.outcome, "failed");
    assert.equal(root.querySelector(".rb-badge").textContent, "✗ failed");
    assert.match(root.querySelector(".rb-reason").textContent, /Facebook refuses this App Secret\./);
    assert.match(root.querySelector(".rb-reason").textContent, /Warning: Copy it again\.$/);
    const found = root.querySelector('[data-fold="found"]');
    assert.deepEqual(found.querySelectorAll("li").map((one) => one.textContent), ["Note: r", "Changed: c", "Not proven: That it is yours."]);
    assert.equal(found.hidden, false);
  });

  test("has title, place, and what to do: several acts as a numbered list", () => {
    const { model, root } = shown({ acts: ["Press **Save**.", "Copy the *ID*."] });
    assert.deepEqual(root.querySelectorAll("h2").map((one) => one.textContent), ["App ID and App Secret"]);
    assert.match(root.querySelector(".rb-fold").textContent, /^Step 13 · Sign-in/);
    const acts = root.querySelector(".rb-do");
    assert.deepEqual(acts.querySelectorAll("li").map((one) => one.textContent), ["Press Save.", "Copy the ID."]);
    assert.deepEqual(acts.querySelectorAll("b").map((one) => one.textContent), ["Save"]);
    model.show({ acts: ["Open it."] });
    assert.deepEqual([acts.querySelectorAll("li").length, acts.textContent], [0, "Open it."]);
  });

  test("has the documented text in a fold, with its source", () => {
    const { root } = shown({ prose: { title: "Documented step 6", paragraphs: ["One **word**.", "Two."], source: "Source: https://a.example/b." } });
    const fold = root.querySelector('[data-fold="prose"]');
    assert.equal(fold.querySelector("summary").textContent, "Documented step 6");
    assert.deepEqual(fold.querySelectorAll("p").map((one) => one.textContent), ["One word.", "Two.", "Source: https://a.example/b."]);
    assert.equal(fold.querySelector("a").href, "https://a.example/b");  });

  test("says by how much others are late, and what to do about it", () => {
    const { root } = shown({ overdue: "1 day overdue", overdue_act: "Read every result." });
    assert.match(root.querySelector(".rb-reason").textContent, /1 day overdue\. Read every result\.$/);
  });

  test("has tables with a caption, column headings and row headings", () => {
    const { root } = shown({ tables: [{ caption: "Pages", columns: ["ID", "Name"], rows: [["1", "One"], ["2", "Two"]] }] });
    const texts = (selector) => root.querySelectorAll(selector).map((one) => one.textContent);
    assert.deepEqual(texts("caption"), ["Pages"]);
    assert.deepEqual(texts('th[scope="col"]'), ["ID", "Name"]);
    assert.deepEqual(texts('th[scope="row"]'), ["1", "2"]);
    assert.deepEqual(texts("td"), ["One", "Two"]);
    assert.equal(root.querySelector('[role="group"][tabindex="0"]').getAttribute("aria-label"), "Pages");
  });

  test("has each request and answer in a fold, which stays open once it is opened", () => {
    const exchanges = [503, 503, 200].map((status) => ({ line: "GET https://x/y", status: `${status}`, milliseconds: 7,
      trace: status === 200 ? "T1" : "", sent_on: "noon", detail: "the detail" }));
    const { model, root } = shown({ exchanges, history: [{ at: "noon", event: "checked (a: verified)" }] });
    assert.deepEqual(folds(root), ["Requests and responses", "GET https://x/y → 503, 7 ms, noon",
      "GET https://x/y → 503, 7 ms, noon", "GET https://x/y → 200, 7 ms, trace T1, noon", "History"]);
    assert.match(root.textContent, /noon checked \(a: verified\)/);
    assert.ok(root.querySelector('[data-fold="history"]').closest(".rb-menu"));
    const fold = root.querySelector('[data-fold="history"]');
    fold.open = true;
    fold.dispatch("toggle");
    model.show({ history: [], exchanges: [] });
    model.show({ history: [{ at: "one", event: "skipped" }] });
    assert.equal(root.querySelector('[data-fold="history"]').getAttribute("open"), "");
  });

  test("has what each error means in a fold, and says which was seen", () => {
    const error = (title, seen) => ({ title, seen, meaning: `${title} means this.`, causes: ["One <b>cause</b>."],
      advice: "Do that.", source: "https://x/y" });
    const { root } = shown({ known_errors: [error("URL Blocked", true), error("App Not Setup", false)] });
    assert.deepEqual(folds(root), ["Errors at this step", "URL Blocked (seen here)", "App Not Setup", "History"]);
    const fold = root.querySelector('[data-fold="known-error-URL Blocked"]');
    assert.equal(fold.getAttribute("open"), null);
    assert.match(fold.textContent, /URL Blocked means this\.One <b>cause<\/b>\.What to do: Do that\.Source: https:/);
    assert.equal(fold.closest(".rb-menu"), null);
    page = newPage();
    assert.deepEqual(folds(shown({ known_errors: [] }).root), ["History"]);
  });

  test("has errors that were not seen here in the menu", () => {
    const error = { title: "URL Blocked", seen: false, meaning: "So.", causes: [], advice: "Do that.", source: "https://x/y" };
    const { model, root } = shown({ known_errors: [error] });
    const isInMenu = () => Boolean(root.querySelector('[data-fold="known-errors"]').closest(".rb-menu"));
    assert.equal(isInMenu(), true);
    model.show({ known_errors: [{ ...error, seen: true }] });
    assert.deepEqual([isInMenu(), root.querySelectorAll('[data-fold="known-errors"]').length], [false, 1]);
  });

  test("has the texts for App Review in a fold, each with a button that copies it", () => {
    const permissions = [{ name: "ads_read", usage: "Acme <b>reads</b> ads.", calls: [{ request: "GET /me/adaccounts" }], reasons: [{ name: "leads", why: "why" }] },
      { name: "email", usage: "‹What›", calls: [], reasons: [] }];
    const kit = { review: "Facebook’s App Review", warnings: ["Look here."], about: ["One.", "Two."], permissions, rules: ["Sign out."], scenes: [{ shows: "A login.", caption: "Log in" }], reviewer: ["Open it."], prepare_for: "The renewal", prepare: [{ name: "Connection", text: "it is verified." }] };
    const { root } = shown({ kit });
    assert.deepEqual(folds(root), ["Texts and screencast script", "About the app", "ads_read", "email",
      "Recording", "Steps for the reviewer", "The renewal", "History"]);
    const fold = root.querySelector('[data-fold="kit-ads_read"]');
    assert.match(fold.textContent, /Acme <b>reads<\/b> ads\.CopyNeeded by GET \/me\/adaccountsAsked for by leads: why\./);
    assert.equal(root.querySelectorAll("button[data-copy]").length, 3);
    assert.match(root.querySelector('[data-fold="kit"]').textContent, /Look here\./);
    assert.equal(root.querySelector('[data-fold="kit"]').closest(".rb-menu"), null);
    page = newPage();
    assert.deepEqual(folds(shown({ kit: null }).root), ["History"]);
  });

  test("has Save as soon as a field was changed, until that is taken; it does not check", () => {
    for (const canCheck of [true, false]) {
      page = newPage();
      const { model, root, type, press } = shown({ can_check: canCheck, actions: { primary: "attest", other: "", again: "", menu: ["skip"] } });
      const save = () => root.querySelectorAll('[data-action="save"]').map((button) => button.textContent);
      assert.deepEqual(save(), []);
      type("app_id", "123456789012345");
      assert.deepEqual(save(), ["Save"]);
      press("save");
      assert.deepEqual(model.sent, [{ action: "save", inputs: { app_id: "123456789012345" } }]);
      model.show({ taken: 1, finished: 1 });
      assert.deepEqual(save(), []);
    }
  });

  test("saves by Enter where a check is not possible, or would spend something", () => {
    for (const changes of [{ can_check: false }, { side_effect: "It creates a link." }]) {
      page = newPage();
      const { model, field, type } = shown(changes);
      type("app_id", "1");
      field("app_id").dispatch("keydown", { key: "Enter" });
      assert.equal(model.sent[0].action, "save");
    }
  });

  test("has Check in sight where a text says to check again", () => {
    const { root } = shown({ actions: { primary: "open", other: "attest", again: "check", menu: [] }, links: [{ label: "App", url: "https://d.example/" }] });
    assert.equal(root.querySelector('[data-action="check"]').closest(".rb-menu"), null);
  });

  test("names what was typed and is not saved: fields and addresses", () => {
    const { model, root, field, type, press } = shown({ needs_consent: true });
    const unsaved = () => root.dataset.unsaved;
    assert.equal(unsaved(), undefined);
    type("app_id", "1");
    assert.equal(unsaved(), "13 (App ID)");
    press("check");
    model.show({ taken: 1, finished: 1 });
    assert.equal(unsaved(), undefined);
    field("redirect").value = "https://acme/callback?code=AQ";
    field("redirect").dispatch("input");
    assert.equal(unsaved(), "13 (Address to paste)");
    press("redirect");
    assert.equal(unsaved(), undefined);
  });

  test("uses a value that was warned of only after Use it anyway; another value is warned of again", () => {
    const { model, root, find, field, type, press } = shown();
    const anyway = () => root.querySelectorAll("[data-anyway]").filter((button) => !button.closest("[hidden]"));
    type("app_id", "1");
    assert.equal(anyway().length, 0);
    press("check");
    model.show({ taken: 1, finished: 1, refused: [{ input: "app_id", doubt: "Facebook refuses such names." }] });
    assert.deepEqual([field("app_id").value, anyway().length, find(".rb-doubt").textContent],
      ["1", 1, "Facebook refuses such names. Use it anyway"]);
    anyway()[0].click();
    assert.deepEqual(model.sent.at(-1), { action: "save", inputs: { app_id: "1" }, sure: ["app_id"] });
    model.show({ taken: 2, finished: 2, refused: [] });
    assert.equal(anyway().length, 0);
    type("app_id", "2");
    page.wait(200);
    model.say({ kind: "problem", name: "app_id", problem: "", doubt: "Facebook refuses such names.", effect: "" });
    assert.equal(anyway().length, 1);
    press("check");
    assert.equal(model.sent.at(-1).sure, undefined);
  });

  test("shows a warning of a value before anything was checked", () => {
    const { root } = shown({ warnings: ["Permissions: no such name."] });
    assert.match(root.querySelector(".rb-reason").textContent, /Warning: Permissions: no such name\./);
  });

  test("has its id and kind under History only", () => {
    const { root } = shown({ identity: "fb-13 · ask" });
    assert.match(root.querySelector('[data-fold="history"]').textContent, /fb-13 · ask/);
    assert.equal(root.textContent.split("fb-13").length, 2);
  });

  test("has only the reason as long as there is no view", () => {
    const model = new Model({ message: "The journal cannot be read.", advice: "Restore it." });
    const stop = script.render({ model, el: page.body });
    assert.match(page.body.textContent, /The journal cannot be read\.Next: Restore it\./);
    model.show(stepView());
    assert.equal(page.body.querySelectorAll("section").length, 1);
    assert.doesNotMatch(page.body.textContent, /cannot be read/);
    stop();
  });
});

describe("the actions of a step", () => {
  const actions = (primary, other = "", menu = []) => ({ actions: { primary, other, menu } });
  const names = (nodes) => nodes.map((node) => node.dataset.action);
  const main = (root) => names(root.querySelectorAll(".rb-main").filter((node) => !node.closest("[hidden]")));

  test("are what is next, one beside it, and the rest in the menu; none is there twice", () => {
    const { model, root } = shown(actions("consent", "check", ["comment", "skip"]));
    const menu = root.querySelector(".rb-menu");
    const all = () => root.querySelectorAll("[data-action]").filter((node) => !node.closest("[hidden]") && !node.closest(".rb-form"))
      .filter((node) => node.dataset.action !== "fold");
    const split = () => [names(all().filter((node) => !menu.contains(node))), names(all().filter((node) => menu.contains(node)))];
    assert.deepEqual(split(), [["consent", "check"], ["comment", "skip"]]);
    model.show(actions("", "check", ["attest", "comment"]));
    assert.deepEqual(split(), [["check"], ["attest", "comment"]]);
    model.show(actions("", "", ["comment"]));
    assert.deepEqual(split(), [[], ["comment"]]);
    model.show({ ...actions("attest", "link", ["comment"]), needs_another: true });
    assert.deepEqual(split(), [["link"], ["comment"]]);
  });

  test("have one blue button, also in a step that a person opened and that is not next", () => {
    const { model, root } = shown();
    assert.deepEqual(main(root), ["check"]);
    model.show(actions("attest", "check"));
    assert.deepEqual(main(root), ["confirm-attest"]);
    model.show(actions("", "check"));
    assert.deepEqual(main(root), []);
    model.show({ ...actions("check"), is_next: false });
    assert.deepEqual(main(root), ["check"]);
  });

  test("have one blue button also while a form is open, or the consent page is offered", () => {
    const { model, root } = shown(actions("check", "", ["comment", "skip"]));
    const toggle = () => root.querySelector('[data-form="skip"]').click();
    toggle();
    assert.deepEqual(main(root), ["confirm-skip"]);
    toggle();
    assert.deepEqual(main(root), ["check"]);
    model.show(actions("consent", "check"));
    assert.deepEqual(main(root), ["consent"]);
    model.show({ consent_paste_url: "https://d.example/dialog" });
    assert.deepEqual(main(root), []);
  });

  test("begin with the step's page where the person must go there, and do not repeat its link", () => {
    const links = [{ label: "App Review", url: "https://d.example/apps/7" }, { label: "Help", url: "https://h.example/" }];
    const { model, root } = shown({ links, ...actions("open", "attest") });
    const hrefs = () => root.querySelectorAll("a").filter((link) => link.href && !link.closest("[hidden]")).map((link) => [link.textContent, link.href]);
    const help = ["Help ↗", "https://h.example/"];
    assert.deepEqual(hrefs(), [help, ["Open App Review ↗", "https://d.example/apps/7"]]);
    assert.deepEqual(main(root), ["open"]);
    model.show(actions("check", "attest"));
    assert.deepEqual(hrefs(), [["App Review ↗", "https://d.example/apps/7"], help]);
  });

  test("tell the kernel once the step's page was opened: what comes after it is blue", () => {
    const links = [{ label: "App Review", url: "https://d.example/apps/7" }];
    const { model, find } = shown({ links, ...actions("open", "check") });
    find('a[data-action="open"]').click();
    page.wait(1);
    assert.deepEqual(model.sent, [{ action: "opened" }]);
  });

  test("say what a check uses up beside its button", () => {
    const { model, root } = shown({ side_effect: "It creates a link." });
    assert.equal(root.querySelector('[data-action="check"]').parentElement.textContent, "CheckI have done thisIt creates a link.");
    model.show(actions("attest", "", ["check"]));
    assert.match(root.querySelector(".rb-menu").textContent, /Check: It creates a link\./);
  });

  test("begin with Check as soon as a value was typed, until it is accepted", () => {
    const { model, root, type, press } = shown(actions("attest", "", ["check"]));
    assert.deepEqual(main(root), ["confirm-attest"]);
    type("app_id", "1");
    assert.deepEqual(main(root), ["check"]);
    assert.equal(root.querySelectorAll('[data-action="check"]').length, 1);
    press("check");
    model.show({ taken: 1 });
    assert.deepEqual(main(root), ["confirm-attest"]);
    page = newPage();
    const saved = shown({ can_check: false, ...actions("attest") });
    saved.type("app_id", "1");
    assert.deepEqual(main(saved.root), ["save"]);
  });

  test("ask a second person by a link, where there is one", () => {
    const { model, find, press } = shown({ needs_another: true, ...actions("attest", "link") });
    press("link");
    assert.deepEqual(model.sent, [{ action: "link" }]);
    model.say({ kind: "link", path: "runbook/confirm/x" });
    assert.equal(find("[data-link]").textContent, "https://lab.example/runbook/confirm/x");
    assert.equal(find("[data-link]").closest("[hidden]"), null);
    model.show({ needs_another: false });
    assert.ok(find("[data-link]").closest("[hidden]"));
  });
});

describe("consent", () => {
  test("is requested; its links are shown if there are any", () => {
    const { model, find, press } = shown({ needs_consent: true, actions: { primary: "consent", other: "check", menu: [] } });
    assert.equal(find('[data-action="consent"]').textContent, "Sign in with Facebook");
    press("consent");
    assert.deepEqual(model.sent, [{ action: "consent" }]);
    const form = find("[data-consent]").closest(".rb-form");
    assert.equal(form.hidden, true);
    model.show({ consent_url: "http://here/", consent_paste_url: "" });
    assert.equal(form.hidden, false);
    assert.equal(find("[data-consent]").href, "http://here/");
    assert.equal(find("[data-consent]").closest(".rb-field-note").hidden, false);
    assert.equal(find("[data-consent-paste]").closest(".rb-row").parentElement.hidden, true);
    model.show({ consent_url: "", consent_paste_url: "http://paste/?redirect_uri=https%3A%2F%2Facme%2Fcallback" });
    assert.equal(find("[data-consent]").closest(".rb-field-note").hidden, true);
    assert.equal(find("[data-consent]").getAttribute("href"), null);
    assert.equal(find("[data-consent-paste]").href, "http://paste/?redirect_uri=https%3A%2F%2Facme%2Fcallback");
    assert.match(form.textContent, /the browser opens https:\/\/acme\/callback, which may show an error/);
    assert.deepEqual([form.hidden, find("[data-consent-paste]").closest(".rb-row").parentElement.hidden], [false, false]);
  });

  test("has links to copy for a private window or for somebody else", async () => {
    const { model, root, find } = shown({ needs_consent: true, consent_url: "http://here/", consent_paste_url: "http://paste/" });
    for (const button of root.querySelectorAll('[data-copy="consent"]')) button.click();
    await settle();
    assert.deepEqual(page.copied, ["http://paste/", "http://here/"]);
    navigator.clipboard.writeText = async () => { throw new Error("NotAllowedError"); };
    model.show({ consent_paste_url: "http://paste/?state=2" });
    assert.equal(find("[data-address]").hidden, true);
    find('[data-copy="consent"]').click();
    await settle();
    assert.equal(page.selected.textContent, "http://paste/?state=2");
    assert.equal(find("[data-address]").hidden, false);
  });

  test("sends a pasted address and removes it from the page, because it has a code", () => {
    const { model, field, press } = shown({ needs_consent: true, consent_paste_url: "http://paste/" });
    field("redirect").value = "https://acme/callback?code=AQ";
    press("redirect");
    assert.deepEqual(model.sent, [{ action: "redirect", url: "https://acme/callback?code=AQ" }]);
    assert.equal(field("redirect").value, "");
  });
});

describe("during an action and after it", () => {
  test("the panel is busy, its buttons are held, and the seconds are shown", () => {
    const { model, root, live, press } = shown();
    model.show({ busy_since: Date.now() / 1000 - 5 });
    page.wait(250);
    assert.equal(root.getAttribute("aria-busy"), "true");
    assert.equal(live.textContent, "Working… 5 s");
    press("check");
    assert.deepEqual(model.sent, []);
    model.show({ busy_since: 0, finished: 1, message: "Verified.", advice: "Go on." });
    assert.equal(root.getAttribute("aria-busy"), "false");
    assert.equal(root.dataset.finished, "1");
    assert.equal(live.textContent, "Verified.Next: Go on.");
    press("check");
    assert.equal(model.sent.length, 1);
  });

  test("a change from elsewhere is announced once", () => {
    const { model, live } = shown();
    model.show({ outcome: "attested", label: "attested" });
    assert.equal(live.textContent, "Now attested.");
    const before = writes.length;
    model.show({ history: [{ at: "noon", event: "confirmed" }] });
    assert.equal(live.textContent, "Now attested.");
    assert.equal(writes.slice(before).includes("Now attested."), false);
    model.show({ finished: 1, message: "Recorded." });
    assert.equal(live.textContent, "Recorded.");
    model.show({ outcome: "not_run", label: "to do" });
    assert.equal(live.textContent, "Now to do.");
    model.show({ finished: 2 });
    assert.equal(live.textContent, "Recorded.");
  });

  test("the outcome of an own action is not announced twice", () => {
    const { model, live } = shown();
    model.show({ busy_since: 1 });
    model.show({ busy_since: 0, finished: 1, outcome: "verified", label: "verified", message: "Verified." });
    assert.equal(live.textContent, "Verified.");
  });

  const FAILED = { outcome: "failed", icon: "✘", label: "failed", checked_on: "noon", reason: "Facebook does not know it.", to_do: "Compare both." };

  test("what a check found and what to do is one paragraph, which is told once", () => {
    const { model, root, live } = shown();
    model.show({ busy_since: 1 });
    model.show({ busy_since: 0, finished: 1, result: "Checked.", ...FAILED, warnings: ["It ends soon."], limits: ["That it is yours."] });
    assert.deepEqual(root.querySelectorAll(".rb-says").map((says) => live.contains(says)), [true]);
    const [paragraph, ...others] = live.querySelectorAll("p");
    assert.equal(others.length, 0);
    assert.deepEqual(live.querySelectorAll(".rb-message"), []);
    assert.equal(paragraph.textContent, "failed: Facebook does not know it. Compare both. It ends soon. Not proven: That it is yours.");
    assert.deepEqual(paragraph.querySelectorAll(".rb-heard").map((heard) => heard.textContent), ["failed: ", " It ends soon. Not proven: That it is yours."]);
    model.show({ since: "today" });
    assert.equal(live.querySelector("p"), paragraph); // nothing is told again
  });

  test("longer advice is in the details of the check", () => {
    const { root } = shown({ ...FAILED, more_to_do: "If you saw the error at a sign-in, see step 15." });
    assert.equal(root.querySelector(".rb-says").textContent, "✘Facebook does not know it. Compare both.");
    assert.deepEqual(root.querySelector(".rb-notes").querySelectorAll("li").map((item) => item.textContent), ["To do: If you saw the error at a sign-in, see step 15."]);
  });

  test("what was found earlier stands there untold, also beside an error of the last action", () => {
    const { model, root, live } = shown(FAILED);
    const texts = () => root.querySelectorAll(".rb-says").map((says) => [live.contains(says), says.textContent]);
    assert.deepEqual([texts(), live.textContent], [[[false, "✘Facebook does not know it. Compare both."]], ""]);
    model.show({ is_error: true, finished: 1, message: "The App ID is no number.", advice: "Correct it." });
    assert.deepEqual([texts(), live.textContent], [[[false, "✘Facebook does not know it. Compare both."]], "The App ID is no number.Next: Correct it."]);
    model.show({ busy_since: 1, is_error: false, message: "", advice: "" });
    assert.deepEqual([texts().length, live.textContent], [1, "Working…"]);
  });

  test("what else an action has done is said below what was found", () => {
    const { model, live } = shown();
    model.show({ finished: 1, ...FAILED, result: "Checked.", message: "Next, checked automatically: Read leads." });
    assert.equal(live.querySelector(".rb-message").textContent, "Next, checked automatically: Read leads.");
    model.show({ finished: 2, reason: "", message: "" }); // nothing was found that could be said
    assert.equal(live.textContent, "Checked.");
  });

  test("what is verified in part stands at its button, and is heard with the result", () => {
    const { model, root, live } = shown();
    model.show({ finished: 1, outcome: "verified", label: "verified", checked_on: "noon", in_part: true, result: "Checked.",
      reason: "The list has it.", limits: ["That it is saved."] });
    assert.deepEqual([live.querySelector(".rb-message").textContent, root.querySelector(".rb-says")], ["Checked.", null]);
    assert.equal(live.querySelector(".rb-heard").textContent, " verified: The list has it. Not proven: That it is saved.");
  });

  test("a field appears when its value is wanted, and stays once a person typed into it", () => {
    const { model, root, type } = shown();
    const before = model.get("view").inputs;
    const wanted = { ...before[0], name: "other", label: "Other" };
    model.show({ inputs: [...before, wanted] });
    assert.equal(root.querySelectorAll('input[data-name="other"]').length, 1);
    model.show({ inputs: before });
    assert.equal(root.querySelectorAll('input[data-name="other"]').length, 0);
    model.show({ inputs: [...before, wanted] });
    type("other", "x");
    model.show({ inputs: before });
    assert.equal(root.querySelectorAll('input[data-name="other"]').length, 1);
  });

  test("of two wanted values, the accepted one's field goes with the focus kept; the refused one's stays", () => {
    const { model, root, field, press, type } = shown();
    const before = model.get("view").inputs;
    const [first, second] = ["one", "two"].map((name) => ({ ...before[0], name, label: name }));
    model.show({ inputs: [...before, first, second] });
    type("one", "right");
    type("two", "wrong");
    field("one").focus();
    press("check");
    model.show({ taken: 1, refused: [{ input: "two", problem: "too short" }], inputs: [...before, second] });
    assert.equal(root.querySelectorAll('input[data-name="one"]').length, 0);
    assert.equal(document.activeElement, root);
    assert.deepEqual([field("two").value, field("two").getAttribute("aria-invalid")], ["wrong", "true"]);
  });

  test("Enter checks, but not during composition; an emptied field is sent empty", () => {
    const { model, field, type } = shown();
    type("app_id", "");
    field("app_id").dispatch("keydown", { key: "Enter", isComposing: true });
    assert.deepEqual(model.sent.filter(({ action }) => action === "check"), []);
    const event = field("app_id").dispatch("keydown", { key: "Enter" });
    assert.equal(event.isPrevented, true);
    assert.equal(model.sent.find(({ action }) => action === "check").inputs.app_id, "");
  });

  test("a watched step says when it is checked again, and does not announce each new time", () => {
    const { model, root, live } = shown({ next_refresh: "14:45 UTC" });
    const [, watched] = root.querySelectorAll(".rb-message");
    assert.match(watched.textContent, /^The next check is at 14:45 UTC\. .* You can close everything and come back\.$/);
    model.show({ next_refresh: "15:00 UTC" });
    assert.match(watched.textContent, /^The next check is at 15:00 UTC\./);
    assert.deepEqual([watched.hidden, live.textContent], [false, ""]);
    for (const changes of [{ busy_since: 1 }, { busy_since: 0, next_refresh: "" }]) {
      model.show(changes);
      assert.equal(watched.hidden, true);
    }
  });
});

describe("without the kernel", () => {
  test("a panel says what to do, announces it only if it is used, and keeps the input", () => {
    const { model, root, field, live, press, type } = shown();
    type("app_id", "123456789012345");
    model.status("restarting");
    const gone = root.querySelectorAll(".rb-message")[0];
    assert.deepEqual([gone.textContent, gone.hidden, live.textContent], [AGAIN, false, ""]);
    press("check");
    assert.deepEqual([gone.hidden, live.textContent], [true, AGAIN]);
    assert.equal(root.getAttribute("aria-busy"), "false");
    assert.equal(field("app_id").value, "123456789012345");
    assert.deepEqual(model.sent, []);
  });

  test("a panel is not busy, even if its view says so: its buttons can be pressed", () => {
    const { model, root, live, press } = shown({ busy_since: 1 });
    model.status("dead");
    assert.equal(root.getAttribute("aria-busy"), "false");
    press("check");
    assert.equal(live.textContent, AGAIN);
  });

  test("a closed channel counts as a lost kernel", () => {
    const { model, live, press } = shown();
    model.isGone = true;
    press("check");
    assert.equal(live.textContent, AGAIN);
  });

  test("a panel sends nothing to a server that is gone, keeps what was typed, and works again with it", () => {
    const { model, root, field, live, press, type } = shown();
    const hear = (state) => {
      if (state) document.documentElement.dataset.runbookServer = state;
      else delete document.documentElement.dataset.runbookServer;
      document.dispatchEvent(new CustomEvent("runbook:server"));
    };
    type("app_id", "123456789012345");
    hear("stopped");
    assert.ok(root.querySelectorAll("button").filter((one) => !one.classList.contains("rb-fold"))
      .every((one) => one.getAttribute("aria-disabled") === "true"));
    press("check");
    field("app_id").dispatch("keydown", { key: "Enter" });
    page.wait(200);
    assert.deepEqual([model.sent, live.textContent, field("app_id").value], [[], "", "123456789012345"]);
    hear("");
    press("check");
    assert.equal(model.sent.length, 1);
  });

  test("a panel removes its timers and listeners when it is disposed", () => {
    const { model, stop } = shown();
    const listeners = () => [...page.own.values()].map((hears) => hears.size);
    assert.deepEqual([page.timers.size, ...listeners()], [1, 1, 1, 1, 1]);
    stop();
    assert.deepEqual([page.timers.size, model.heard.size, ...listeners()], [0, 0, 0, 0, 0, 0]);
  });
});
