// One step's panel. It draws `view` and sends what a person asks for; it decides nothing.
// What is typed into a password field leaves in a message and is wiped from the page at once.

async function copy(text, button, label) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl+C";
    const range = document.createRange();
    const source = button.previousElementSibling;
    if (source) { range.selectNodeContents(source); getSelection().removeAllRanges(); getSelection().addRange(range); }
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

class Panel {
  constructor(model, el) {
    this.model = model;
    const view = model.get("view");
    this.key = `rb-${view.id}`; // each panel's script is loaded anew: a counter would start anew too
    this.files = [];
    this.fields = new Map();
    // A key that is pressed in here is no shortcut of JupyterLab's: two d's would delete the cell.
    this.root = element("section", { class: "rb rb-panel", id: `runbook-${view.id}`, tabindex: -1,
      "aria-label": view.title, "data-lm-suppress-shortcuts": "true" });
    this.status = element("div", { class: "rb-reason" });
    this.live = element("div", { role: "status", "aria-live": "polite" });
    this.tables = element("div", {});
    this.aids = element("div", {});
    this.inputs = element("div", { class: "rb-fields" });
    this.actions = element("div", { class: "rb-row" });
    this.consent = element("div", {});
    this.attestForm = this.buildAttestForm();
    this.skipForm = this.buildSkipForm();
    this.details = element("div", {});
    this.root.append(this.status, this.live, this.tables, this.aids, this.inputs, this.actions, this.consent,
      this.attestForm, this.skipForm, this.details);
    el.append(this.root);
    this.buildInputs(view);
    this.buildActions(view);
    this.draw();
    this.timer = setInterval(() => this.tick(), 250);
  }

  send(content, buffers) { this.model.send(content, undefined, buffers); }

  // --- what is typed ---------------------------------------------------------
  buildInputs(view) {
    this.inputs.hidden = view.inputs.length === 0;
    for (const input of view.inputs) {
      const id = `${this.key}-${input.name}`;
      const problem = element("div", { class: "rb-problem", id: `${id}-problem`, "aria-live": "polite", hidden: true });
      const note = element("div", { class: "rb-field-note", id: `${id}-note` });
      const field = element("input", {
        id, type: input.kind, "aria-describedby": `${id}-note ${id}-problem`, "data-name": input.name,
        placeholder: input.example || null, autocomplete: "off", spellcheck: "false" });
      if (input.kind === "checkbox") field.checked = Boolean(input.value);
      else field.value = input.value;
      field.addEventListener("input", () => {
        field.dataset.touched = "yes";
        clearTimeout(field.waiting);
        field.waiting = setTimeout(() => this.validate(input, field), 200);
      });
      const holder = element("div", {}, field, note, problem);
      if (input.kind === "password") holder.append(this.buildKeep(input));
      this.inputs.append(element("label", { for: id }, input.label), holder);
      this.fields.set(input.name, { input, field, note, problem });
    }
  }

  buildKeep(input) {
    const ask = (where) => () => { this.take(); this.send({ action: "keep", name: input.name, where }); };
    const button = (text, where) => element("button", { type: "button", class: "rb-small",
      "data-keep": where, onclick: ask(where), "aria-label": `${text}: ${input.label}` }, text);
    return element("div", { class: "rb-row rb-keep", hidden: true },
      element("span", { class: "rb-field-note" }, "Remember on this machine:"),
      button("in the keyring", "keyring"), button("in .env", ".env"), button("forget", "forget"));
  }

  validate(input, field) {
    if (input.kind === "checkbox") return;
    this.send({ action: "validate", name: input.name, value: field.value });
  }

  onProblem({ name, problem }) {
    const { field, problem: shown } = this.fields.get(name);
    shown.textContent = problem;
    shown.hidden = !problem;
    field.setAttribute("aria-invalid", problem ? "true" : "false");
  }

  // Returns what was typed, and wipes every password field.
  take() {
    const inputs = {};
    for (const [name, { input, field }] of this.fields) {
      if (input.kind === "checkbox") {
        if (field.dataset.touched) inputs[name] = field.checked;
      } else if (field.value && (input.kind === "password" || field.dataset.touched)) {
        inputs[name] = field.value;
      }
      if (input.kind === "password") field.value = "";
      delete field.dataset.touched;
    }
    return inputs;
  }

  // --- what can be done ------------------------------------------------------
  buildActions(view) {
    this.check = element("button", { type: "button", class: "rb-main", "data-action": "check",
      onclick: () => this.send({ action: "check", inputs: this.take() }) },
    view.can_check ? "Check" : "Save");
    this.check.hidden = !view.can_check && view.inputs.length === 0;
    const open = (form) => () => {
      this.showForm(form.hidden ? form : null);
      if (form.hidden) return;
      const name = form.querySelector('[data-name="by"]');
      // Where another person must confirm, the name of the one before is not offered.
      name.value = this.model.get("view").needs_another ? "" : name.value || remembered();
      name.focus();
    };
    this.attestButton = element("button", { type: "button", "data-action": "attest",
      "aria-expanded": "false", onclick: open(this.attestForm) },
    this.attestLabel(view));
    this.skipButton = element("button", { type: "button", "data-action": "skip",
      "aria-expanded": "false", onclick: open(this.skipForm) }, "Skip");
    this.actions.append(this.check, this.attestButton, this.skipButton);
    if (view.needs_consent) this.buildConsent();
  }

  showForm(form) {
    for (const [one, button] of [[this.attestForm, this.attestButton], [this.skipForm, this.skipButton]]) {
      one.hidden = one !== form;
      button.setAttribute("aria-expanded", String(one === form));
    }
  }

  // Whoever works by keyboard or screen reader stays in this panel, where the answer is told.
  closeForms() {
    this.showForm(null);
    this.root.focus({ preventScroll: true });
  }

  attestLabel(view) {
    if (view.needs_another) return "I confirm it";
    return view.can_wait ? "I have submitted it" : "I have done this";
  }

  nameField(form) {
    const id = `${this.key}-${form}-name`;
    const field = element("input", { id, type: "text", "data-name": "by", autocomplete: "name",
      value: remembered() });
    return [element("label", { for: id }, "Your name"), element("div", {}, field)];
  }

  textField(form, name, label, note) {
    const id = `${this.key}-${form}-${name}`;
    return [element("label", { for: id }, label),
      element("div", {}, element("input", { id, type: "text", "data-name": name }),
        note ? element("div", { class: "rb-field-note" }, note) : null)];
  }

  buildAttestForm() {
    const view = this.model.get("view");
    const fileId = `${this.key}-file`;
    this.fileNames = element("span", { class: "rb-field-note", "aria-live": "polite" });
    this.removeFiles = element("button", { type: "button", class: "rb-small", "data-action": "remove-files",
      hidden: true, onclick: () => this.setFiles([]) }, "Remove");
    const picker = element("input", { id: fileId, type: "file", multiple: true,
      accept: "image/png,image/jpeg,image/gif,image/webp,application/pdf",
      onchange: (event) => { this.setFiles([...this.files, ...event.target.files]); event.target.value = ""; } });
    const waiting = view.can_wait
      ? [element("label", { for: `${this.key}-approved` }, "Facebook has approved it"),
        element("div", {}, element("input", { id: `${this.key}-approved`, type: "checkbox", "data-name": "approved" }),
          element("div", { class: "rb-field-note" }, "Leave empty while the review is under way: the runbook watches it."))]
      : [];
    const form = element("div", { class: "rb-form", hidden: true, role: "group",
      "aria-label": "Say that it is done" },
    element("div", { class: "rb-fields" },
      ...this.nameField("attest"),
      ...this.textField("attest", "note", "Note", "Optional: what the record should keep."),
      ...this.textField("attest", "seen", "What you saw", "Optional: where the screen looked otherwise than described."),
      ...waiting,
      element("label", { for: fileId }, "Screenshot"),
      element("div", {}, picker, element("div", { class: "rb-field-note" }, "Choose a file, or paste a picture anywhere in this form."),
        element("div", { class: "rb-row" }, this.fileNames, this.removeFiles))),
    element("div", { class: "rb-row" },
      element("button", { type: "button", class: "rb-main", "data-action": "confirm-attest",
        onclick: () => this.attest(form) }, "Confirm")));
    form.addEventListener("paste", (event) => {
      const pasted = [...event.clipboardData.files];
      if (pasted.length) { event.preventDefault(); this.setFiles([...this.files, ...pasted]); }
    });
    return form;
  }

  buildSkipForm() {
    const form = element("div", { class: "rb-form", hidden: true, role: "group", "aria-label": "Leave it out" },
      element("div", { class: "rb-fields" }, ...this.nameField("skip"),
        ...this.textField("skip", "reason", "Reason", "The record keeps it.")),
      element("div", { class: "rb-row" },
        element("button", { type: "button", class: "rb-main", "data-action": "confirm-skip",
          onclick: () => {
            const by = this.nameOf(form);
            this.send({ action: "skip", by, reason: this.valueOf(form, "reason") });
            if (by) this.closeForms();
          } }, "Confirm")));
    return form;
  }

  valueOf(form, name) { return form.querySelector(`[data-name="${name}"]`).value; }

  nameOf(form) {
    const by = this.valueOf(form, "by").trim();
    remember(by);
    return by;
  }

  setFiles(files) {
    this.files = files;
    const names = files.map((file) => file.name || "pasted picture").join(", ");
    this.fileNames.textContent = names && `Attached: ${names}`;
    this.removeFiles.hidden = !names;
  }

  async attest(form) {
    const approved = form.querySelector('[data-name="approved"]');
    const buffers = await Promise.all(this.files.map((file) => file.arrayBuffer()));
    const by = this.nameOf(form);
    this.send({ action: "attest", by, note: this.valueOf(form, "note"), seen: this.valueOf(form, "seen"),
      waiting: Boolean(approved) && !approved.checked,
      files: this.files.map((file) => ({ name: file.name || "pasted.png", type: file.type })) }, buffers);
    if (by) {
      this.setFiles([]);
      this.closeForms();
    }
  }

  buildConsent() {
    this.actions.prepend(element("button", { type: "button", class: "rb-main", "data-action": "consent",
      onclick: () => this.send({ action: "consent" }) }, "Sign in with Facebook"));
    const id = `${this.key}-redirect`;
    const field = element("input", { id, type: "text", autocomplete: "off", "data-name": "redirect" });
    this.consentLink = element("a", { class: "rb-main", target: "_blank", rel: "noopener", "data-consent": true },
      "Open the consent page ↗");
    this.consentPasteLink = element("a", { target: "_blank", rel: "noopener", "data-consent-paste": true },
      "open it this way");
    this.consent.append(element("div", { class: "rb-form", hidden: true },
      element("div", {}, this.consentLink),
      element("div", { class: "rb-field-note" }, "Facebook sends the browser back to this machine, which an app in development mode may. ",
        "Where it says URL Blocked, ", this.consentPasteLink, ": the browser then ends at your Service Domain, with the answer in its address."),
      element("div", { class: "rb-fields" },
        element("label", { for: id }, "Address afterwards"),
        element("div", {}, field, element("div", { class: "rb-field-note" },
          "Only then, or where JupyterLab runs on another machine and the last page does not open: paste the address from the address bar."))),
      element("div", { class: "rb-row" }, element("button", { type: "button", "data-action": "redirect",
        onclick: () => { const url = field.value; field.value = ""; this.send({ action: "redirect", url }); } },
      "Use this address"))));
  }

  onHandOver({ value }) {
    if (value && this.handOverButton) copy(value, this.handOverButton, this.handOverButton.dataset.label);
  }

  // --- what is known ---------------------------------------------------------
  draw() {
    const view = this.model.get("view");
    this.root.dataset.outcome = view.outcome;
    this.root.dataset.finished = view.finished;
    this.status.replaceChildren(
      element("span", { class: "rb-badge", "data-outcome": view.outcome }, `${view.icon} ${view.outcome.replace("_", " ")}`),
      ` ${view.reason}`, this.drawNotes(view));
    this.attestButton.textContent = this.attestLabel(view);
    this.drawTables(view);
    this.drawAids(view);
    this.drawInputs(view);
    this.drawDetails(view);
    if (view.needs_consent) {
      this.consent.firstChild.hidden = !view.consent_url;
      if (view.consent_url) {
        this.consentLink.href = view.consent_url;
        this.consentPasteLink.href = view.consent_paste_url;
      }
    }
    this.tick();
  }

  drawNotes(view) {
    const notes = [...view.warnings.map((text) => ["Warning", text]),
      ...view.changes.map((text) => ["Changed", text]),
      ...view.limits.map((text) => ["Not proven", text])];
    if (!notes.length) return "";
    return element("ul", { class: "rb-notes" }, ...notes.map(([label, text]) =>
      element("li", {}, element("em", {}, `${label}: `), text)));
  }

  drawTables(view) {
    const row = ([first, ...others]) => element("tr", {}, element("th", { scope: "row" }, first),
      ...others.map((text) => element("td", {}, text)));
    // A narrow page scrolls the table, so it must be reached by keyboard.
    this.tables.replaceChildren(...view.tables.map(({ caption, columns, rows }) =>
      element("div", { class: "rb-table", tabindex: 0, role: "group", "aria-label": caption },
        element("table", {}, element("caption", {}, caption),
          element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)))),
          element("tbody", {}, ...rows.map(row))))));
    this.tables.hidden = view.tables.length === 0;
  }

  drawAids(view) {
    const links = view.links.map(({ label, url }) =>
      element("a", { href: url, target: "_blank", rel: "noopener" }, `${label} ↗`));
    const rows = [];
    if (links.length) rows.push(element("div", { class: "rb-row" }, ...links));
    for (const { label, value } of view.pastes) {
      const button = element("button", { type: "button", class: "rb-small", "data-copy": label,
        "aria-label": `Copy ${label}` }, "Copy");
      button.addEventListener("click", () => copy(value, button, "Copy"));
      rows.push(element("div", { class: "rb-row" }, element("span", { class: "rb-label" }, label),
        element("code", {}, value), button));
    }
    if (view.hand_over) {
      const label = `Copy the ${view.hand_over.label}`;
      this.handOverButton = element("button", { type: "button", "data-action": "hand-over", "data-label": label,
        onclick: () => this.send({ action: "hand_over" }) }, label);
      rows.push(element("div", { class: "rb-row" }, this.handOverButton,
        element("span", { class: "rb-field-note" }, "It goes to the clipboard only.")));
    }
    const signature = JSON.stringify([view.links, view.pastes, view.hand_over]);
    if (signature !== this.aidsSignature) {
      this.aidsSignature = signature;
      this.aids.replaceChildren(...rows);
    }
    this.aids.hidden = rows.length === 0;
  }

  drawInputs(view) {
    for (const input of view.inputs) {
      const { field, note } = this.fields.get(input.name);
      const isFree = document.activeElement !== field && !field.dataset.touched;
      if (isFree && input.kind === "checkbox") field.checked = Boolean(input.value);
      else if (isFree && input.kind === "text") field.value = input.value;
      note.textContent = input.rests ? `Known (${input.rests}). Leave empty to keep it.` : input.help;
      const keep = field.parentElement.querySelector(".rb-keep");
      if (keep) keep.hidden = !input.rests;
    }
  }

  drawDetails(view) {
    const asked = view.exchanges.map((one) => element("details", {},
      element("summary", {}, `${one.line} → ${one.status}, ${one.milliseconds} ms`,
        one.trace ? `, trace ${one.trace}` : "", `, ${one.sent_on}`),
      element("pre", { tabindex: 0 }, one.detail)));
    const parts = [];
    if (asked.length) parts.push(this.fold("asked", "What was asked, and answered", asked));
    if (view.history.length) {
      parts.push(this.fold("history", "History", [element("ul", { class: "rb-notes" },
        ...view.history.map(({ at, what }) => element("li", {}, `${at} ${what}`)))]));
    }
    this.details.replaceChildren(...parts);
    this.details.hidden = parts.length === 0;
  }

  fold(name, title, children) {
    this.opened ||= {};
    const node = element("details", { "data-fold": name, open: Boolean(this.opened[name]) },
      element("summary", {}, title), ...children);
    node.addEventListener("toggle", () => { this.opened[name] = node.open; });
    return node;
  }

  // --- what is going on ------------------------------------------------------
  tick() {
    const view = this.model.get("view");
    const isBusy = Boolean(view.busy_since);
    for (const button of this.root.querySelectorAll("button")) button.disabled = isBusy;
    this.root.setAttribute("aria-busy", String(isBusy));
    if (isBusy) {
      const seconds = Math.max(0, Date.now() / 1000 - view.busy_since);
      if (this.saidBusy && seconds < 1) return;
      this.saidBusy = true;
      this.live.replaceChildren(element("div", { class: "rb-message", "data-busy": true },
        element("span", { class: "rb-spin", "aria-hidden": "true" }), "At work",
        element("span", { "aria-hidden": "true" }, ` for ${seconds.toFixed(0)} s`), "…"));
      this.said = null;
      return;
    }
    this.saidBusy = false;
    const watched = view.is_watched ? "Watched: this page looks again every minute and tells when it changes. You may close everything and come back." : "";
    const said = JSON.stringify([view.message, view.advice, watched]);
    if (said === this.said) return;
    this.said = said;
    this.live.replaceChildren(
      view.message ? told(view) : "",
      watched ? element("div", { class: "rb-message" }, watched) : "");
  }

  stop() { clearInterval(this.timer); }
}

function render({ model, el }) {
  const panel = new Panel(model, el);
  const draw = () => panel.draw();
  const hear = (message) => {
    if (message.kind === "problem") panel.onProblem(message);
    if (message.kind === "hand_over") panel.onHandOver(message);
  };
  model.on("change:view", draw);
  model.on("msg:custom", hear);
  return () => {
    panel.stop();
    model.off("change:view", draw);
    model.off("msg:custom", hear);
  };
}

export default { render };
