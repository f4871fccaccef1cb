// The end of the notebook: what is done, what is open, and the evidence.

const SETTLED_MILLISECONDS = 600;

class Finish {
  constructor(model, el) {
    this.model = model;
    this.title = element("strong", {});
    this.open = element("ul", { class: "rb-notes" });
    this.seal = element("button", { type: "button", class: "rb-main", "data-action": "seal",
      onclick: () => { if (this.isLost || !ask(model, { action: "seal" })) this.lose(); } }, "Seal the evidence");
    this.actions = element("div", { class: "rb-row" }, this.seal,
      element("span", { class: "rb-field-note" },
        "Checks every step again without asking anything, and writes a signed bundle of evidence."));
    this.live = element("div", { role: "status", "aria-live": "polite" });
    this.root = element("section", { class: "rb rb-panel", id: "runbook-finish", tabindex: -1,
      "aria-label": "The end of the notebook", "data-lm-suppress-shortcuts": "true" },
    element("div", {}, this.title), this.open, this.actions, this.live);
    ignoreClicksWhileHeld(this.root);
    el.append(this.root);
    this.timer = setInterval(() => showSeconds(this.live, model.get("view").busy_since), 250);
  }

  draw() {
    const view = this.model.get("view");
    const isKnown = Boolean(view.open);
    const isBusy = Boolean(view.busy_since) && !this.isLost;
    this.root.setAttribute("aria-busy", String(isBusy));
    this.open.hidden = !isKnown || view.open.length === 0;
    this.actions.hidden = !isKnown;
    holdButtons(this.root, isBusy);
    if (isKnown) this.drawKnown(view);
    const said = this.isLost ? { message: RUN_AGAIN, advice: "", is_error: true } : this.news || view;
    redraw(this.live, [isBusy, said.message, said.advice, view.bundle], () => [
      isBusy ? progressBox(view.message || "Checking every step again…") : said.message ? messageBox(said) : "",
      view.bundle ? this.sealed(view) : "",
    ]);
  }

  drawKnown(view) {
    this.root.dataset.outcome = view.open.length ? "waiting" : "verified";
    setText(this.title, view.open.length
      ? `${view.done} of ${view.total} steps are done. Open:`
      : `All ${view.total} steps are done.`);
    redraw(this.open, view.open, () => view.open.map((step) =>
      element("li", {}, element("a", { href: `#runbook-${step.id}`, "data-key": step.id,
        onclick: (event) => this.follow(event, step) }, `${step.number} · ${step.title}`), ` ${step.icon} ${step.label}`)));
  }

  follow(event, { id, title }) {
    event.preventDefault();
    const message = jump(id, title);
    this.news = message ? { message, advice: "", is_error: true } : null;
    this.draw();
  }

  // JupyterLab shows files below its folder; elsewhere the person opens the bundle on this machine.
  sealed({ bundle, bundle_name: name }) {
    const folder = labAddress("lab/tree", bundle);
    if (!folder) {
      return element("div", {}, "Sealed in ", element("code", {}, bundle),
        ". Open ", element("code", {}, "report.html"), " there.");
    }
    return element("div", {}, "Sealed: ",
      element("a", { href: folder, target: "_blank", "data-bundle": true }, name),
      " · ", element("a", { href: labAddress("files", `${bundle}/report.html`), target: "_blank" }, "Read the report"));
  }

  lose() {
    this.isLost = true;
    this.draw();
  }

  stop() { clearInterval(this.timer); }
}

// Once every panel is there, shows the step that is next, unless the person has gone elsewhere:
// JupyterLab itself ends at the last cell. Returns a function that forgets it.
function standAt(next) {
  let hasMoved = !next;
  const note = (event) => { hasMoved ||= event.type !== "focusin" || Boolean(event.target.closest(".rb")); };
  const kinds = ["wheel", "keydown", "pointerdown", "focusin"];
  for (const kind of kinds) document.addEventListener(kind, note, { capture: true });
  const forget = () => {
    clearTimeout(timer);
    for (const kind of kinds) document.removeEventListener(kind, note, { capture: true });
  };
  const timer = setTimeout(() => {
    forget();
    if (!hasMoved) jump(next.id, next.title);
  }, SETTLED_MILLISECONDS);
  return forget;
}

function render({ model, el }) {
  const finish = new Finish(model, el);
  const draw = () => {
    finish.news = null;
    finish.draw();
  };
  const forgetKernel = watchKernel(model, () => finish.lose());
  model.on("change:view", draw);
  draw();
  const forgetNext = standAt(model.get("view").next);
  return () => {
    forgetNext();
    finish.stop();
    forgetKernel();
    model.off("change:view", draw);
  };
}

export default { render };
