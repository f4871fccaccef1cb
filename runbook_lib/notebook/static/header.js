// The header: whose run this is, how far it is, what comes next. It stays in reach while scrolling.

function stick(root) {
  root.closest(".jp-Cell")?.classList.add("rb-sticky");
}

// What is jumped to must not come to lie below the header, which grows where the page is narrow.
function measure(root) {
  const resized = new ResizeObserver(() => {
    document.documentElement.style.setProperty("--rb-header-height", `${root.offsetHeight}px`);
  });
  resized.observe(root);
  return () => resized.disconnect();
}

// The next step's name: a link to it, or to the notebook where it is.
function drawNext(next) {
  if (!next.notebook) {
    return [element("a", { href: `#runbook-${next.id}`, "data-next": next.id,
      onclick: (event) => { event.preventDefault(); jump(next.id); } }, next.title)];
  }
  const address = notebookAddress(next.notebook);
  const name = next.notebook.split("/").pop();
  return [next.title, " (in ", address
    ? element("a", { href: address, target: "_blank", "data-next": next.id }, `${name} ↗`)
    : element("code", {}, name), ")"];
}

function render({ model, el }) {
  const root = element("section", { class: "rb rb-header", "aria-label": "Progress of the runbook" });
  el.append(root);

  function draw() {
    const view = model.get("view");
    const bar = element("div", { class: "rb-bar", role: "progressbar", "aria-label": "Steps done",
      "aria-valuemin": 0, "aria-valuemax": view.total, "aria-valuenow": view.settled,
      "aria-valuetext": `${view.settled} of ${view.total} steps done` });
    for (const { outcome, count } of view.counts) {
      if (outcome === "not_run") continue;
      const part = element("span", { "data-outcome": outcome });
      part.style.width = `${(100 * count) / view.total}%`;
      bar.append(part);
    }
    const counts = element("span", { class: "rb-label" },
      [`${view.settled} of ${view.total} done`,
        ...view.counts.map(({ icon, outcome, count }) => `${icon} ${count} ${outcome.replace("_", " ")}`)].join(" · "));
    const operator = view.operator || remembered();
    const next = view.next
      ? element("span", {}, element("strong", {}, "Next: "), ...drawNext(view.next), `. ${view.next.advice}`)
      : element("strong", {}, "Every step is done. Seal the evidence at the end of the notebook.");
    root.replaceChildren(
      element("div", { class: "rb-row" },
        element("span", { class: view.sandbox ? "rb-badge rb-sandbox" : "rb-badge" },
          view.sandbox ? "SANDBOX" : "PRODUCTION"),
        element("strong", {}, view.section),
        element("span", { class: "rb-label" }, `tenant ${view.tenant}`),
        element("span", { class: "rb-label" }, operator ? `operator ${operator}` : "operator not named yet")),
      bar,
      element("div", { class: "rb-row" }, counts),
      element("div", { "aria-live": "polite" }, next),
    );
  }

  draw();
  model.on("change:view", draw);
  requestAnimationFrame(() => stick(root));
  const forget = measure(root);
  return () => {
    forget();
    model.off("change:view", draw);
  };
}

export default { render };
