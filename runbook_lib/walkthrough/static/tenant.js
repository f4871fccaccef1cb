// The question whose app this is, in the header's place until it is answered. What a person types
// travels in messages: the kernel answers with a problem, with a doubt, or by showing the header here.

class TenantForm {
  constructor(model, el) {
    this.model = model;
    this.asked = ""; // the answer that was sent last
    const { question, field, help } = model.get("view");
    this.field = element("input", { id: "runbook-tenant-name", type: "text", autocomplete: "off", spellcheck: "false", dir: "auto",
      "aria-describedby": "runbook-tenant-help", oninput: () => this.draw() });
    this.open = element("button", { type: "button", "data-action": "open-tenant", onclick: () => this.send({}) }, "Open the walkthrough");
    this.begin = element("button", { type: "button", class: "rb-main", "data-action": "begin-tenant",
      onclick: () => this.send({ is_sure: true }) }, "Begin it as a new tenant");
    this.problem = element("div", { class: "rb-problem", role: "alert", hidden: true, dir: "auto" });
    this.doubt = element("div", { class: "rb-doubt", role: "alert", hidden: true, dir: "auto" });
    this.root = element("section", { class: "rb rb-panel", id: "runbook-tenant", tabindex: -1, "aria-label": question,
      "data-lm-suppress-shortcuts": "true" },
    element("div", { class: "rb-confirms" }, question),
    element("div", { class: "rb-fields" }, element("label", { for: this.field.id }, field),
      element("div", {}, this.field, element("div", { class: "rb-field-note", id: "runbook-tenant-help", dir: "auto" }, help))),
    this.problem, this.doubt, element("div", { class: "rb-row" }, this.open, this.begin));
    ignoreClicksWhileHeld(this.root);
    this.field.addEventListener("keydown", (event) => this.press(event));
    el.append(this.root);
    this.draw();
  }

  // Shows what the kernel has answered, nothing once the text has changed.
  draw({ kind = "", text = "" } = {}) {
    for (const [node, name] of [[this.problem, "problem"], [this.doubt, "doubt"]]) {
      node.hidden = kind !== name;
      setText(node, kind === name ? text : "");
    }
    this.field.setAttribute("aria-invalid", String(kind === "problem"));
    // One button is blue: what goes on from here.
    this.begin.hidden = kind !== "doubt";
    this.open.classList.toggle("rb-main", kind !== "doubt");
    holdButtons(this.root, false);
  }

  // A problem that the kernel reports for an older text is out of date.
  hear(message) { this.draw(this.field.value.trim() === this.asked ? message : {}); }

  press(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    this.open.click();
  }

  send(more) {
    const text = this.field.value.trim();
    if (!text) {
      this.draw({ kind: "problem", text: "Enter an answer first." });
      this.field.focus();
      return;
    }
    this.asked = text;
    holdButtons(this.root, true);
    if (!ask(this.model, { action: "answer", text, ...more })) this.lose();
  }

  stand() {
    cellOf(this.root)?.scrollIntoView({ block: "start" });
    this.field.focus({ preventScroll: true });
  }

  lose() { this.draw({ kind: "problem", text: runAgain() }); }
}

function render({ model, el }) {
  const form = new TenantForm(model, el);
  const hear = (message) => form.hear(message);
  model.on("msg:custom", hear);
  const forgetKernel = watchKernel(model, () => form.lose());
  const forgetPlace = whenPlaced(form.root, () => markCell(form.root, "rb-cell"));
  const forgetStand = standUntilActed(() => form.stand(), () => form.root.id);
  return () => {
    forgetStand();
    forgetPlace();
    forgetKernel();
    model.off("msg:custom", hear);
  };
}

export default { render };
