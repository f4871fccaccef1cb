// The end of the notebook: what is done, what is open, and the evidence.

const PRINTED_MILLISECONDS = 60_000;

class Finish {
  constructor(model, el) {
    this.model = model;
    this.title = element("h2", { class: "rb-heading" });
    this.end = element("div", { class: "rb-end" });
    this.open = element("ul", { class: "rb-notes" });
    this.openFold = element("details", {}, element("summary", {}, "Open steps"), this.open);
    this.take = element("div", { class: "rb-row rb-acts", hidden: true });
    this.seal = element("button", { type: "button", class: "rb-first", "data-action": "seal",
      onclick: () => this.send({ action: "seal" }) }, "Seal the evidence");
    this.actions = element("div", { class: "rb-row rb-acts" }, this.seal,
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
    this.title, this.end, this.take, this.openFold, this.actions, this.live, this.asked);
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
    this.seal.classList.toggle("rb-first", isKnown && !view.end);
    this.take.hidden = !view.bundle;
    redraw(this.take, [view.bundle, Boolean(view.end)], () => (view.bundle ? this.buildTake(view) : []));
    this.asked.hidden = !isKnown || isBusy || !view.doubts.length;
    redraw(this.doubts, view.doubts, () => (view.doubts ?? []).map((text) => element("li", { dir: "auto" }, text)));
    if (isKnown) this.drawKnown(view);
    const news = this.isLost ? { message: runAgain(), advice: "", is_error: true } : this.news || view;
    redraw(this.live, [isBusy, news.message, news.advice, view.bundle], () => [
      isBusy ? progressBox(view.message || "Checking every step again…") : news.message ? this.tell(news) : "",
      view.bundle ? this.sealed(view) : "",
    ]);
  }

  // The result in one sentence; changes in a fold.
  tell(news) {
    const [first, ...rest] = news.message.split("\n");
    const box = messageBox(news.is_error ? news : { ...news, message: first });
    if (rest.length && !news.is_error) {
      box.append(element("details", { "data-fold": "changed" }, element("summary", { "data-key": "changed" }, "What changed while sealing"),
        ...rest.map((text) => element("div", {}, text))));
    }
    return box;
  }

  drawKnown(view) {
    this.root.dataset.outcome = view.open.length ? "not_run" : "verified";
    const done = view.open.length ? `${view.done} of ${view.total} steps are done.` : `All ${view.total} steps are done.`;
    setText(this.title, view.end ? view.end.verdict : done);
    redraw(this.end, view.end, () => (view.end ? [
      view.end.warnings.length ? element("ul", { class: "rb-notes" }, ...view.end.warnings.map((text) => element("li", { dir: "auto" }, text))) : "",
      element("div", {}, [done, view.end.took, view.end.sealed].filter(Boolean).join(" ")),
      ...view.end.watch.length ? [element("strong", {}, "Watch from now on"),
        element("ul", { class: "rb-notes" }, ...view.end.watch.map((text) => element("li", {}, text)))] : []] : []));
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

  // The report, and the evidence as one file: both come from the kernel, so they work on every page.
  buildTake({ bundle_name: name, end }) {
    const fetch = (label, purpose, file, isFirst) => element("button", { type: "button", class: isFirst ? "rb-first" : null, "data-fetch": file,
      "data-purpose": purpose, "data-key": purpose, onclick: () => this.fetch(purpose, file) }, label);
    return [fetch("Open the report", "open", "report.html", end), fetch("Download the evidence", "save", `${name}.zip`, end),
      fetch("Print the report, or save it as PDF", "print", "report.html", false)];
  }

  // A window can be opened only while the press is handled: the report follows.
  fetch(purpose, file) {
    this.purpose = purpose;
    this.window = purpose === "open" ? window.open("", "_blank") : null;
    this.send({ action: "fetch", name: file });
  }

  // The kernel sends what was sealed.
  onFile({ name }, [content]) {
    if (name !== "report.html") saveAs(name, content);
    else if (this.purpose === "open") showPage(this.window, new TextDecoder().decode(content));
    else printPage(new TextDecoder().decode(content));
  }

  // JupyterLab shows files below its folder; elsewhere the bundle is a folder on this machine.
  sealed({ bundle, bundle_name: name }) {
    const folder = labAddress("lab/tree", bundle);
    const place = folder
      ? ["Sealed: ", element("a", { href: folder, target: "_blank", "data-bundle": true }, name)]
      : ["Sealed in ", element("code", {}, bundle), "."];
    return element("div", { class: "rb-field-note" }, ...place);
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

// The report in a window of its own, without scripts.
function showPage(there, html) {
  if (!there) return;
  there.document.title = "Report";
  const frame = there.document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-popups");
  frame.title = "Report";
  frame.style.cssText = "position: fixed; inset: 0; width: 100%; height: 100%; border: 0; background: #fff";
  frame.srcdoc = html;
  there.document.body.append(frame);
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
