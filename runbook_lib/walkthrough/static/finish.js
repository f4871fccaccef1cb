// The end of the notebook: what is done, what is open, and the evidence.

const PRINTED_MILLISECONDS = 60_000;

class Finish {
  constructor(model, el) {
    this.model = model;
    this.title = element("strong", {});
    this.end = element("div", {});
    this.open = element("ul", { class: "rb-notes" });
    this.openFold = element("details", {}, element("summary", {}, "Open steps"), this.open);
    this.seal = element("button", { type: "button", class: "rb-main", "data-action": "seal",
      onclick: () => this.send({ action: "seal" }) }, "Seal the evidence");
    this.actions = element("div", { class: "rb-row" }, this.seal,
      element("span", { class: "rb-field-note" },
        "Checks every step again without asking you, and writes a signed bundle of evidence."));
    this.doubts = element("ul", { class: "rb-notes" });
    this.asked = element("div", { class: "rb-form", role: "group", "aria-label": "Before sealing" },
      element("div", { class: "rb-confirms" }, "Before you seal:"), this.doubts,
      element("div", { class: "rb-row" },
        element("button", { type: "button", class: "rb-main", "data-action": "seal-anyway",
          onclick: () => this.send({ action: "seal_anyway" }) }, "Seal all the same")));
    this.live = element("div", { role: "status", "aria-live": "polite" });
    this.root = element("section", { class: "rb rb-panel", id: "runbook-finish", tabindex: -1,
      "aria-label": "The end of the notebook", "data-lm-suppress-shortcuts": "true" },
    element("div", {}, this.title), this.openFold, this.end, this.actions, this.live, this.asked);
    ignoreClicksWhileHeld(this.root);
    el.append(this.root);
    this.timer = setInterval(() => showSeconds(this.live, model.get("view").busy_since), 250);
  }

  draw() {
    const view = this.model.get("view");
    const isKnown = Boolean(view.open);
    const isBusy = Boolean(view.busy_since) && !this.isLost;
    this.root.setAttribute("aria-busy", String(isBusy));
    this.openFold.hidden = !isKnown || view.open.length === 0;
    this.actions.hidden = !isKnown;
    holdButtons(this.root, isBusy);
    this.seal.classList.toggle("rb-main", isKnown && !view.next && !view.doubts.length && !view.end);
    this.asked.hidden = !isKnown || isBusy || !view.doubts.length;
    redraw(this.doubts, view.doubts, () => (view.doubts ?? []).map((text) => element("li", { dir: "auto" }, text)));
    if (isKnown) this.drawKnown(view);
    const news = this.isLost ? { message: runAgain(), advice: "", is_error: true } : this.news || view;
    redraw(this.live, [isBusy, news.message, news.advice, view.bundle], () => [
      isBusy ? progressBox(view.message || "Checking every step again…") : news.message ? messageBox(news) : "",
      view.bundle ? this.sealed(view) : "",
    ]);
  }

  drawKnown(view) {
    this.root.dataset.outcome = view.open.length ? "not_run" : "verified";
    const done = view.open.length ? `${view.done} of ${view.total} steps are done.` : `All ${view.total} steps are done.`;
    setText(this.title, view.end ? view.end.verdict : done);
    redraw(this.end, view.end, () => (view.end ? [
      view.end.warnings.length ? element("ul", { class: "rb-notes" }, ...view.end.warnings.map((text) => element("li", { dir: "auto" }, text))) : "",
      element("div", {}, `${done} ${view.end.sealed}`),
      view.end.watch.length ? element("div", {}, element("strong", {}, "Watch from now on"),
        element("ul", { class: "rb-notes" }, ...view.end.watch.map((text) => element("li", {}, text)))) : ""] : []));
    setText(this.seal, view.end ? "Seal again" : "Seal the evidence");
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

  send(content) { if (this.isLost || !ask(this.model, content)) this.lose(); }

  // The kernel sends what was sealed: the report to print, or everything as one file to keep.
  onFile({ name }, [content]) {
    if (name === "report.html") printPage(new TextDecoder().decode(content));
    else saveAs(name, content);
  }

  // JupyterLab shows files below its folder; elsewhere the person opens the bundle on this machine.
  sealed({ bundle, bundle_name: name }) {
    const folder = labAddress("lab/tree", bundle);
    const fetch = (label, file) => element("button", { type: "button", class: "rb-small", "data-fetch": file,
      onclick: () => this.send({ action: "fetch", name: file }) }, label);
    const place = folder
      ? ["Sealed: ", element("a", { href: folder, target: "_blank", "data-bundle": true }, name),
        " · ", element("a", { href: labAddress("files", `${bundle}/report.html`), target: "_blank" }, "Read the report")]
      : ["Sealed in ", element("code", {}, bundle), ". Open ", element("code", {}, "report.html"), " there."];
    return element("div", {}, element("div", {}, ...place), element("div", { class: "rb-row" },
      fetch("Print the report, or save it as PDF", "report.html"), fetch("Download everything (zip)", `${name}.zip`)));
  }

  lose() {
    this.isLost = true;
    this.draw();
  }

  stop() { clearInterval(this.timer); }
}

// A hidden page of its own, without scripts: what is printed is the report alone.
function printPage(html) {
  const frame = element("iframe", { sandbox: "allow-same-origin allow-modals", hidden: true, title: "Report" });
  frame.addEventListener("load", () => { frame.contentWindow.print(); setTimeout(() => frame.remove(), PRINTED_MILLISECONDS); });
  frame.srcdoc = html;
  document.body.append(frame);
}

function saveAs(name, content) {
  const url = URL.createObjectURL(new Blob([content]));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), PRINTED_MILLISECONDS);
}

// Shows the step that is next, or what to have at hand above it while that is shown.
function stand({ next }) {
  const begin = document.querySelector('.rb-header[data-begin="true"]') && document.getElementById("runbook-begin");
  if (!begin) {
    jump(next.id, next.title, { isAsked: false });
    return;
  }
  begin.scrollIntoView({ block: "start" });
  begin.focus({ preventScroll: true });
}

// Once every panel is there, stands at what is next, which may move meanwhile: others settle steps
// too. Returns a function that forgets it.
function standAtNext(model) {
  const next = () => model.get("view").next;
  return standUntilActed(() => { if (next()) stand(model.get("view")); }, () => (document.querySelector('.rb-header[data-begin="true"]') ? "runbook-begin" : `runbook-${next()?.id}`));
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
  const hear = (message, buffers) => {
    if (message.kind === "file") finish.onFile(message, buffers);
  };
  model.on("msg:custom", hear);
  const forgetNext = standAtNext(model);
  const forgetPlace = whenPlaced(finish.root, () => markCell(finish.root, "rb-cell"));
  const forgetServer = listen(SERVER, draw);
  return () => {
    forgetNext();
    forgetPlace();
    forgetServer();
    model.off("msg:custom", hear);
    finish.stop();
    forgetKernel();
    model.off("change:view", draw);
  };
}

export default { render };
