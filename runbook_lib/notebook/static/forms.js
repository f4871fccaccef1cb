// What a person says of a step, under a name: that it is done, or that it is left out.
// A form stays as it was filled in until the kernel has told that its words are written down.

function megabytes(size) { return `${(size / 2 ** 20).toFixed(1)} MiB`; }

class Form {
  constructor(panel, name, label) {
    this.panel = panel;
    this.name = name;
    this.asked = null; // what was written and finished when this form was confirmed
    this.fields = element("div", { class: "rb-fields" });
    this.root = element("div", { class: "rb-form", hidden: true, role: "group", "aria-label": label, dir: "auto" },
      this.fields,
      element("div", { class: "rb-row" }, element("button", { type: "button", class: "rb-main",
        "data-action": `confirm-${name}`, onclick: () => this.confirm() }, "Confirm")));
    this.root.addEventListener("keydown", (event) => this.press(event));
    this.addText("by", "Your name", "", { autocomplete: "name", value: remembered() });
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

  // Returns what is said, and with it the bytes that go along.
  async said() { return [{}, []]; }

  async confirm() {
    const { written, finished } = this.panel.model.get("view");
    if (this.asked) return;
    this.asked = { written, finished };
    try {
      const [words, buffers] = await this.said();
      const by = this.field("by").value.trim();
      remember(by);
      if (!this.panel.send({ action: this.name, by, ...words }, buffers)) this.asked = null;
    } catch {
      this.asked = null;
      this.refuse("A file cannot be read any more: choose it again.");
    }
  }

  // Hears what came of it: written down, or refused and still to be corrected.
  hear(view) {
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
    for (const field of this.root.querySelectorAll("input[data-name]")) {
      if (field.type === "checkbox") field.checked = false;
      else field.value = "";
    }
  }
}

class SkipForm extends Form {
  constructor(panel) {
    super(panel, "skip", "Leave it out");
    this.addText("reason", "Reason", "The record keeps it.");
  }

  async said() { return [{ reason: this.field("reason").value }, []]; }
}

class AttestForm extends Form {
  constructor(panel) {
    super(panel, "attest", "Say that it is done");
    this.files = [];
    const { can_wait: canWait, largest } = panel.model.get("view");
    this.largest = largest;
    this.addText("note", "Note", "Optional: what the record should keep.");
    this.addText("seen", "What you saw", "Optional: where the screen looked otherwise than described.");
    if (canWait) this.addApproved();
    this.addFiles();
    this.root.addEventListener("paste", (event) => {
      const pasted = [...event.clipboardData.files];
      if (pasted.length) { event.preventDefault(); this.attach(pasted); }
    });
  }

  addApproved() {
    const id = `${this.panel.key}-approved`;
    this.add(id, "Facebook has approved it", element("input", { id, type: "checkbox", "data-name": "approved" }),
      element("div", { class: "rb-field-note" }, "Leave empty while the review is under way: the runbook watches it."));
  }

  addFiles() {
    const id = `${this.panel.key}-file`;
    this.fileNames = element("span", { class: "rb-field-note", "aria-live": "polite" });
    this.problem = element("div", { class: "rb-problem", role: "alert", hidden: true });
    this.removeFiles = element("button", { type: "button", class: "rb-small", "data-action": "remove-files",
      hidden: true, onclick: () => this.setFiles([]) }, "Remove");
    this.add(id, "Screenshot",
      element("input", { id, type: "file", multiple: true, "aria-describedby": `${id}-note`,
        accept: "image/png,image/jpeg,image/gif,image/webp,application/pdf",
        onchange: (event) => { this.attach(event.target.files); event.target.value = ""; } }),
      element("div", { class: "rb-field-note", id: `${id}-note` },
        `Choose files, or paste a picture anywhere in this form; ${megabytes(this.largest)} are the most.`),
      element("div", { class: "rb-row" }, this.fileNames, this.removeFiles), this.problem);
  }

  // NOTE: one message carries them all, and Jupyter's server cuts the connection over a larger one.
  attach(files) {
    const refused = [];
    const kept = [...this.files];
    for (const file of files) {
      const size = [...kept, file].reduce((sum, each) => sum + each.size, 0);
      if (size > this.largest) refused.push(`${file.name || "The pasted picture"} (${megabytes(file.size)})`);
      else kept.push(file);
    }
    this.setFiles(kept);
    if (refused.length) {
      this.refuse(`Not attached: ${refused.join(", ")}. All files together may have ${megabytes(this.largest)}; `
        + "attach a smaller picture.");
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

  async said() {
    const approved = this.field("approved");
    const buffers = await Promise.all(this.files.map((file) => file.arrayBuffer()));
    return [{ note: this.field("note").value, seen: this.field("seen").value,
      waiting: Boolean(approved) && !approved.checked,
      files: this.files.map((file) => ({ name: file.name || "pasted.png", type: file.type })) }, buffers];
  }

  clear() {
    super.clear();
    this.setFiles([]);
  }
}
