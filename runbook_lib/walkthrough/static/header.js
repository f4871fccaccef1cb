// The header: one line that stays in sight, with what is next; behind *Progress* stands all else. Only
// texts change, not nodes, so that focus is kept.

// A step's number in a text of the runbook's own: "Now failed: 9a, 10."
const NUMBER = /(?<=^|[:,] |steps? )(\d+[a-z]?)(?=[,:.;]|$)/m;

// The script of all steps' panels, which each of them awaits: widgets.py puts it here.
const STEP_SCRIPT = { digest: "", text: "" };

function bringScript({ digest, text }) {
  const page = /** @type {any} */ (globalThis);
  page.runbookScriptTexts = { ...page.runbookScriptTexts, [digest]: text };
  document.dispatchEvent(new CustomEvent("runbook:script", { detail: { digest, text } }));
}

function stick(root) {
  cellOf(root)?.classList.add("rb-sticky");
  markCell(root, "rb-cell");
  markCell(document.querySelector('[data-commandlinker-command="notebook:run-all-cells"]')?.closest("[cell-index], .jp-Cell"), "rb-intro");
}

// The target of a jump must not be hidden by the header, which grows on a narrow page.
function measure(root) {
  const resized = new ResizeObserver(() => {
    document.documentElement.style.setProperty("--rb-header-height", `${root.offsetHeight}px`);
  });
  resized.observe(root);
  return () => resized.disconnect();
}

class Header {
  constructor(model, el) {
    this.model = model;
    this.link = element("a", { onclick: (event) => this.follow(event) });
    this.after = element("span", {});
    this.next = element("div", {}, element("strong", {}, "Next: "), this.link, this.after);
    this.done = element("strong", {});
    this.goOn = element("button", { type: "button", class: "rb-plain", "data-action": "go-on", hidden: true,
      onclick: (event) => this.follow(event) }, "Continue");
    this.world = element("span", { class: "rb-badge" });
    this.count = element("span", {});
    this.bar = element("div", { class: "rb-bar", role: "progressbar", "aria-label": "Steps done", "aria-valuemin": 0 }, element("span", {}));
    this.open = element("button", { type: "button", class: "rb-plain", "data-action": "progress", "aria-expanded": "false",
      onclick: () => this.showProgress(this.open.getAttribute("aria-expanded") !== "true") }, "Progress");
    this.more = element("button", { type: "button", class: "rb-plain", "data-action": "steps", "aria-expanded": "false",
      onclick: () => this.showOthers(this.more.getAttribute("aria-expanded") !== "true") });
    this.known = element("div", { class: "rb-known" }, this.goOn, this.world,
      element("span", { class: "rb-label" }, this.count, element("span", { class: "rb-heard" }, " done")), this.bar, this.more, this.open);
    this.live = element("div", {});
    this.forgotten = element("div", { class: "rb-message", hidden: true });
    this.buildProgress();
    this.root = element("section", { class: "rb rb-header", "aria-label": "Progress of the runbook" },
      element("div", { class: "rb-top" },
        element("div", { class: "rb-next", "aria-live": "polite" }, this.next, this.done), this.known),
      element("div", { class: "rb-said", "aria-live": "polite" }, this.live, this.forgotten), this.progress);
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.progress.hidden) return;
      this.showProgress(false);
      this.open.focus();
    });
    ignoreClicksWhileHeld(this.root);
    this.begin = new Begin(this);
    el.append(this.root);
  }

  // Progress and its details; opens above the page.
  buildProgress() {
    this.title = element("strong", {});
    this.tenant = element("bdi", { class: "rb-label rb-name" });
    this.person = element("bdi", { class: "rb-label rb-name" });
    this.counts = element("span", { class: "rb-label" });
    this.sealed = element("span", { class: "rb-label" });
    this.forecast = element("div", { class: "rb-row rb-forecast", hidden: true });
    this.others = element("div", { class: "rb-field-note" });
    this.package = element("div", { class: "rb-field-note" });
    this.checkAll = element("button", { type: "button", "data-action": "check-all",
      onclick: () => this.checkEverything() }, "Check everything now");
    this.showBegin = element("button", { type: "button", class: "rb-plain", "data-action": "begin",
      onclick: () => { this.showProgress(false); this.begin.show(); } }, "Before you begin");
    this.gatesTitle = element("summary", {});
    this.gateRows = element("tbody", {});
    this.gates = element("details", { class: "rb-gates" }, this.gatesTitle,
      element("div", { class: "rb-table" }, element("table", {},
        element("thead", {}, element("tr", {}, ...["Step", "Outcome", "Since", "Usually takes", "First do"].map((text) =>
          element("th", { scope: "col" }, text)))), this.gateRows)));
    this.steps = element("ol", { class: "rb-steps" });
    this.overview = element("details", { class: "rb-overview" }, element("summary", {}, "All steps"), this.steps);
    this.progress = element("div", { class: "rb rb-list", popover: "manual", hidden: true, role: "group", "aria-label": "Progress" },
      element("div", { class: "rb-row" }, this.title, this.tenant, this.person), this.counts, this.sealed, this.forecast,
      element("div", { class: "rb-row" }, this.checkAll, this.showBegin), this.gates, this.overview, this.package, this.others);
  }

  // Its progress and its result stand below the line.
  checkEverything() {
    this.showProgress(false);
    this.open.focus();
    this.send({ action: "check_all" });
  }

  send(content) { if (this.isLost || !ask(this.model, content)) this.lose(); }

  showProgress(isShown) {
    this.open.setAttribute("aria-expanded", String(isShown));
    this.progress.hidden = !isShown;
    if (isShown) this.progress.showPopover?.();
    else this.progress.hidePopover?.();
  }

  draw() {
    const view = this.model.get("view");
    const isKnown = Boolean(view.title);
    this.known.hidden = !isKnown;
    this.next.hidden = !view.next;
    this.done.hidden = !isKnown || Boolean(view.next);
    // The app's page asks before it is left.
    if (view.unsaved && !this.isLost) this.root.dataset.unsaved = "credentials";
    else delete this.root.dataset.unsaved;
    if (isKnown) this.drawKnown(view);
    if (isKnown) this.begin.draw(view);
    this.gates.hidden = !isKnown || !view.gates.length;
    if (view.next) this.drawNext(view.next);
    this.watchNext(view.next);
    holdButtons(this.root, Boolean(view.busy_since) && !this.isLost);
    // Looking around is possible while checks run.
    for (const button of [this.goOn, this.more, this.open, this.showBegin, ...this.begin.card.querySelectorAll("button")]) button.setAttribute("aria-disabled", String(isServerGone()));
    this.say(this.isLost ? { message: this.loss, advice: "", is_error: true } : view);
  }

  // A person who reads another card is offered the way back.
  watchNext(next) {
    const panel = next && document.getElementById(`runbook-${next.id}`);
    if (panel === this.watchedPanel) return;
    this.watchedPanel = panel;
    this.inSight?.disconnect();
    this.isInSight = false;
    this.drawGoOn();
    if (!panel) return;
    this.inSight = new IntersectionObserver(([{ isIntersecting }]) => { this.isInSight = isIntersecting; this.drawGoOn(); },
      { rootMargin: "-60px 0px 0px 0px" });
    this.inSight.observe(panel);
  }

  drawGoOn() {
    const { next } = this.model.get("view");
    if (!this.watchedPanel) this.watchNext(next);
    this.goOn.hidden = !next || (this.isInSight && ["", next.id].includes(openedStep()));
  }

  // The text's nodes; each step's number in it leads to the step.
  linked(text) {
    const steps = new Map(this.model.get("view").steps?.map((step) => [step.number, step]));
    return text.split(new RegExp(NUMBER, "gm")).map((part, at) => {
      const step = at % 2 ? steps.get(part) : null;
      return step ? element("a", { href: `#runbook-${step.id}`, "data-key": `${part} ${at}`, "aria-label": `Step ${part}`,
        onclick: (event) => this.go(event, step) }, part) : part;
    });
  }

  drawKnown(view) {
    this.world.classList.toggle("rb-sandbox", view.sandbox);
    setText(this.world, view.sandbox ? "SANDBOX" : "LIVE");
    this.world.title = view.sandbox ? "Practice: nothing here is real" : `The real ${view.provider} and Cyclr`;
    setText(this.title, view.title);
    setText(this.tenant, `tenant ${view.tenant}`);
    const person = personHere(view.user);
    setText(this.person, person && `· ${person}`);
    this.person.title = person;
    setText(this.count, `${view.settled} of ${view.total}`);
    const areShown = document.documentElement.dataset.runbookSteps === "all";
    setText(this.more, areShown ? "Fewer steps" : `${view.total - 1} more steps`);
    this.more.setAttribute("aria-expanded", String(areShown));
    this.bar.setAttribute("aria-valuemax", view.total);
    this.bar.setAttribute("aria-valuenow", view.settled);
    this.bar.setAttribute("aria-valuetext", `${view.settled} of ${view.total} steps done`);
    this.bar.firstChild.style.width = `${(100 * view.settled) / view.total}%`;
    setText(this.counts, [`${view.settled} of ${view.total} done`,
      // Lines break between the counts only.
      ...view.counts.filter(({ outcome }) => outcome !== "not_run").map(({ icon, label, count }) => `${icon} ${count} ${label}`.replaceAll(" ", "\u00a0"))].join(" · "));
    this.forecast.hidden = !view.forecast;
    redraw(this.forecast, view.forecast, () => (view.forecast ? [element("span", { class: "rb-label" }, view.forecast.title),
      ...view.forecast.chips.map(({ text, state, step }) => element("span",
        { class: "rb-chip", "data-state": state, "aria-current": step === view.next?.id ? "step" : null }, text))] : []));
    this.forgotten.hidden = !view.forgotten.length;
    redraw(this.forgotten, view.forgotten, () => view.forgotten.map((lost) => element("div", {},
      `This page does not keep the ${lost.credential}: enter it again, or save it. `, element("a", { href: `#runbook-${lost.id}`,
        "data-key": lost.credential, onclick: (event) => this.go(event, lost) }, `Step ${lost.number}`))));
    this.drawGates(view);
    this.drawSteps(view);
  }

  // Decisions of others take weeks: one table has the state of each.
  drawGates(view) {
    setText(this.gatesTitle, `What ${view.provider} decides`);
    redraw(this.gateRows, view.gates, () => view.gates.map((gate) => element("tr", { "data-outcome": gate.outcome, "data-in-part": String(gate.in_part) },
      element("th", { scope: "row" }, element("a", { href: `#runbook-${gate.id}`, "data-key": gate.id,
        onclick: (event) => this.go(event, gate) }, `${gate.number} · ${gate.title}`)),
      element("td", {}, element("span", { class: "rb-badge" }, `${gate.icon} ${gate.label}`)),
      ...[gate.since, gate.usual].map((text) => element("td", {}, text || "–")),
      element("td", {}, ...gate.after ? this.linked(gate.after) : ["–"]))));
  }

  // The overview: a line for each step, which leads to it.
  drawSteps(view) {
    setText(this.sealed, view.sealed);
    this.sealed.hidden = !view.sealed;
    setText(this.done, `Every step is done.${view.sealed ? "" : " Seal the evidence at the end of the notebook."}`);
    setText(this.package, view.package && `This connector is not the runbook's own: ${view.package}.`);
    setText(this.others, view.others && `Other tenants: ${view.others}. Open one with: runbook lab --tenant NAME`);
    redraw(this.steps, [view.steps, view.next?.id], () => view.steps.map((step) => element("li",
      { "data-outcome": step.outcome, "data-in-part": String(step.in_part), "aria-current": step.id === view.next?.id ? "step" : null },
      element("a", { href: `#runbook-${step.id}`, "data-key": step.id, onclick: (event) => this.go(event, step) },
        `${step.number} · ${step.title}`),
      element("span", { class: "rb-badge" }, `${step.icon} ${step.label}`),
      step.id === view.next?.id ? element("strong", {}, "next") : "",
      element("span", { class: "rb-label", dir: "auto" }, step.who),
      step.again ? element("span", { class: "rb-again", dir: "auto" }, step.again) : "")));
  }

  // One step is in sight: the others are lines that this shows.
  showOthers(areShown) {
    document.documentElement.dataset.runbookSteps = areShown ? "all" : "one";
    this.draw();
  }

  drawNext({ id, number, title, advice }) {
    this.link.dataset.next = id;
    this.link.href = `#runbook-${id}`;
    setText(this.link, `${number} · ${title}`);
    redraw(this.after, [advice], () => (advice ? [". ", ...this.linked(advice)] : []));
  }

  follow(event) { this.go(event, this.model.get("view").next); }

  go(event, { id, title }) {
    event.preventDefault();
    this.showProgress(false);
    this.begin.leave();
    this.say({ message: jump(id, title), advice: "", is_error: true });
  }

  say(view) {
    const isBusy = Boolean(view.busy_since) && !this.isLost;
    redraw(this.live, [isBusy, view.message, view.advice], () => {
      if (isBusy) return [progressBox(view.message || "Checking every step…")];
      return view.message ? [messageBox(view, (text) => this.linked(text))] : [];
    });
  }

  // Advice when the kernel is gone, with the unsaved values that went with it.
  get loss() {
    const again = runAgain();
    if (!again) return "";
    const typed = [...document.querySelectorAll(".rb-panel[data-unsaved]")].map((panel) => panel.getAttribute("data-unsaved"));
    return [`${again} Everything that was recorded is kept.`,
      this.model.get("view").unsaved ? "Lost: credentials that were not saved on this machine. Enter them again." : "",
      typed.length ? `Not saved, so copy it first: ${typed.join("; ")}.` : ""].filter(Boolean).join("\n");
  }

  // Advice when the server is gone.
  howToStart() {
    const { start, user } = this.model.get("view");
    if (user) return ["Start your server again in JupyterHub."];
    return start ? ["Start it again in its terminal: ", element("code", {}, start)] : ["Start it again in its terminal."];
  }

  lose() {
    this.isLost = true;
    this.draw();
  }
}

// *Before you begin*: ticks that the kernel saves beside the journal. It is
// shown until a person has it all, or a step is done; later by its button.
class Begin {
  constructor(header) {
    this.header = header;
    this.boxes = new Map();
    this.known = new Map(); // what the kernel said of each text
    this.title = element("h2", { class: "rb-heading" });
    this.plan = element("p", {});
    this.ready = element("div", { class: "rb-options", role: "group", "aria-label": "What to have ready" });
    this.have = element("button", { type: "button", class: "rb-first rb-main", "data-action": "begin-steps", onclick: () => this.close() }, "Begin");
    this.card = element("section", { class: "rb rb-panel rb-card", id: "runbook-begin", tabindex: -1,
      "data-lm-suppress-shortcuts": "true" },
    this.title, this.plan, element("div", { class: "rb-row rb-acts" }, this.have),
    element("details", {}, element("summary", {}, "Who does what"), this.ready));
    ignoreClicksWhileHeld(this.card);
  }

  draw({ begin, settled, total, provider }) {
    this.header.showBegin.hidden = !begin;
    if (!begin) return;
    const title = `Connect your ${provider} app to Cyclr`;
    setText(this.title, title);
    this.card.setAttribute("aria-label", title);
    setText(this.plan, begin.plan);
    redraw(this.ready, begin.ready.map(({ text }) => text), () => begin.ready.map(({ text, role, thing }) => {
      const box = element("input", { type: "checkbox", "data-key": text,
        onchange: () => this.header.send({ action: "tick", text, is_ticked: box.checked }) });
      this.boxes.set(text, box);
      const button = element("button", { type: "button", class: "rb-small", "aria-label": `Copy as a message: ${thing}`,
        onclick: () => copy(`To connect our ${provider} app to Cyclr, we need this from you: ${thing}. Can you get it ready?`, button, "Copy as a message") },
      "Copy as a message");
      return element("div", { class: "rb-row" }, element("label", {}, box, element("span", {}, element("strong", {}, role), ` ${thing}`)), button);
    }));
    // A tick that the kernel has not heard of yet stays.
    for (const { text, is_ticked: isTicked } of begin.ready) {
      if (this.known.get(text) !== isTicked) this.boxes.get(text).checked = isTicked;
      this.known.set(text, isTicked);
    }
    const isFirst = total > 0 && settled === 0 && !begin.has_begun;
    this.isShown = this.isAsked ?? isFirst;
    this.place();
  }

  // Its text in the notebook gives way to it.
  place() {
    const heading = beginHeading();
    const cell = heading && cellOf(heading);
    if (!cell) return;
    if (this.card.parentElement !== cell) cell.append(this.card);
    markCell(heading, "rb-begin", { open: String(Boolean(this.isShown)) });
    cell.dataset.begin = String(Boolean(this.isShown));
    this.header.root.dataset.begin = String(Boolean(this.isShown));
    document.documentElement.dataset.runbookBegin = String(Boolean(this.isShown));
  }

  show() {
    this.isAsked = true;
    this.isShown = true;
    this.place();
    this.card.scrollIntoView({ block: "start" });
    this.card.focus({ preventScroll: true });
  }

  // A person who goes to a step has begun.
  leave() {
    if (!this.isShown) return;
    this.isAsked = false;
    this.isShown = false;
    this.header.send({ action: "begin" });
    this.place();
  }

  close() {
    this.leave();
    const { next } = this.header.model.get("view");
    if (next) jump(next.id, next.title);
  }

  forget() {
    this.card.remove();
    if (!document.querySelector(".rb-header")) forgetMark(beginHeading(), "rb-begin");
    delete document.documentElement.dataset.runbookBegin;
  }
}

// Text that was typed and not saved would be lost. (The app's page asks by itself, before its kernel ends.)
function askBeforeLeaving() {
  const hold = (event) => { if (document.querySelector(".rb-panel[data-unsaved]")) event.preventDefault(); };
  window.addEventListener("beforeunload", hold);
  return () => window.removeEventListener("beforeunload", hold);
}

// A click anywhere else closes the progress.
function closeOutside(header) {
  const press = (event) => { if (!header.root.contains(event.target)) header.showProgress(false); };
  document.addEventListener("pointerdown", press);
  return () => document.removeEventListener("pointerdown", press);
}

function render({ model, el }) {
  if (STEP_SCRIPT.digest) bringScript(STEP_SCRIPT);
  const header = new Header(model, el);
  const draw = () => header.draw();
  const forgetKernel = watchKernel(model, () => header.lose());
  model.on("change:view", draw);
  const forgetPerson = listen(PERSON, draw);
  const forgetLeaving = askBeforeLeaving();
  const forgetHeld = listen(SERVER, draw);
  const forgetPress = closeOutside(header);
  const forgetFold = listen(FOLD, () => header.drawGoOn());
  const forgetServer = watchServer(model, () => header.howToStart(), () => header.isLost);
  draw();
  const forgetPlace = whenPlaced(header.root, () => { stick(header.root); header.begin.place(); });
  const forgetSize = measure(header.root);
  return () => {
    forgetSize();
    forgetPlace();
    header.begin.forget();
    header.inSight?.disconnect();
    forgetFold();
    forgetPress();
    forgetKernel();
    forgetPerson();
    forgetLeaving();
    forgetHeld();
    forgetServer();
    model.off("change:view", draw);
  };
}

export default { render };
