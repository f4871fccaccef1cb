// The header: tenant, progress, next step. It stays visible while scrolling. Only texts change, not
// nodes, so that focus is kept.

function stick(root) {
  cellOf(root)?.classList.add("rb-sticky");
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
    this.world = element("span", { class: "rb-badge" });
    this.title = element("strong", {});
    this.tenant = element("bdi", { class: "rb-label rb-name" });
    this.operator = element("bdi", {});
    this.operatorLabel = element("span", {});
    this.bar = element("div", { class: "rb-bar", role: "progressbar", "aria-label": "Steps done", "aria-valuemin": 0 });
    this.counts = element("span", { class: "rb-label" });
    this.link = element("a", { onclick: (event) => this.follow(event) });
    this.after = element("span", {});
    this.next = element("div", {}, element("strong", {}, "Next: "), this.link, this.after);
    this.done = element("strong", {}, "Every step is done. Seal the evidence at the end of the notebook.");
    this.said = element("div", {});
    this.known = element("div", { class: "rb-known" },
      element("div", { class: "rb-row" }, this.world, this.title, this.tenant,
        element("span", { class: "rb-label rb-name" }, this.operatorLabel, this.operator)),
      this.bar,
      element("div", { class: "rb-row" }, this.counts));
    this.root = element("section", { class: "rb rb-header", "aria-label": "Progress of the runbook" }, this.known,
      element("div", { "aria-live": "polite" }, this.next, this.done, this.said));
    el.append(this.root);
  }

  draw() {
    const view = this.model.get("view");
    const isKnown = Boolean(view.title);
    this.known.hidden = !isKnown;
    this.next.hidden = !view.next;
    this.done.hidden = !isKnown || Boolean(view.next);
    if (isKnown) this.drawKnown(view);
    if (view.next) this.drawNext(view.next);
    this.say(this.isLost ? { message: RUN_AGAIN, advice: "", is_error: true } : view);
  }

  drawKnown(view) {
    this.world.classList.toggle("rb-sandbox", view.sandbox);
    setText(this.world, view.sandbox ? "SANDBOX" : "PRODUCTION");
    setText(this.title, view.title);
    setText(this.tenant, `tenant ${view.tenant}`);
    const operator = view.operator || savedOperator();
    setText(this.operatorLabel, operator ? "operator " : "no operator named yet");
    setText(this.operator, operator);
    this.operator.title = operator;
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
      ...view.counts.map(({ icon, label, count }) => `${icon} ${count} ${label}`.replaceAll(" ", "\u00a0"))].join(" · "));
  }

  drawNext({ id, number, title, advice }) {
    this.link.dataset.next = id;
    this.link.href = `#runbook-${id}`;
    setText(this.link, `${number} · ${title}`);
    setText(this.after, `. ${advice}`);
  }

  follow(event) {
    const { id, title } = this.model.get("view").next;
    event.preventDefault();
    this.say({ message: jump(id, title), advice: "", is_error: true });
  }

  say(view) {
    redraw(this.said, [view.message, view.advice], () => (view.message ? [messageBox(view)] : []));
  }

  lose() {
    this.isLost = true;
    this.draw();
  }
}

function render({ model, el }) {
  const header = new Header(model, el);
  const draw = () => header.draw();
  const forgetKernel = watchKernel(model, () => header.lose());
  model.on("change:view", draw);
  draw();
  requestAnimationFrame(() => stick(header.root));
  const forgetSize = measure(header.root);
  return () => {
    forgetSize();
    forgetKernel();
    model.off("change:view", draw);
  };
}

export default { render };
