import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { load, Model, newPage, put, settle } from "./page.mjs";
import { headerView } from "./views.mjs";

const { default: script, setFold, setPerson } = await load("dom.js", "header.js");

let page;
beforeEach(() => { page = newPage(); });

function shown(changes = {}) {
  const model = new Model(headerView(changes));
  const stop = script.render({ model, el: put("div", { class: "jp-Cell" }) });
  const root = page.body.querySelector(".rb-header");
  return { model, stop, root, link: root.querySelector("a"), live: root.querySelectorAll("[aria-live]")[1],
    isShown: (text) => root.querySelectorAll("strong").some((one) => one.textContent.startsWith(text) && !one.closest("[hidden]")) };
}

describe("the header", () => {
  test("shows the tenant, whether it is practice, and the progress", () => {
    const { model, root } = shown();
    assert.match(root.textContent, /SANDBOX3 of 21 done20 more stepsProgress/);
    assert.match(root.textContent, /Facebook Marketing API connectortenant acme/);
    assert.match(root.textContent, /3 of 21 done · ✓\s3\sattested/);
    const bar = root.querySelector('[role="progressbar"]');
    assert.deepEqual(["aria-valuenow", "aria-valuemax", "aria-valuetext"].map((name) => bar.getAttribute(name)),
      ["3", "21", "3 of 21 steps done"]);
    assert.equal(Math.round(parseFloat(bar.firstChild.style.width)), 14);
    model.show({ sandbox: false });
    assert.match(root.textContent, /^Next: .*LIVE/);
    assert.equal(root.querySelector(".rb-badge").classList.contains("rb-sandbox"), false);
  });

  test("names who acts here: the server's user, or whoever typed a name on this page, or nobody", () => {
    const { model, root } = shown();
    const names = () => root.querySelectorAll(".rb-name").map((node) => node.textContent);
    assert.deepEqual(names(), ["tenant acme", ""]);
    model.show({ user: "ann" });
    assert.deepEqual(names(), ["tenant acme", "· ann"]);
    setPerson("Ada");
    assert.deepEqual(names(), ["tenant acme", "· Ada"]);
  });

  test("links to the next step; the link keeps the focus when the step changes", () => {
    const { model, root, link } = shown();
    assert.match(root.textContent, /^Next: 4 · Create App\. Do it\./);
    assert.equal(link.href, "#runbook-fb-04");
    link.focus();
    model.show({ next: { id: "fb-05", number: 5, title: "Confirm" } });
    assert.equal(document.activeElement, link);
    assert.deepEqual([link.dataset.next, link.textContent], ["fb-05", "5 · Confirm"]);
  });

  test("moves the focus to the next step's panel, or says what to do first", () => {
    const { link, live } = shown();
    const event = link.click();
    assert.equal(event.isPrevented, true);
    assert.match(live.textContent, /Press Start at the top of the notebook first\./);
    const panel = put("section", { id: "runbook-fb-04" });
    link.click();
    assert.equal(document.activeElement, panel);
    assert.doesNotMatch(live.textContent, /first\./);
  });

  test("names the package that brings the connector, if it is not the runbook's own", () => {
    const { model, root } = shown();
    assert.doesNotMatch(root.textContent, /not the runbook's own/);
    model.show({ package: "package runbook-plainmail 1.0" });
    assert.match(root.textContent, /not the runbook's own: package runbook-plainmail 1\.0\./);
  });

  test("lists every step with who and since when, marks the next, and leads to each", () => {
    const who = "Ada, 5 Jan 2026";
    const steps = [{ ...headerView().steps[0], id: "fb-03", number: "3", title: "Open My Apps", who }, headerView().steps[0]];
    const { root } = shown({ steps, others: "beta", sealed: "Sealed today: complete." });
    const [before, next] = root.querySelectorAll("li");
    assert.match(before.textContent, /^3 · Open My Apps○ to doAda, 5 Jan 2026$/);
    assert.equal(next.getAttribute("aria-current"), "step");
    assert.match(root.textContent, /Other tenants: beta\. Open one with: runbook lab --tenant NAME/);
    assert.match(root.textContent, /Sealed today: complete\./);
    const panel = put("section", { id: "runbook-fb-03" });
    before.querySelector("a").click();
    assert.equal(document.activeElement, panel);
  });

  test("checks everything once, and says how far it is", () => {
    const { model, root, live } = shown();
    const button = root.querySelector('[data-action="check-all"]');
    button.click();
    model.show({ busy_since: 1, message: "Checking 1 of 2: Create App" });
    button.click();
    assert.deepEqual(model.sent, [{ action: "check_all" }]);
    assert.match(live.textContent, /Checking 1 of 2: Create App/);
    model.show({ busy_since: 0, message: "Checked 2 steps." });
    assert.match(live.textContent, /Checked 2 steps\.$/);
  });

  test("asks on top for a credential that the page has forgotten, and leads to its field", () => {
    const { root, model } = shown({ forgotten: [{ ...headerView().steps[0], credential: "App Secret" }] });
    assert.match(root.textContent, /This page does not keep the App Secret: enter it again, or save it\. Step /);
    model.show({ forgotten: [] });
    assert.doesNotMatch(root.querySelector(".rb-said").textContent, /App Secret/);
  });

  test("has one step in sight, until the others are wanted", () => {
    const { model, root } = shown();
    const more = root.querySelector('[data-action="steps"]');
    assert.equal(more.textContent, `${model.get("view").total - 1} more steps`);
    more.click();
    assert.deepEqual([document.documentElement.dataset.runbookSteps, more.textContent], ["all", "Fewer steps"]);
    more.click();
    assert.equal(document.documentElement.dataset.runbookSteps, "one");
  });

  const planned = { gates: [{ id: "fb-12", number: "12", title: "Submit", outcome: "waiting", icon: "◔", label: "waiting", since: "", usual: "", after: "" }] };

  // A page whose notebook says what to have at hand.
  const begin = (ticked = [], hasBegun = false) => ({ plan: "Plan for 6 to 10 weeks.", has_begun: hasBegun,
    ready: ["an icon", "a person"].map((text) => ({ text, role: "web", thing: text, is_ticked: ticked.includes(text) })) });
  const withBegin = (changes = {}) => {
    const cell = put("div", { class: "jp-Cell" });
    put("h2", {}, cell, "Before you begin¶");
    const all = shown({ begin: begin(), settled: 0, ...changes });
    const card = () => cell.querySelector(".rb-card");
    return { ...all, cell, card, isShown: () => cell.dataset.begin === "true",
      boxes: () => card().querySelectorAll("input"), have: () => card().querySelector('[data-action="begin-steps"]').click() };
  };

  test("shows what to have at hand until the person has it, or a step is done; later by its button", () => {
    const { model, root, card, isShown, have } = withBegin();
    assert.equal(isShown(), true);
    assert.match(card().textContent, /^Connect your Facebook app to CyclrPlan for 6 to 10 weeks\.BeginWho does what.*web an icon/);
    have();
    assert.equal(isShown(), false);
    root.querySelector('[data-action="begin"]').click();
    assert.deepEqual([isShown(), card().scrolled, document.activeElement === card()], [true, 1, true]);
    model.show({ settled: 1 });
    assert.equal(isShown(), true);
    have();
    assert.equal(isShown(), false);
    page = newPage();
    const begun = withBegin();
    begun.model.show({ settled: 1 });
    assert.equal(begun.isShown(), false);
    page = newPage();
    assert.equal(withBegin({ settled: 1 }).isShown(), false);
    page = newPage();
    assert.equal(shown().root.querySelector('[data-action="begin"]').hidden, true);
  });

  test("has the kernel keep what is ticked, and that the person has begun", () => {
    const { model, boxes, have, isShown } = withBegin();
    const ticked = () => boxes().map((box) => box.checked);
    const [icon, person] = boxes();
    icon.checked = true;
    icon.dispatch("change");
    person.checked = true;
    person.dispatch("change");
    assert.deepEqual(model.sent, [{ action: "tick", text: "an icon", is_ticked: true }, { action: "tick", text: "a person", is_ticked: true }]);
    model.show({ begin: begin(["an icon"]) }); // it has not heard of the second one yet
    assert.deepEqual(ticked(), [true, true]);
    model.show({ begin: begin(["an icon", "a person"]) });
    model.show({ begin: begin(["a person"]) }); // another page took the first one away
    assert.deepEqual([ticked(), boxes()[0] === icon], [[false, true], true]);
    have();
    assert.deepEqual([model.sent.at(-1), isShown()], [{ action: "begin" }, false]);
  });

  test("shows what another page has ticked or left", () => {
    const { model, boxes, isShown } = withBegin({ begin: begin(["a person"]) });
    assert.deepEqual([boxes().map((box) => box.checked), isShown()], [[false, true], true]);
    model.show({ begin: begin([], true) });
    assert.deepEqual([boxes().map((box) => box.checked), isShown()], [[false, false], false]);
    page = newPage();
    assert.equal(withBegin({ begin: begin([], true) }).isShown(), false);
  });

  test("leaves what to have at hand for a step, whichever way leads there", () => {
    const { link, isShown } = withBegin();
    put("section", { id: "runbook-fb-04" });
    link.click();
    assert.equal(isShown(), false);
  });

  test("has the decisions as chips with words and days behind Progress", () => {
    const chips = [{ step: "fb-05a", text: "5a Verify · 30 Nov ✓", state: "done" }, { step: "fb-12", text: "12 Review · by 22 Dec", state: "waiting" }];
    const { model, root } = withBegin({ forecast: { title: "1 of 2 decisions made", chips }, settled: 1 });
    const shownChips = (node) => node.querySelectorAll(".rb-chip").map((chip) => [chip.textContent, chip.dataset.state]);
    const expected = [["5a Verify · 30 Nov ✓", "done"], ["12 Review · by 22 Dec", "waiting"]];
    assert.deepEqual(shownChips(root.querySelector(".rb-list")), expected);
    model.show({ forecast: { title: "0 of 2 decisions made", chips: [] } });
    assert.deepEqual(shownChips(root), []);
  });

  test("is one line; behind Progress stands all else, until Escape", () => {
    const { root } = shown();
    const [top, , progress] = root.childNodes;
    assert.match(top.textContent, /^Next: 4 · Create App/);
    assert.equal(top.querySelectorAll('[role="progressbar"]').length, 1);
    const button = root.querySelector('[data-action="progress"]');
    const state = () => [progress.hidden, button.getAttribute("aria-expanded")];
    assert.deepEqual(state(), [true, "false"]);
    button.click();
    assert.deepEqual(state(), [false, "true"]);
    assert.ok(root.querySelector('[data-action="check-all"]').closest(".rb-list"));
    progress.dispatch("keydown", { key: "Escape" });
    assert.deepEqual([...state(), document.activeElement === button], [true, "false", true]);
  });

  test("offers to continue where what is next is not in sight", () => {
    const panel = put("section", { id: "runbook-fb-04", "data-open": "true" });
    put("section", { id: "runbook-fb-05" });
    const { root } = shown();
    const button = root.querySelector('[data-action="go-on"]');
    assert.equal(button.hidden, false);
    page.sight(true);
    assert.equal(button.hidden, true);
    page.sight(false);
    assert.equal(button.hidden, false);
    button.click();
    assert.equal(document.activeElement, panel);
    page.sight(true);
    setFold("fb-05", true); // before the panel itself has heard of it
    assert.equal(button.hidden, false);
  });

  test("links each step's number in what it says, and no other number", () => {
    const all = ["4", "9a", "10", "12"].map((number) => ({ ...headerView().steps[0], id: `fb-${number}`, number }));
    const message = "Checked 12 steps.\nNow failed: 9a, 10.\n10, 12: Facebook answered 4 times.\nNot checked: 4; 99 is not given.";
    const { root, live } = shown({ steps: all, message, gates: [{ ...planned.gates[0], after: "4, 9a" }] });
    const links = (node) => node.querySelectorAll("a").map((link) => [link.textContent, link.href]);
    assert.deepEqual(links(live.querySelector(".rb-message")), [["9a", "#runbook-fb-9a"], ["10", "#runbook-fb-10"],
      ["10", "#runbook-fb-10"], ["12", "#runbook-fb-12"], ["4", "#runbook-fb-4"]]);
    assert.equal(live.querySelector(".rb-message").textContent, message);
    assert.deepEqual(links(root.querySelectorAll("td").at(-1)), [["4", "#runbook-fb-4"], ["9a", "#runbook-fb-9a"]]);
    const panel = put("section", { id: "runbook-fb-9a" });
    links(live);
    live.querySelector(".rb-message").querySelector("a").click();
    assert.equal(document.activeElement, panel);
  });

  test("says that everything is done", () => {
    const { model, isShown } = shown();
    assert.deepEqual([isShown("Next:"), isShown("Every step is done.")], [true, false]);
    model.show({ next: null, settled: 21 });
    assert.equal(isShown("Next:"), false);
    assert.equal(isShown("Every step is done. Seal the evidence at the end of the notebook."), true);
  });

  test("lists what others decide in one table, and leads to each", () => {
    const gate = { id: "fb-12", number: "12", title: "Submit", outcome: "waiting", icon: "◔", label: "waiting",
      since: "28 Nov 2026", usual: "1 to 22 days", after: "" };
    const { model, root } = shown();
    root.querySelector('[data-action="progress"]').click();
    const table = root.querySelector("table");
    assert.ok(table.closest("[hidden]"));
    model.show({ gates: [gate, { ...gate, id: "fb-05a", number: "5a", since: "", after: "4, 5" }] });
    assert.equal(table.closest("[hidden]"), null);
    assert.equal(table.closest("details").querySelector("summary").textContent, "What Facebook decides");
    assert.deepEqual(root.querySelector("tbody").querySelectorAll("tr").map((row) => row.querySelectorAll("td").map((cell) => cell.textContent)),
      [["◔ waiting", "28 Nov 2026", "1 to 22 days", "–"], ["◔ waiting", "–", "1 to 22 days", "4, 5"]]);
    const panel = put("section", { id: "runbook-fb-05a" });
    root.querySelector("tbody").querySelectorAll("a")[1].click();
    assert.equal(document.activeElement, panel);
  });

  test("says for the app's page whether a credential would be lost", () => {
    const { model, root } = shown();
    assert.equal(root.dataset.unsaved, undefined);
    model.show({ unsaved: true });
    assert.equal(root.dataset.unsaved, "credentials");
  });

  test("announces that the kernel is gone", () => {
    const { model, live } = shown();
    model.status("restarting");
    assert.match(live.textContent, /The kernel was restarted: press Start at the top of the notebook\./);
  });

  test("shows only the reason if the journal cannot be read", () => {
    const { root, live } = shown({ title: "", next: null, message: "The journal cannot be read.", advice: "Restore it.", is_error: true });
    assert.equal(root.querySelector(".rb-known").hidden, true);
    assert.match(live.textContent, /The journal cannot be read\.Next: Restore it\./);
  });

  test("stays visible: its cell is sticky", () => {
    const { root } = shown();
    assert.equal(root.closest(".jp-Cell").classList.contains("rb-sticky"), true);
  });

  test("removes its listeners when it is disposed", () => {
    const { model, stop } = shown();
    stop();
    const listeners = [...page.own.values()].map((hears) => hears.size);
    assert.deepEqual([model.heard.size, page.timers.size, Math.max(...listeners)], [0, 0, 0]);
    assert.equal(page.body.querySelector(".rb-band"), null);
  });
});

describe("what is not saved", () => {
  const leave = () => {
    const event = { isHeld: false, preventDefault() { this.isHeld = true; } };
    for (const hear of page.own.get("beforeunload")) hear(event);
    return event.isHeld;
  };

  test("is asked about before the page is left, and only then", () => {
    shown();
    const panel = put("section", { class: "rb-panel" });
    assert.equal(leave(), false);
    panel.dataset.unsaved = "13 (App ID)";
    assert.equal(leave(), true);
  });

  test("is named after a crash, with what is kept", () => {
    const { model, live } = shown({ unsaved: true });
    put("section", { class: "rb-panel", "data-unsaved": "13 (App ID)" });
    put("section", { class: "rb-panel", "data-unsaved": "15 (Note)" });
    model.status("autorestarting");
    assert.match(live.textContent, /Everything that was recorded is kept\.\nLost: credentials .*\nNot saved, so copy it first: 13 \(App ID\); 15 \(Note\)\./);
    page = newPage();
    const { model: other, live: said } = shown();
    other.status("dead");
    assert.doesNotMatch(said.textContent, /Lost|Not saved/);
  });

  test("asks to load the app's page again, which has no Start", () => {
    put("div", { id: "rendered_cells" });
    const { model, live } = shown();
    model.status("dead");
    assert.match(live.textContent, /load this page again/);
    assert.doesNotMatch(live.textContent, /Start/);
  });
});

describe("the server", () => {
  // Lets one beat of the page pass.
  const beat = async () => { page.wait(1000); await settle(); };

  async function withServer(changes = {}) {
    const all = shown(changes);
    await settle();
    const band = page.body.querySelector(".rb-band");
    const button = all.root.querySelector('[data-action="check-all"]');
    return { ...all, band, button, isHeld: () => button.getAttribute("aria-disabled") === "true" };
  }

  for (const [name, server] of [["gone", null], ["stopped behind a proxy", { status: 503 }], ["stopped in JupyterHub", { status: 424 }]]) {
    test(`${name} is said once within two seconds, with how to start it, and every button is held`, async () => {
      const { band, isHeld, model, button } = await withServer();
      assert.deepEqual([band.hidden, isHeld()], [true, false]);
      page.server = server;
      await beat();
      assert.deepEqual([band.hidden, isHeld(), band.getAttribute("role")], [false, true, "alert"]);
      assert.match(band.textContent, /has stopped.*runbook lab --tenant acme.*Saved input is not lost/);
      button.click();
      assert.deepEqual(model.sent, []);
      const first = band.firstChild;
      await beat();
      assert.equal(band.firstChild, first);
    });
  }

  test("that is gone is noticed at the next press, without waiting", async () => {
    const { band, button } = await withServer();
    page.server = null;
    button.click();
    await settle();
    assert.equal(band.hidden, false);
  });

  test("that answers again is the same one: the line is connected again, and the buttons work", async () => {
    const { band, model, isHeld } = await withServer();
    page.server = null;
    await beat();
    page.server = { status: 200, started: "noon" };
    await beat();
    assert.deepEqual([band.hidden, isHeld(), model.reconnects], [true, false, 1]);
  });

  for (const [name, server] of [["another one", { status: 200, started: "one" }], ["one that does not know this page", { status: 403 }]]) {
    test(`${name} asks to load the page again`, async () => {
      const { band, isHeld } = await withServer();
      page.server = null;
      await beat();
      page.server = server;
      await beat();
      assert.match(band.textContent, /was started again.*Saved input is not lost/);
      assert.equal(isHeld(), true);
      band.querySelector("button").click();
      assert.equal(page.isLoadedAgain, true);
    });
  }

  test("without this question changes nothing; a page that nobody sees asks nothing", async () => {
    page.server = { status: 404 };
    const { band } = await withServer();
    await beat();
    assert.equal(band.hidden, true);
    document.visibilityState = "hidden";
    page.server = null;
    await beat();
    assert.equal(band.hidden, true);
  });

  test("is started as it was, which the kernel knows from runbook lab, or in JupyterHub", async () => {
    const { band, model } = await withServer({ start: "" });
    page.server = null;
    await beat();
    assert.match(band.textContent, /Start it again in its terminal\. Saved/);
    page.server = { status: 200, started: "noon" };
    await beat();
    model.show({ user: "ann" });
    page.server = null;
    await beat();
    assert.match(band.textContent, /in JupyterHub/);
  });

  test("answers, but the kernel does not: that is said within 30 seconds, until it answers again", async () => {
    const { band, isHeld, model } = await withServer();
    const pings = () => model.sent.filter(({ action }) => action === "ping").length;
    for (let second = 0; second < 60; second += 1) {
      await beat();
      if (model.sent.length) model.say({ kind: "pong" });
    }
    assert.deepEqual([band.hidden, pings()], [true, 12]);
    for (let second = 0; second < 30; second += 1) await beat();
    assert.deepEqual([band.hidden, isHeld(), pings()], [false, true, 13]);
    assert.match(band.textContent, /does not answer.*Saved input is not lost/);
    model.say({ kind: "pong" });
    await beat();
    assert.deepEqual([band.hidden, isHeld()], [true, false]);
  });

  for (const [name, make] of [["runs a cell", (model) => { model.widget_manager.kernel.status = "busy"; }], ["is gone", (model) => model.status("dead")]]) {
    test(`does not ask a kernel that ${name}`, async () => {
      const { band, model } = await withServer();
      make(model);
      for (let second = 0; second < 40; second += 1) await beat();
      assert.deepEqual([band.hidden, model.sent], [true, []]);
    });
  }

  test("and the kernel with it: the band alone says what to do", async () => {
    const { live, model } = await withServer();
    page.server = null;
    await beat();
    model.status("dead");
    assert.doesNotMatch(live.textContent, /press Start/);
    page.server = { status: 200, started: "noon" };
    await beat();
    assert.match(live.textContent, /press Start/);
  });
});
