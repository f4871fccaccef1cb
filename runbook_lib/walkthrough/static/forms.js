// The forms of a step: what a named person says about it. A form keeps its content until the kernel
// has recorded it.

function megabytes(size) { return `${(size / 2 ** 20).toFixed(1)} MiB`; }

class RemarkForm {
  // `form` is one of the view's `forms`: what may be said, whether a note is needed, whether it takes files.
  constructor(panel, form) {
    this.panel = panel;
    this.form = form;
    this.name = form.name;
    this.option = this.chosen;
    this.asked = null; // what was written and finished when this form was confirmed
    this.files = [];
    this.sure = new Map(); // days that were warned of, and are used anyway
    this.sentence = element("div", { class: "rb-confirms" });
    this.fields = element("div", { class: "rb-fields" });
    this.who = element("div", { class: "rb-fields" });
    this.notes = element("div", { class: "rb-fields" });
    this.problem = element("div", { class: "rb-problem", role: "alert", hidden: true });
    this.doubt = element("div", { class: "rb-doubt", role: "alert", hidden: true });
    this.confirmButton = element("button", { type: "button", "data-action": `confirm-${form.name}`, onclick: () => this.confirm() });
    this.notYou = element("button", { type: "button", class: "rb-small rb-plain", "data-action": "not-you",
      onclick: () => this.askWho() }, "Not you?");
    // A note that may be left out stands in the card's fold; one that is needed stands in the form.
    this.hasAside = !form.needs_note;
    if (this.hasAside) this.notes.setAttribute("data-aside", form.name);
    this.root = element("div", { class: "rb-form", hidden: true, "data-inline": ["attest", "answer"].includes(form.name), role: "group", "aria-label": form.label, dir: "auto" },
      ...form.options.length > 1 ? [element("div", { class: "rb-confirms" }, form.label), this.buildOptions(form)] : [], this.sentence, this.fields, this.who,
      ...this.hasAside ? [] : [this.notes],
      element("div", { class: "rb-row rb-acts" }, this.confirmButton, this.notYou),
      this.problem, this.doubt);
    for (const part of this.parts) part.addEventListener("keydown", (event) => this.press(event));
    this.addText(this.who, "by", "Your name", "", { autocomplete: "name", oninput: () => this.drawWho(false) });
    this.noteLabel = this.addText(this.notes, "note", form.note_label, form.note_help);
    if (form.has_files) this.addFiles();
    this.choose(this.option);
  }

  // The form, and its note where that stands elsewhere.
  get parts() { return this.hasAside ? [this.root, this.notes] : [this.root]; }

  // All nodes of the form that a selector names.
  all(selector) { return this.parts.flatMap((part) => [...part.querySelectorAll(selector)]); }

  contains(node) { return this.parts.some((part) => part.contains(node)); }

  // The preselected option.
  get chosen() {
    const { options, chosen } = this.form;
    return options.length === 1 ? options[0] : options.find(({ name }) => name === chosen) ?? null;
  }

  choose(option) {
    this.option = option;
    this.refuse("");
    for (const radio of this.root.querySelectorAll("[data-option]")) radio.checked = radio.dataset.option === option?.name;
    this.drawOption();
  }

  // Takes over what was typed into the form that stood here before the step went on.
  take(earlier) {
    const active = /** @type {HTMLElement | null} */ (document.activeElement);
    const focused = earlier.contains(active) && active?.dataset.name;
    if (!this.chosen && earlier.option) this.choose(this.form.options.find(({ name }) => name === earlier.option.name) ?? null);
    for (const field of earlier.all("input[data-name]")) {
      const same = this.field(field.dataset.name);
      if (same && field.value) same.value = field.value;
    }
    if (earlier.files.length) this.setFiles(earlier.files);
    earlier.root.replaceWith(this.root);
    if (earlier.hasAside) earlier.notes.replaceWith(this.notes);
    if (focused) this.field(focused)?.focus();
  }

  // One question, and what may be true.
  buildOptions(form) {
    const id = `${this.panel.key}-${form.name}-option`;
    return element("div", { role: "radiogroup", class: "rb-options", "aria-label": form.label }, ...form.options.map((option, number) =>
      element("label", {}, element("input", { type: "radio", name: id, value: String(number), "data-option": option.name,
        onchange: () => this.choose(option) }), " ", option.label)));
  }

  drawOption() {
    const { option } = this;
    this.sentence.hidden = !option;
    setText(this.sentence, option?.sentence ?? "");
    if (option) setText(this.noteLabel, option.note_label || this.form.note_label);
    if (option?.note_label) this.panel.menu.open = true; // its reason is asked for there
    this.fields.replaceChildren();
    this.fields.hidden = !option?.fields.length;
    for (const { name, label, help, type, choices, ticked } of option?.fields ?? []) {
      if (type === "choices") this.addChoices(name, label, choices, ticked);
      else this.addText(this.fields, name, label, help, { type });
    }
    this.drawWho(false);
  }

  press(event) {
    if (event.key === "Escape") {
      this.panel.closeForm(this, { isCancelled: true });
    } else if (event.key === "Enter" && event.target.type === "text" && !event.isComposing) {
      event.preventDefault();
      this.confirmButton.click();
    }
  }

  add(parent, id, label, ...below) {
    const named = element("label", { for: id }, label);
    parent.append(named, element("div", {}, ...below));
    return named;
  }

  addText(parent, name, label, note, properties = {}) {
    const id = `${this.panel.key}-${this.name}-${name}`;
    const field = element("input", { id, type: "text", "data-name": name, dir: "auto", ...properties });
    if (name !== "by") keepTyped(field, id, () => this.panel.showAgain(this));
    return this.add(parent, id, label, field,
      note ? element("div", { class: "rb-field-note" }, note) : null);
  }

  // Names of which some may be meant: all, or none, until the person says otherwise.
  addChoices(name, label, choices, ticked) {
    const boxes = choices.map((choice) => {
      const box = element("input", { type: "checkbox", "data-choice": name, value: choice });
      box.checked = ticked;
      return element("label", {}, box, " ", choice);
    });
    this.fields.append(element("span", {}, label), element("div", { role: "group", "aria-label": label, class: "rb-options" }, ...boxes));
  }

  // The labels of what was written and is not recorded; a name alone is soon typed again.
  get unsaved() {
    const fields = this.all("input[data-name]").filter((field) => field.value && field.dataset.name !== "by");
    return [...fields.map((field) => field.closest("div")?.previousElementSibling?.textContent ?? ""), ...this.files.length ? ["Screenshot"] : []];
  }

  field(name) { return this.all(`[data-name="${name}"]`)[0] ?? null; }

  // A second person is never offered the first one's name.
  get person() {
    const view = this.panel.model.get("view");
    return view.needs_another ? "" : personHere(view.user);
  }

  // The button bears the name of who confirms. The field is there once it is needed.
  drawWho(isAsked) {
    const { person } = this;
    const view = this.panel.model.get("view");
    this.isAsked = !person && (this.isAsked || isAsked || view.is_next || this.name !== "attest");
    this.who.hidden = !this.isAsked || !this.option;
    this.notYou.hidden = !person || !this.option;
    const name = person || this.field("by").value.trim();
    setText(this.confirmButton, name ? `${name} ${this.form.verb}` : this.form.act);
  }

  // A refused name stands in its field again, to be corrected.
  askNameAgain(name) {
    setPerson("");
    this.field("by").value = name;
    this.drawWho(true);
  }

  askWho() {
    setPerson("");
    this.drawWho(true);
    this.field("by").focus();
  }

  // Returns the form's content and the bytes of its files.
  async statement() {
    const buffers = await Promise.all(this.files.map((file) => file.arrayBuffer()));
    const typed = {};
    for (const field of this.all("[data-name]")) typed[field.dataset.name] = field.value;
    for (const box of this.root.querySelectorAll("[data-choice]")) {
      typed[box.dataset.choice] ??= [];
      if (box.checked) typed[box.dataset.choice].push(box.value);
    }
    const files = this.files.map((file) => ({ name: file.name || "pasted.png", type: file.type }));
    const { action, answer } = this.option;
    const sure = [...this.sure].filter(([name, day]) => typed[name] === day).map(([name]) => name);
    return { words: { ...typed, action, answer, by: this.person || typed.by.trim(), files, ...sure.length ? { sure } : {} }, buffers };
  }

  async confirm() {
    if (this.asked) return;
    if (!this.option) {
      this.refuse("Choose an answer first.");
      this.root.querySelector("[data-option]").focus();
      return;
    }
    const { written, finished, needs_another: isSecond } = this.panel.model.get("view");
    if (!this.person) {
      this.drawWho(true);
      if (this.lacks("by", "Enter your name: the record says who confirmed this.")) return;
    }
    if (this.form.needs_note && this.lacks("note", this.form.note_missing)) return;
    this.asked = { written, finished };
    this.drawDoubts([]);
    try {
      const { words, buffers } = await this.statement();
      this.asked.typedName = this.person ? "" : words.by;
      if (!isSecond) setPerson(words.by);
      if (!this.panel.sendTyped(words, buffers)) this.asked = null;
    } catch {
      this.asked = null;
      this.refuse("A file can no longer be read. Choose it again.");
    }
  }

  // Says what is missing at its field, and returns whether something is.
  lacks(name, problem) {
    const field = this.field(name);
    const text = field.value.trim();
    field.setAttribute("aria-invalid", String(!text));
    this.refuse(text ? "" : problem);
    if (!text) field.focus();
    return !text;
  }

  // Follows what became of it: recorded, or refused and still to be corrected.
  update(view) {
    this.drawWho(false);
    if (!this.asked) return;
    if (view.written > this.asked.written) {
      this.asked = null;
      this.clear();
      this.panel.closeForm(this);
    } else if (view.finished > this.asked.finished && !view.busy_since) {
      const { typedName } = this.asked;
      this.asked = null;
      if (typedName && view.is_error) this.askNameAgain(typedName);
      this.drawDoubts(view.refused.filter(({ input, doubt }) => doubt && this.field(input)));
    }
  }

  // A day that is probably wrong is recorded only if the person says so.
  drawDoubts(doubts) {
    this.doubt.hidden = !doubts.length;
    this.doubt.replaceChildren(...doubts.map(({ doubt }) => element("div", {}, doubt)),
      element("button", { type: "button", class: "rb-small", "data-action": `anyway-${this.name}`,
        onclick: () => this.confirmAnyway(doubts) }, "Use it anyway"));
  }

  confirmAnyway(doubts) {
    for (const { input } of doubts) this.sure.set(input, this.field(input).value);
    this.confirm();
  }

  clear() {
    this.sure.clear();
    for (const field of this.all("input[data-name]")) {
      field.value = "";
      forgetTyped(field);
    }
    if (this.fileNames) this.setFiles([]);
    this.choose(this.chosen);
  }

  addFiles() {
    this.addText(this.notes, "seen", "Differences", "Optional: how the screen differed from the description here.");
    for (const part of this.parts) {
      part.addEventListener("paste", (event) => {
        const pasted = [...event.clipboardData.files];
        if (pasted.length) { event.preventDefault(); this.attach(pasted); }
      });
    }
    const id = `${this.panel.key}-${this.name}-file`;
    const { largest } = this.panel.model.get("view");
    this.fileNames = element("span", { class: "rb-field-note", "aria-live": "polite" });
    this.removeFiles = element("button", { type: "button", class: "rb-small", "data-action": "remove-files",
      hidden: true, onclick: () => this.setFiles([]) }, "Remove");
    this.add(this.notes, id, "Screenshot",
      element("input", { id, type: "file", multiple: true, "aria-describedby": `${id}-note`,
        accept: "image/png,image/jpeg,image/gif,image/webp,application/pdf,application/json",
        onchange: (event) => { this.attach(event.target.files); event.target.value = ""; } }),
      element("div", { class: "rb-field-note", id: `${id}-note` },
        `Choose files, or paste a picture anywhere in this form. At most ${megabytes(largest)} in total. ${this.form.files_help}`),
      element("div", { class: "rb-row" }, this.fileNames, this.removeFiles));
  }

  // NOTE: one message carries all files, and Jupyter's server drops the connection over a larger one.
  attach(files) {
    const { largest } = this.panel.model.get("view");
    const refused = [];
    const kept = [...this.files];
    for (const file of files) {
      const size = [...kept, file].reduce((sum, item) => sum + item.size, 0);
      if (size > largest) refused.push(`${file.name || "The pasted picture"} (${megabytes(file.size)})`);
      else kept.push(file);
    }
    this.setFiles(kept);
    if (this.hasAside) this.panel.menu.open = true;
    if (refused.length) {
      this.refuse(`Not attached: ${refused.join(", ")}. The limit for all files together is ${megabytes(largest)}. `
        + "Attach a smaller picture.");
    }
  }

  setFiles(files) {
    this.files = files;
    const names = files.map((file) => file.name || "pasted picture").join(", ");
    setText(this.fileNames, names && `Attached: ${names}`);
    this.removeFiles.hidden = !names;
    this.panel.markUnsaved();
    this.refuse("");
  }

  refuse(text) {
    setText(this.problem, text);
    this.problem.hidden = !text;
  }
}
