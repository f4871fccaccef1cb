// The panel of one step. It draws `view` and sends requests; it decides nothing.
// A password is sent in a message, and removed from the page once it is accepted.

async function copy(text, button, label) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl+C";
    const range = document.createRange();
    const source = /** @type {HTMLElement | null} */ (button.previousElementSibling);
    if (source) { source.hidden = false; range.selectNodeContents(source); getSelection()?.removeAllRanges(); getSelection()?.addRange(range); }
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

// Where the browser ends after the consent page at `url`.
function redirectOf(url) {
  return url ? new URL(url).searchParams.get("redirect_uri") ?? "" : "";
}

class Panel {
  constructor(model, el) {
    this.model = model;
    const view = model.get("view");
    this.key = `rb-${view.id}`; // each panel loads its own script: a counter would start again
    this.fields = new Map();
    this.opened = {};
    this.unsaved = new Set(); // credentials that the person does not want to save
    this.hasFailed = false; // asked for something when the kernel was gone
    this.typed = null; // what was sent last, until the kernel has accepted it
    // Keys pressed here are no JupyterLab shortcuts: two d's would delete the cell.
    this.root = element("section", { class: "rb rb-panel", id: `runbook-${view.id}`, tabindex: -1,
      "aria-label": view.title, "data-lm-suppress-shortcuts": "true" });
    this.status = element("div", { class: "rb-reason" });
    this.gone = element("div", { class: "rb-message", "data-error": "true", hidden: true }, RUN_AGAIN);
    this.live = element("div", { role: "status", "aria-live": "polite" });
    this.watched = element("div", { class: "rb-message", hidden: true });
    this.tables = element("div", {});
    this.aids = element("div", {});
    this.inputs = element("div", { class: "rb-fields" });
    this.actions = element("div", { class: "rb-row" });
    this.consent = element("div", {});
    this.second = element("div", { hidden: true });
    this.forms = view.forms.map((form) => new WordForm(this, form));
    this.details = element("div", {});
    this.root.append(this.status, this.gone, this.live, this.watched, this.tables, this.aids, this.inputs, this.actions, this.second, this.consent,
      ...this.forms.map((form) => form.root), this.details);
    ignoreClicksWhileHeld(this.root);
    el.append(this.root);
    this.buildActions(view);
    this.draw();
    this.timer = setInterval(() => showSeconds(this.live, this.model.get("view").busy_since), 250);
  }

  // Sends a request to the kernel; if there is none, says so and returns false.
  send(content, buffers) {
    const isSent = !this.isLost && ask(this.model, content, buffers);
    if (!isSent) this.lose({ isAsked: true });
    return isSent;
  }

  // --- inputs ----------------------------------------------------------------
  // A field appears once its value is wanted here; one that a person typed into stays until it is accepted.
  buildInputs(view) {
    this.inputs.hidden = view.inputs.length === 0;
    this.check.hidden = !view.can_check && view.inputs.length === 0;
    const wanted = new Set(view.inputs.map(({ name }) => name));
    for (const [name, { input, field, label, holder }] of this.fields) {
      if (wanted.has(name) || field.dataset.touched || (input.kind === "password" && field.value)) continue;
      if (field === document.activeElement) this.root.focus({ preventScroll: true });
      label.remove();
      holder.remove();
      this.fields.delete(name);
    }
    for (const input of view.inputs.filter(({ name }) => !this.fields.has(name))) {
      const id = `${this.key}-${input.name}`;
      const problem = element("div", { class: "rb-problem", id: `${id}-problem`, "aria-live": "polite", hidden: true });
      const note = element("div", { class: "rb-field-note", id: `${id}-note` });
      const effect = element("div", { class: "rb-again", id: `${id}-effect`, "aria-live": "polite" });
      const field = element("input", {
        id, type: input.kind, "aria-describedby": `${id}-note ${id}-problem ${id}-effect`, "data-name": input.name,
        placeholder: input.example || null, autocomplete: "off", spellcheck: "false" });
      if (input.kind === "checkbox") field.checked = Boolean(input.value);
      else field.value = input.value;
      field.addEventListener("input", () => {
        field.dataset.touched = "yes";
        clearTimeout(field.waiting);
        field.waiting = setTimeout(() => this.validate(input, field), 200);
      });
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.isComposing) return;
        event.preventDefault();
        this.check.click();
      });
      const holder = element("div", {}, field, note, problem, effect);
      if (input.kind === "password") holder.append(this.buildKeep(input));
      const label = element("label", { for: id }, input.label);
      this.inputs.append(label, holder);
      this.fields.set(input.name, { input, field, note, problem, effect, label, holder });
    }
  }

  buildKeep(input) {
    const keep = (where) => this.sendTyped({ action: "keep", name: input.name, where });
    const forget = () => {
      this.fields.get(input.name).field.value = "";
      this.send({ action: "keep", name: input.name, where: "forget" });
    };
    const later = () => { this.unsaved.add(input.name); this.drawInputs(this.model.get("view")); };
    const button = (text, where, act = () => keep(where)) => element("button", { type: "button", class: "rb-small",
      "data-keep": where, onclick: act, "aria-label": `${text}: ${input.label}` }, text);
    return element("div", { class: "rb-row rb-keep", hidden: true },
      element("span", { class: "rb-row", "data-offer": true },
        element("span", { class: "rb-field-note" }, "Verified. Save it on this machine?"),
        button("Keyring", "keyring"), button(".env", ".env"), button("Not now", "later", later)),
      button("Remove", "forget", forget));
  }

  validate(input, field) {
    if (input.kind === "checkbox") return;
    this.send({ action: "validate", name: input.name, value: field.value });
  }

  onProblem({ name, problem, effect = "" }) {
    const { field, problem: shown, effect: undone } = this.fields.get(name);
    setText(undone, effect);
    shown.textContent = problem;
    shown.hidden = !problem;
    field.setAttribute("aria-invalid", problem ? "true" : "false");
  }

  // Sends the typed values too; they stay in their fields until the kernel has accepted them.
  sendTyped(content) {
    const inputs = {};
    for (const [name, { input, field }] of this.fields) {
      if (input.kind === "checkbox") {
        if (field.dataset.touched) inputs[name] = field.checked;
      } else if (input.kind === "password" ? field.value : field.dataset.touched) {
        inputs[name] = field.value;
      }
    }
    this.typed = { inputs, taken: this.model.get("view").taken };
    if (!this.send({ ...content, inputs })) this.typed = null;
  }

  // An accepted password is removed from its field; a refused value stays, with the reason.
  onTaken(view) {
    if (!this.typed || view.taken === this.typed.taken) return;
    const refused = new Map(view.refused.map((one) => [one.input, one.problem]));
    for (const [name, sent] of Object.entries(this.typed.inputs)) {
      const { input, field } = this.fields.get(name);
      if (refused.has(name)) {
        this.onProblem({ name, problem: refused.get(name) });
      } else if (input.kind === "checkbox" ? field.checked === sent : field.value === sent) {
        if (input.kind === "password") field.value = "";
        delete field.dataset.touched;
        this.onProblem({ name, problem: "" });
      }
    }
    this.typed = null;
  }

  // --- actions -------------------------------------------------------------
  buildActions(view) {
    this.check = element("button", { type: "button", "data-action": "check",
      onclick: () => this.sendTyped({ action: "check" }) }, view.can_check ? "Check" : "Save");
    this.actions.append(this.check);
    if (view.spends) this.actions.append(element("span", { class: "rb-field-note" }, view.spends));
    for (const form of this.forms) {
      const isQuiet = ["comment", "assign"].includes(form.name);
      form.button = element("button", { type: "button", class: isQuiet ? "rb-small" : null, "data-action": form.name, "aria-expanded": "false",
        onclick: () => this.openForm(form) }, form.label);
      this.actions.append(form.button);
    }
    this.askSecond = element("button", { type: "button", "data-action": "link", hidden: true,
      onclick: () => this.send({ action: "link" }) }, "Ask a second person");
    this.actions.append(this.askSecond);
    if (view.needs_consent) this.buildConsent(view.provider);
  }

  openForm(form) {
    this.showForm(form.root.hidden ? form : null);
    if (form.root.hidden) return;
    const name = form.field("by");
    // A second person must confirm: do not offer the first one's name.
    name.value = this.model.get("view").needs_another ? "" : name.value || savedOperator();
    name.focus();
  }

  showForm(form) {
    for (const one of this.forms) {
      one.root.hidden = one !== form;
      one.button.setAttribute("aria-expanded", String(one === form));
    }
  }

  // Focus stays in this panel, where the answer appears.
  closeForm(form) {
    const isThere = form.root.contains(document.activeElement) || document.activeElement === document.body;
    this.showForm(null);
    if (isThere) this.root.focus({ preventScroll: true });
  }

  // A second person confirms; a confirmation can be withdrawn.
  drawForms(view) {
    for (const form of this.forms) {
      form.update(view);
      if (form.name === "attest") setText(form.button, view.needs_another ? "I confirm it" : form.label);
      if (form.name === "withdraw") form.button.hidden = !view.can_withdraw;
    }
    this.askSecond.hidden = !view.needs_another || !view.has_confirm_page;
    if (!view.needs_another) this.second.hidden = true;
    else if (!view.has_confirm_page) this.showCommand(view.id);
  }

  buildConsent(provider) {
    this.actions.prepend(element("button", { type: "button", "data-action": "consent",
      onclick: () => this.send({ action: "consent" }) }, `Sign in with ${provider}`));
    const id = `${this.key}-redirect`;
    const field = element("input", { id, type: "text", autocomplete: "off", "data-name": "redirect" });
    // A business app takes no redirect to this machine, so the way that always works comes first.
    this.consentPasteLink = element("a", { class: "rb-main", target: "_blank", rel: "noopener", "data-consent-paste": true },
      "Open the consent page ↗");
    this.consentEnd = element("code", {});
    this.consentPaste = element("div", { hidden: true },
      element("div", { class: "rb-row" }, this.consentPasteLink, ...this.buildCopy(this.consentPasteLink)),
      element("div", { class: "rb-field-note" }, "At the end the browser opens ", this.consentEnd,
        ", which may show an error. Copy the whole address of that page, and paste it here."));
    this.consentLink = element("a", { target: "_blank", rel: "noopener", "data-consent": true },
      "Open the consent page this way ↗");
    this.consentHere = element("div", { class: "rb-field-note", hidden: true },
      `While the app is in development mode, ${provider} can return the browser to this machine, and there is nothing to paste: `,
      element("div", { class: "rb-row" }, this.consentLink, ...this.buildCopy(this.consentLink)));
    this.consent.append(element("div", { class: "rb-form", hidden: true },
      this.consentPaste,
      element("div", { class: "rb-fields" },
        element("label", { for: id }, "Address to paste"), element("div", {}, field)),
      element("div", { class: "rb-row" }, element("button", { type: "button", "data-action": "redirect",
        onclick: () => { const url = field.value; field.value = ""; this.send({ action: "redirect", url }); } },
      "Use this address")),
      this.consentHere));
  }

  // For another window or person; where the clipboard cannot be used, the address appears.
  buildCopy(link) {
    const button = element("button", { type: "button", class: "rb-small", "data-copy": "consent",
      onclick: () => copy(link.href, button, "Copy the link") }, "Copy the link");
    return [element("code", { hidden: true, "data-address": true }), button];
  }

  // Another server has no page for it: the second person uses a terminal, or this page.
  showCommand(id) {
    this.second.hidden = false;
    redraw(this.second, id, () => [element("div", { class: "rb-field-note" },
      "A second person confirms it here, or in a terminal: ", element("code", {}, `runbook confirm ${id} --by NAME`))]);
  }

  // The link opens this step alone, once; whoever has it can confirm.
  onLink({ path }) {
    const url = new URL(serverBase() + path, location.href).href;
    const button = element("button", { type: "button", class: "rb-small", "data-copy": "link", "aria-label": "Copy the link" }, "Copy");
    button.addEventListener("click", () => copy(url, button, "Copy"));
    this.second.replaceChildren(element("div", { class: "rb-row" }, element("code", { "data-link": true }, url), button),
      element("div", { class: "rb-field-note" }, "It opens this step alone, without a login, once, for seven days: send it to the "
        + "second person only. Where this server cannot be reached: runbook confirm STEP --by NAME."));
    this.second.hidden = false;
  }

  onHandOver({ value }) {
    if (value && this.handOverButton) copy(value, this.handOverButton, this.handOverButton.dataset.label);
  }

  // --- state -----------------------------------------------------------------
  draw() {
    const view = this.model.get("view");
    this.root.dataset.outcome = view.outcome;
    this.root.dataset.inPart = String(view.in_part);
    this.root.dataset.finished = view.finished;
    this.markPrimary(view);
    redraw(this.status, [view.outcome, view.reason, view.remarks, view.warnings, view.changes, view.limits, view.label, view.overdue, view.assigned], () => [
      element("span", { class: "rb-badge", "data-outcome": view.outcome }, `${view.icon} ${view.label}`),
      " ", element("span", { dir: "auto" }, view.reason),
      view.overdue ? element("div", {}, element("strong", {}, `${view.overdue}.`), " What to do then stands above.") : "",
      view.assigned ? element("div", { dir: "auto" }, view.assigned) : "", this.drawNotes(view)]);
    this.onTaken(view);
    this.buildInputs(view); // after it: an accepted value is no reason to keep a field
    this.drawForms(view);
    this.drawTables(view);
    this.drawAids(view);
    this.drawInputs(view);
    this.drawDetails(view);
    if (view.needs_consent) {
      this.consent.firstChild.hidden = !view.consent_url && !view.consent_paste_url;
      this.drawLink(this.consentHere, this.consentLink, view.consent_url);
      this.drawLink(this.consentPaste, this.consentPasteLink, view.consent_paste_url);
      setText(this.consentEnd, redirectOf(view.consent_paste_url));
    }
    this.drawNews(view);
  }

  drawLink(holder, link, url) {
    holder.hidden = !url;
    setText(holder.querySelector("[data-address]"), url);
    if (url) link.href = url;
    else link.removeAttribute("href");
  }

  drawNotes(view) {
    const notes = [...view.remarks.map((text) => ["Note", text]),
      ...view.warnings.map((text) => ["Warning", text]),
      ...view.changes.map((text) => ["Changed", text]),
      ...view.limits.map((text) => ["Not proven", text])];
    if (!notes.length) return "";
    return element("ul", { class: "rb-notes" }, ...notes.map(([label, text]) =>
      element("li", {}, element("em", {}, `${label}: `), text)));
  }

  drawTables(view) {
    const row = ([first, ...others]) => element("tr", {}, element("th", { scope: "row" }, first),
      ...others.map((text) => element("td", {}, text)));
    // On a narrow page the table scrolls, so it must be reachable by keyboard.
    redraw(this.tables, view.tables, () => view.tables.map(({ caption, columns, rows }) =>
      element("div", { class: "rb-table", tabindex: 0, role: "group", "aria-label": caption, "data-key": caption },
        element("table", {}, element("caption", {}, caption),
          element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)))),
          element("tbody", {}, ...rows.map(row))))));
    this.tables.hidden = view.tables.length === 0;
  }

  drawAids(view) {
    redraw(this.aids, [view.chosen, view.links, view.pastes, view.hand_over], () => {
      const links = view.links.map(({ label, url }) => url
        ? element("a", { href: url, target: "_blank", rel: "noopener", "data-key": label }, `${label} ↗`)
        : element("span", { class: "rb-field-note" }, label));
      const rows = view.pastes.map((paste) => this.drawPaste(paste));
      if (links.length) rows.unshift(element("div", { class: "rb-row" }, ...links));
      if (view.hand_over) rows.push(this.drawHandOver(view.hand_over));
      rows.push(...view.chosen.map((one) => this.drawChosen(one)));
      return rows;
    });
    this.aids.hidden = !this.aids.firstChild;
  }

  // A value that is chosen in another step.
  drawChosen({ label, value, id, title }) {
    const link = element("a", { href: `#runbook-${id}`, "data-key": `chosen-${label}`,
      onclick: (event) => { event.preventDefault(); jump(id, title); } }, `Change it in: ${title}`);
    return element("div", { class: "rb-row" }, element("span", { class: "rb-label" }, label),
      element("span", { dir: "auto" }, value), link);
  }

  drawPaste({ label, value }) {
    const button = element("button", { type: "button", class: "rb-small", "data-copy": label,
      "data-key": `copy-${label}`, "aria-label": `Copy ${label}` }, "Copy");
    button.addEventListener("click", () => copy(value, button, "Copy"));
    return element("div", { class: "rb-row" }, element("span", { class: "rb-label" }, label),
      element("code", {}, value), button);
  }

  drawHandOver({ label, unknown }) {
    if (unknown) return element("div", { class: "rb-field-note" }, `${label}: ${unknown}`);
    const text = `Copy the ${label}`;
    this.handOverButton = element("button", { type: "button", "data-action": "hand-over", "data-label": text,
      "data-key": "hand-over", onclick: () => this.send({ action: "hand_over" }) }, text);
    return element("div", { class: "rb-row" }, this.handOverButton,
      element("span", { class: "rb-field-note" }, "Copied to the clipboard only."));
  }

  // Only what a person needs next is a main button, and only in the step that is next.
  markPrimary(view) {
    for (const button of this.actions.querySelectorAll("button")) {
      button.classList.toggle("rb-main", button.dataset.action === view.primary);
    }
  }

  drawInputs(view) {
    for (const input of view.inputs) {
      const { field, note } = this.fields.get(input.name);
      const isFree = document.activeElement !== field && !field.dataset.touched;
      if (isFree && input.kind === "checkbox") field.checked = Boolean(input.value);
      else if (isFree && input.kind === "text") field.value = input.value;
      setText(note, input.rests ? `Known (${input.rests}). Leave empty to keep it.` : input.help);
      const keep = field.parentElement.querySelector(".rb-keep");
      if (!keep) continue;
      keep.hidden = !input.rests;
      // Saving is offered once it is known to be right, until the person has decided.
      keep.querySelector("[data-offer]").hidden = input.rests !== "this session" || view.outcome !== "verified"
        || this.unsaved.has(input.name);
    }
  }

  drawDetails(view) {
    redraw(this.details, [view.exchanges, view.history, view.troubles, view.kit], () => {
      const parts = view.kit ? [this.drawKit(view.kit)] : [];
      if (view.troubles.length) {
        parts.push(this.fold("troubles", "What an error here means", view.troubles.map((one) =>
          this.drawTrouble(one))));
      }
      if (view.exchanges.length) {
        parts.push(this.fold("asked", "Requests and answers", view.exchanges.map((one, number) => this.fold(
          `asked-${number}`, `${one.line} → ${one.status}, ${one.milliseconds} ms`
            + `${one.trace ? `, trace ${one.trace}` : ""}, ${one.sent_on}`, [element("pre", { tabindex: 0 }, one.detail)]))));
      }
      if (view.history.length) {
        parts.push(this.fold("history", "History", [element("ul", { class: "rb-notes" },
          ...view.history.map(({ at, what }) => element("li", { dir: "auto" }, `${at} ${what}`)))]));
      }
      return parts;
    });
    this.details.hidden = !this.details.firstChild;
  }

  // The texts for the provider's review; each is copied by its own button.
  drawKit(kit) {
    const items = (texts, tag = "ul") => element(tag, { class: "rb-notes" }, ...texts.map((text) => element("li", { dir: "auto" }, text)));
    const text = (label, value) => {
      const button = element("button", { type: "button", class: "rb-small", "data-copy": label, "data-key": `copy-${label}`,
        "aria-label": `Copy the text: ${label}` }, "Copy");
      button.addEventListener("click", () => copy(value, button, "Copy"));
      return element("div", { class: "rb-row" }, element("span", { dir: "auto" }, value), button);
    };
    const permissions = kit.parts.map(({ label, usage, calls, because }) => this.fold(`kit-${label}`, label, [
      text(label, usage),
      calls.length ? items(calls.map((call) => `Needed by ${call}`)) : "",
      because.length ? items(because.map((why) => `Asked for by ${why}`)) : ""]));
    return this.fold("kit", `Texts and shot list for ${kit.review}`, [
      element("div", { class: "rb-field-note" }, "Adapt them, and replace every ‹…›. “runbook kit” writes them as files."),
      kit.warnings.length ? items(kit.warnings) : "",
      this.fold("kit-about", "What the app does", [text("What the app does", kit.about.join("\n\n"))]),
      ...permissions,
      this.fold("kit-shots", "Recording", [items(kit.rules), items(kit.shots, "ol")]),
      this.fold("kit-reviewer", "Steps for the reviewer", [items(kit.reviewer, "ol")]),
      this.fold("kit-prepare", kit.prepare_for, [items(kit.prepare)])]);
  }

  drawTrouble(trouble) {
    const title = trouble.seen ? `${trouble.title} (seen here)` : trouble.title;
    return this.fold(`trouble-${trouble.title}`, title, [
      element("div", {}, trouble.means),
      element("ul", { class: "rb-notes" }, ...trouble.causes.map((text) => element("li", {}, text))),
      element("div", {}, element("em", {}, "What to do: "), trouble.advice),
      element("div", { class: "rb-field-note" }, `Source: ${trouble.source}`)]);
  }

  // A collapsible part; redrawn, it stays as the person left it.
  fold(name, title, children) {
    const node = element("details", { "data-fold": name, open: Boolean(this.opened[name]) },
      element("summary", { "data-key": name }, title), ...children);
    node.addEventListener("toggle", () => { this.opened[name] = node.open; });
    return node;
  }

  // --- news -----------------------------------------------------------------
  drawNews(view) {
    const isBusy = Boolean(view.busy_since) && !this.isLost;
    holdButtons(this.root, isBusy);
    this.root.setAttribute("aria-busy", String(isBusy));
    const news = this.latestNews(view, isBusy);
    // Outside the live region: a new time is not announced.
    setText(this.watched, `Checked again at ${view.next_look}; this page shows when it changes. You can close everything and come back.`);
    this.watched.hidden = !view.next_look || isBusy || Boolean(this.isLost);
    const heard = this.heard(view, news);
    redraw(this.live, [isBusy, news.message, news.advice, heard], () => (isBusy
      ? [progressBox("Working…")]
      : [news.message ? messageBox(news) : "", element("div", { class: "rb-heard" }, heard)]));
  }

  // What the page shows above its message, for those who only hear the message: outcome, reason, warnings.
  heard(view, news) {
    if (!news.message || news.is_error || !view.reason) return "";
    return [`${view.label}: ${view.reason}`, ...view.warnings, ...view.limits.map((text) => `Not proven: ${text}`)].join(" ");
  }

  // The result of the last action, or a change of outcome that happened without one.
  latestNews(view, isBusy) {
    if (this.isLost) return { message: this.hasFailed ? RUN_AGAIN : "", advice: "", is_error: true };
    const before = this.seen || view;
    this.seen = { outcome: view.outcome, finished: view.finished };
    if (before.outcome !== view.outcome && before.finished === view.finished && !isBusy) {
      this.news = { text: `Now ${view.label}.`, after: view.message, finished: view.finished };
    }
    const news = this.news;
    const isNewest = news && news.after === view.message && news.finished === view.finished;
    return isNewest ? { message: news.text, advice: "", is_error: false } : view;
  }

  // The kernel is gone: no action runs. The header announces it; this panel only when it is used.
  lose({ isAsked = false } = {}) {
    this.isLost = true;
    this.hasFailed ||= isAsked;
    this.typed = null;
    for (const form of this.forms) form.asked = null;
    this.gone.hidden = this.hasFailed;
    this.drawNews(this.model.get("view"));
  }

  stop() { clearInterval(this.timer); }
}

function render({ model, el }) {
  /** @type {Panel | null} */
  let panel = null;
  // If the journal cannot be read when a cell runs, only that message is shown.
  const bare = element("div", { class: "rb rb-panel", role: "status" });
  const draw = () => {
    const view = model.get("view");
    if (panel) {
      panel.draw();
    } else if (view.id) {
      bare.remove();
      panel = new Panel(model, el);
    } else if (view.message) {
      el.append(bare);
      redraw(bare, [view.message, view.advice], () => [messageBox(view)]);
    }
  };
  const hear = (message) => {
    if (message.kind === "problem") panel?.onProblem(message);
    if (message.kind === "hand_over") panel?.onHandOver(message);
    if (message.kind === "link") panel?.onLink(message);
  };
  model.on("change:view", draw);
  model.on("msg:custom", hear);
  const forgetKernel = watchKernel(model, () => panel?.lose());
  draw();
  return () => {
    panel?.stop();
    forgetKernel();
    model.off("change:view", draw);
    model.off("msg:custom", hear);
  };
}

export default { render };
