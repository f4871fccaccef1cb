// The end of a notebook: what is done, what is open, and the evidence.

function render({ model, el }) {
  const root = element("section", { class: "rb rb-panel", id: "runbook-finish", tabindex: -1,
    "aria-label": "The end of this notebook", "data-lm-suppress-shortcuts": "true" });
  el.append(root);

  function sealed(view) {
    if (!view.bundle) return null;
    const folder = labAddress("lab/tree", view.bundle);
    if (!folder) return element("div", {}, "Sealed: ", element("code", {}, view.bundle));
    const report = labAddress("files", `${view.bundle}/report.html`);
    return element("div", {}, "Sealed: ",
      element("a", { href: folder, target: "_blank", "data-bundle": true }, view.bundle_name),
      " · ", element("a", { href: report, target: "_blank" }, "Read the report"));
  }

  function draw() {
    const view = model.get("view");
    const isBusy = Boolean(view.busy_since);
    root.setAttribute("aria-busy", String(isBusy));
    root.dataset.outcome = view.open.length ? "waiting" : "verified";
    root.replaceChildren(
      element("div", {}, element("strong", {}, view.open.length
        ? `${view.done} of ${view.total} steps of this notebook are done. Open:`
        : `All ${view.total} steps of this notebook are done.`)),
      element("ul", { class: "rb-notes", hidden: view.open.length === 0 }, ...view.open.map((step) =>
        element("li", {}, element("a", { href: `#runbook-${step.id}`, onclick: (event) => {
          event.preventDefault();
          jump(step.id);
        } }, step.title), ` ${step.icon} ${step.outcome.replace("_", " ")}`))),
      element("div", { class: "rb-row" },
        element("button", { type: "button", class: "rb-main", "data-action": "seal", disabled: isBusy,
          onclick: () => model.send({ action: "seal" }) }, "Seal the evidence"),
        element("span", { class: "rb-field-note" },
          "Checks every step again, headless, and leaves a bundle that tells what was seen.")),
      element("div", { role: "status", "aria-live": "polite" },
        isBusy ? element("div", { class: "rb-message" }, element("span", { class: "rb-spin" }), "Checking every step again…")
          : view.message ? told(view) : "",
        sealed(view) ?? ""),
    );
  }

  draw();
  model.on("change:view", draw);
  return () => model.off("change:view", draw);
}

export default { render };
