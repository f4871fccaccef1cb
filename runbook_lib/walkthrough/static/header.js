// The header: tenant, progress, next step. It stays visible while scrolling. Only texts change, not
// nodes, so that focus is kept.

const WIDE = "(min-width: 1200px)";
const ROOMY = "(min-width: 760px)"; // what to have at hand, and step 1 below it, fit in a window
const TIGHT = "(max-width: 600px), (max-height: 600px)"; // a phone, or a window at 200 %: one line has to do
// A step's number in a text of the runbook's own: "Now failed: 9a, 10."
const NUMBER = /(?<=^|[:,] |steps? )(\d+[a-z]?)(?=[,:.;]|$)/m;

function stick(root) {
  cellOf(root)?.classList.add("rb-sticky");
  markCell(root, "rb-cell");
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
    this.forgetWidth = () => {};
    this.forgetTight = () => {};
    this.hasAskedBegin = false; // the person has shown or hidden what to have at hand
    this.model = model;
    this.world = element("span", { class: "rb-badge" });
    this.title = element("strong", {});
    this.tenant = element("bdi", { class: "rb-label rb-name" });
    this.person = element("bdi", { class: "rb-label rb-name" });
    this.bar = element("div", { class: "rb-bar", role: "progressbar", "aria-label": "Steps done", "aria-valuemin": 0 });
    this.road = element("div", { class: "rb-road", hidden: true });
    this.counts = element("span", { class: "rb-label" });
    this.link = element("a", { onclick: (event) => this.follow(event) });
    this.after = element("span", {});
    this.next = element("div", {}, element("strong", {}, "Next: "), this.link, this.after);
    this.done = element("strong", {});
    this.live = element("div", {});
    this.sealed = element("span", { class: "rb-label" });
    this.others = element("div", { class: "rb-field-note" });
    this.checkAll = element("button", { type: "button", class: "rb-small", "data-action": "check-all",
      onclick: () => { if (this.isLost || !ask(model, { action: "check_all" })) this.lose(); } }, "Check everything now");
    this.steps = element("ol", { class: "rb-steps" });
    this.gatesTitle = element("summary", {});
    this.gateRows = element("tbody", {});
    this.gates = this.buildList("rb-gates", this.gatesTitle,
      element("div", { class: "rb-table" }, element("table", {},
        element("thead", {}, element("tr", {}, ...["Step", "Outcome", "Since", "Usually takes", "First do"].map((text) =>
          element("th", { scope: "col" }, text)))), this.gateRows)));
    this.overview = this.buildList("rb-overview", element("summary", {}, "All steps"), this.others, this.steps);
    this.begin = element("button", { type: "button", class: "rb-small", "data-action": "begin",
      onclick: () => this.showBegin(this.root.dataset.begin !== "true") }, "Before you begin");
    this.close = element("button", { type: "button", class: "rb-small rb-close", "data-action": "close",
      onclick: () => this.showWhole(this.root.dataset.closed === "true") });
    this.known = element("div", { class: "rb-known" },
      element("div", { class: "rb-row" }, this.world, this.title, this.tenant, this.person),
      this.bar, this.road,
      element("div", { class: "rb-row" }, this.counts, this.sealed, this.checkAll, this.begin));
    // Next is the first line, outside of what scrolls: it is seen at every width.
    this.root = element("section", { class: "rb rb-header", "aria-label": "Progress of the runbook" },
      element("div", { class: "rb-next", "aria-live": "polite" }, this.next, this.done),
      element("div", { class: "rb-rest" }, element("div", { "aria-live": "polite" }, this.live), this.known,
        element("div", { class: "rb-folds" }, this.gates, this.overview)), this.close);
    ignoreClicksWhileHeld(this.root);
    this.foldWhereTight();
    this.buildSide();
    el.append(this.root);
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
    if (isKnown) this.drawBegin(view);
    if (isKnown) this.drawKnown(view);
    this.overview.hidden = !isKnown;
    this.gates.hidden = !isKnown || !view.gates.length;
    if (view.next) this.drawNext(view.next);
    holdButtons(this.root, Boolean(view.busy_since) && !this.isLost);
    this.say(this.isLost ? { message: this.loss, advice: "", is_error: true } : view);
  }

  // There is no room for a list in the header, which covers the page: it opens above it.
  buildList(name, title, ...content) {
    const list = element("div", { class: "rb rb-list", popover: "manual" }, ...content);
    const fold = element("details", { class: name }, title, list);
    fold.addEventListener("toggle", () => { if (fold.open) list.showPopover?.(); else list.hidePopover?.(); });
    fold.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !fold.open) return;
      fold.open = false;
      title.focus();
    });
    return fold;
  }

  // Closed, it shows what is next in one line.
  showWhole(isWhole) {
    this.root.dataset.closed = String(!isWhole);
    this.close.setAttribute("aria-expanded", String(isWhole));
    setText(this.close, isWhole ? "Hide" : "Progress");
  }

  // Also when the window becomes narrow, or is zoomed.
  foldWhereTight() {
    const tight = matchMedia(TIGHT);
    const fold = () => this.showWhole(!tight.matches);
    tight.addEventListener("change", fold);
    this.forgetTight = () => tight.removeEventListener("change", fold);
    fold();
  }

  // What to have at hand is shown the first time, until a step is done; later by its button.
  drawBegin({ tenant, settled, gates }) {
    const seen = `runbook:begun:${tenant}`;
    this.begin.hidden = !gates.length;
    if (this.root.dataset.begin === undefined) {
      let isFirst = true;
      try {
        isFirst = !localStorage.getItem(seen);
        localStorage.setItem(seen, "yes");
      } catch { /* each time is the first */ }
      this.showBegin(isFirst && settled === 0 && matchMedia(ROOMY).matches, { isAsked: false });
    } else if (settled > 0 && !this.hasAskedBegin) {
      this.showBegin(false, { isAsked: false });
    }
    this.markBegin();
  }

  markBegin() { markCell(beginHeading(), "rb-begin", { open: this.root.dataset.begin }); }

  showBegin(isShown, { isAsked = true } = {}) {
    this.hasAskedBegin ||= isAsked;
    this.root.dataset.begin = String(isShown);
    this.begin.setAttribute("aria-expanded", String(isShown));
    this.markBegin();
    if (isAsked && isShown) cellOf(beginHeading())?.scrollIntoView({ block: "start" });
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
    setText(this.world, view.sandbox ? "SANDBOX" : "PRODUCTION");
    setText(this.title, view.title);
    setText(this.tenant, `tenant ${view.tenant}`);
    const person = personHere(view.user);
    setText(this.person, person && `· ${person}`);
    this.person.title = person;
    this.bar.setAttribute("aria-valuemax", view.total);
    this.bar.setAttribute("aria-valuenow", view.settled);
    this.bar.setAttribute("aria-valuetext", `${view.settled} of ${view.total} steps done`);
    this.bar.replaceChildren(...view.counts.filter(({ outcome }) => outcome !== "not_run").map(({ outcome, count }) => {
      const part = element("span", { "data-outcome": outcome });
      part.style.width = `${(100 * count) / view.total}%`;
      return part;
    }));
    setText(this.counts, [`${view.settled} of ${view.total} done`,
      // Lines break between the counts only.
      ...view.counts.filter(({ outcome }) => outcome !== "not_run").map(({ icon, label, count }) => `${icon} ${count} ${label}`.replaceAll(" ", "\u00a0"))].join(" · "));
    this.road.hidden = !view.road;
    redraw(this.road, view.road, () => (view.road ? [picture(view.road.svg), element("span", { class: "rb-label" }, view.road.title)] : []));
    this.drawGates(view);
    this.drawSteps(view);
    this.drawSide(view);
  }

  // What others decide takes weeks: how each of it stands, in one table.
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

  // The app's page has room at the side where it is wide, for its parts. Nothing inside a cell can be
  // fixed there.
  buildSide() {
    if (!isApp()) return;
    this.sittings = element("ol", { class: "rb-steps" });
    this.side = element("nav", { class: "rb rb-side", "aria-label": "Parts of the set-up" }, this.sittings);
    const wide = matchMedia(WIDE);
    const follow = () => {
      this.side.hidden = !wide.matches;
      this.root.dataset.beside = String(wide.matches);
    };
    document.body.append(this.side);
    wide.addEventListener("change", follow);
    follow();
    this.forgetWidth = () => { wide.removeEventListener("change", follow); this.side.remove(); };
  }

  // A line for each part, which leads to what is open in it.
  drawSide(view) {
    if (!this.side) return;
    redraw(this.sittings, [view.sittings, view.next?.id], () => view.sittings.map((sitting) => element("li",
      { "data-outcome": sitting.outcome, "aria-current": sitting.ids.includes(view.next?.id) ? "step" : null },
      element("a", { href: `#runbook-${sitting.step.id}`, "data-key": sitting.title,
        onclick: (event) => this.go(event, sitting.step) }, sitting.title),
      element("span", { class: "rb-label" }, sitting.label))));
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
    for (const fold of [this.gates, this.overview]) fold.open = false;
    this.say({ message: jump(id, title), advice: "", is_error: true });
  }

  say(view) {
    const isBusy = Boolean(view.busy_since) && !this.isLost;
    redraw(this.live, [isBusy, view.message, view.advice], () => {
      if (isBusy) return [progressBox(view.message || "Checking every step…")];
      return view.message ? [messageBox(view, (text) => this.linked(text))] : [];
    });
  }

  // What to do when the kernel is gone, and what went with it.
  get loss() {
    const again = runAgain();
    if (!again) return "";
    const typed = [...document.querySelectorAll(".rb-panel[data-unsaved]")].map((panel) => panel.getAttribute("data-unsaved"));
    return [`${again} Everything that was recorded is kept.`,
      this.model.get("view").unsaved ? "Lost: credentials that were not saved on this machine. Enter them again." : "",
      typed.length ? `Not saved, so copy it first: ${typed.join("; ")}.` : ""].filter(Boolean).join("\n");
  }

  // What to do when the server is gone.
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

// Text that was typed and not saved would be lost. (The app's page asks by itself, before its kernel ends.)
function askBeforeLeaving() {
  const hold = (event) => { if (document.querySelector(".rb-panel[data-unsaved]")) event.preventDefault(); };
  window.addEventListener("beforeunload", hold);
  return () => window.removeEventListener("beforeunload", hold);
}

function render({ model, el }) {
  const header = new Header(model, el);
  const draw = () => header.draw();
  const forgetKernel = watchKernel(model, () => header.lose());
  model.on("change:view", draw);
  const forgetPerson = listen(PERSON, draw);
  const forgetLeaving = askBeforeLeaving();
  const forgetHeld = listen(SERVER, draw);
  const forgetServer = watchServer(model, () => header.howToStart(), () => header.isLost);
  draw();
  const forgetPlace = whenPlaced(header.root, () => stick(header.root));
  const forgetSize = measure(header.root);
  return () => {
    forgetSize();
    header.forgetWidth();
    header.forgetTight();
    forgetPlace();
    if (!document.querySelector(".rb-header")) forgetMark(beginHeading(), "rb-begin");
    forgetKernel();
    forgetPerson();
    forgetLeaving();
    forgetHeld();
    forgetServer();
    model.off("change:view", draw);
  };
}

export default { render };
