// The forms of a step: done, submitted, declined, skipped, withdrawn; each with the person's name.
// A form keeps its content until the kernel has recorded it.

function megabytes(size) { return `${(size / 2 ** 20).toFixed(1)} MiB`; }

class WordForm {
  /** @type {HTMLElement} */
  // @ts-expect-error: the panel that owns this form makes the button that opens it
  button;

  // `form` is one of the view's `forms`: name, texts, whether it takes files.
  constructor(panel, form) {
    this.panel = panel;
    this.name = form.name;
    this.action = form.action;
    this.answer = form.answer; // which of the step's answers it gives, or empty
    this.label = form.label;
    this.noteName = form.note_name;
    this.noteMissing = form.note_missing;
    this.asked = null; // what was written and finished when this form was confirmed
    this.files = [];
    this.largest = panel.model.get("view").largest;
    this.filesHelp = form.files_help;
    this.fields = element("div", { class: "rb-fields" });
    this.problem = element("div", { class: "rb-problem", role: "alert", hidden: true });
    this.root = element("div", { class: "rb-form", hidden: true, role: "group", "aria-label": form.label, dir: "auto" },
      element("div", { class: "rb-confirms" }, form.sentence),
      this.fields,
      element("div", { class: "rb-row" }, element("button", { type: "button", class: "rb-main",
        "data-action": `confirm-${form.name}`, onclick: () => this.confirm() }, "Confirm")),
      this.problem);
    this.root.addEventListener("keydown", (event) => this.press(event));
    this.addText("by", "Your name", "", { autocomplete: "name", value: savedOperator() });
    this.more = form.fields.map(({ name }) => name);
    for (const { name, label, help, type } of form.fields) this.addText(name, label, help, { type });
    this.addText(form.note_name, form.note_label, form.note_help);
    if (form.has_files) this.addFiles();
  }

  press(event) {
    if (event.key === "Escape") {
      this.panel.showForm(null);
      this.button.focus();
    } else if (event.key === "Enter" && event.target.type === "text" && !event.isComposing) {
      event.preventDefault();
      this.root.querySelector(`[data-action="confirm-${this.name}"]`).click();
    }
  }

  add(id, label, ...below) {
    this.fields.append(element("label", { for: id }, label), element("div", {}, ...below));
  }

  addText(name, label, note, properties = {}) {
    const id = `${this.panel.key}-${this.name}-${name}`;
    this.add(id, label, element("input", { id, type: "text", "data-name": name, dir: "auto", ...properties }),
      note ? element("div", { class: "rb-field-note" }, note) : null);
  }

  field(name) { return this.root.querySelector(`[data-name="${name}"]`); }

  // Returns the form's content and the bytes of its files.
  async statement() {
    const buffers = await Promise.all(this.files.map((file) => file.arrayBuffer()));
    const seen = this.field("seen");
    const more = Object.fromEntries(this.more.map((name) => [name, this.field(name).value]));
    return [{ ...more, note: this.field(this.noteName).value, seen: seen ? seen.value : "",
      files: this.files.map((file) => ({ name: file.name || "pasted.png", type: file.type })) }, buffers];
  }

  async confirm() {
    const { written, finished } = this.panel.model.get("view");
    if (this.asked || this.lacks("by", "Enter your name: the record says who confirmed this.")) return;
    if (this.noteName === "reason" && this.lacks("reason", this.noteMissing)) return;
    this.asked = { written, finished };
    try {
      const [words, buffers] = await this.statement();
      const by = this.field("by").value.trim();
      saveOperator(by);
      if (!this.panel.send({ action: this.action, answer: this.answer, by, ...words }, buffers)) this.asked = null;
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
    if (!this.asked) return;
    if (view.written > this.asked.written) {
      this.asked = null;
      this.clear();
      this.panel.closeForm(this);
    } else if (view.finished > this.asked.finished && !view.busy_since) {
      this.asked = null;
    }
  }

  clear() {
    for (const field of this.root.querySelectorAll("input[data-name]")) field.value = "";
    if (this.fileNames) this.setFiles([]);
  }

  addFiles() {
    this.addText("seen", "What differed", "Optional: how the screen looked, where it is not as described here.");
    this.root.addEventListener("paste", (event) => {
      const pasted = [...event.clipboardData.files];
      if (pasted.length) { event.preventDefault(); this.attach(pasted); }
    });
    const id = `${this.panel.key}-file`;
    this.fileNames = element("span", { class: "rb-field-note", "aria-live": "polite" });
    this.removeFiles = element("button", { type: "button", class: "rb-small", "data-action": "remove-files",
      hidden: true, onclick: () => this.setFiles([]) }, "Remove");
    this.add(id, "Screenshot",
      element("input", { id, type: "file", multiple: true, "aria-describedby": `${id}-note`,
        accept: "image/png,image/jpeg,image/gif,image/webp,application/pdf,application/json",
        onchange: (event) => { this.attach(event.target.files); event.target.value = ""; } }),
      element("div", { class: "rb-field-note", id: `${id}-note` },
        `Choose files, or paste a picture anywhere in this form. At most ${megabytes(this.largest)} in total. ${this.filesHelp}`),
      element("div", { class: "rb-row" }, this.fileNames, this.removeFiles));
  }

  // NOTE: one message carries all files, and Jupyter's server drops the connection over a larger one.
  attach(files) {
    const refused = [];
    const kept = [...this.files];
    for (const file of files) {
      const size = [...kept, file].reduce((sum, item) => sum + item.size, 0);
      if (size > this.largest) refused.push(`${file.name || "The pasted picture"} (${megabytes(file.size)})`);
      else kept.push(file);
    }
    this.setFiles(kept);
    if (refused.length) {
      this.refuse(`Not attached: ${refused.join(", ")}. The limit for all files together is ${megabytes(this.largest)}. `
        + "Attach a smaller picture.");
    }
  }

  setFiles(files) {
    this.files = files;
    const names = files.map((file) => file.name || "pasted picture").join(", ");
    setText(this.fileNames, names && `Attached: ${names}`);
    this.removeFiles.hidden = !names;
    this.refuse("");
  }

  refuse(text) {
    setText(this.problem, text);
    this.problem.hidden = !text;
  }
}
