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
    const next = view.next
      ? element("span", {}, element("strong", {}, "Next: "),
        view.next.is_here
          ? element("a", { href: `#runbook-${view.next.id}`, "data-next": view.next.id,
              onclick: (event) => { event.preventDefault(); jump(view.next.id); } }, view.next.title)
          : element("span", {}, `${view.next.title} (in another notebook: ${view.next.id})`),
        `. ${view.next.advice}`)
      : element("strong", {}, "Every step is done. Seal the evidence at the end of the notebook.");
    root.replaceChildren(
      element("div", { class: "rb-row" },
        element("span", { class: view.sandbox ? "rb-badge rb-sandbox" : "rb-badge" },
          view.sandbox ? "SANDBOX" : "PRODUCTION"),
        element("strong", {}, view.section),
        element("span", { class: "rb-label" }, `tenant ${view.tenant}`),
        view.operator ? element("span", { class: "rb-label" }, `operator ${view.operator}`) : null),
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
