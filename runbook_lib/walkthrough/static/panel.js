// The panel of one step. It draws `view` and sends requests; it decides nothing.
// A password is sent in a message, and removed from the page once it is accepted.

// The redirect URI of the consent page at `url`.
function redirectOf(url) {
  return url ? new URL(url).searchParams.get("redirect_uri") ?? "" : "";
}

class Panel {
  constructor(model, el) {
    this.model = model;
    const view = model.get("view");
    this.key = `rb-${view.id}`; // each page may hold several scripts: a counter would start again
    this.fields = new Map();
    this.forms = [];
    this.opened = {};
    this.isBuilt = false;
    this.sure = new Map(); // values that were warned of, and are used anyway
    this.unsaved = new Set(); // credentials that the person does not want to save
    this.hasFailed = false; // asked for something when the kernel was gone
    this.typed = null; // what was sent last, until the kernel has accepted it
    this.isSettled = view.is_settled;
    // Keys pressed here are no JupyterLab shortcuts: two d's would delete the cell.
    this.root = element("section", { class: "rb rb-panel", id: `runbook-${view.id}`, tabindex: -1,
      "aria-label": `${view.number} · ${view.title}`, "data-lm-suppress-shortcuts": "true" });
    this.line = element("button", { type: "button", class: "rb-fold", "data-action": "fold",
      onclick: () => this.toggle() });
    this.gone = element("div", { class: "rb-message", "data-error": "true", hidden: true });
    this.live = element("div", { role: "status", "aria-live": "polite" });
    this.watched = element("div", { class: "rb-message", hidden: true });
    this.awaited = element("div", { class: "rb-opening" }, progressBox("Opening…"));
    this.offer = element("div", { class: "rb-offer", hidden: true });
    this.root.append(this.line, this.offer, this.gone, this.live, this.watched);
    ignoreClicksWhileHeld(this.root);
    this.root.addEventListener("keydown", (event) => this.press(event));
    this.root.addEventListener("input", () => this.markUnsaved());
    el.append(this.root);
    // A settled step is one line; the next step is open by itself.
    if (openedStep() === view.id && (view.is_settled || view.is_current)) noteOpened("");
    this.draw();
    this.timer = setInterval(() => showSeconds(this.live, this.model.get("view").busy_since), 250);
    this.forget = [
      listen(PERSON, () => { for (const form of this.forms) form.drawWho(false); }),
      listen(FOLD, ({ id }) => this.onFold(id)),
      listen(SERVER, () => { this.hasAskedForCard = false; if (this.isLost) this.lose(); else this.draw(); }),
    ];
    // Tells the other panels if this step was opened before it was drawn.
    if (openedStep() === view.id) document.dispatchEvent(new CustomEvent(FOLD, { detail: { id: view.id } }));
    // A person who comes back from the provider's page has acted: check the step again.
    const refreshOnFocus = () => {
      const isAsked = document.visibilityState === "visible" && this.refresh();
      if (isAsked) this.hasActed = model.get("view").finished + 1;
    };
    window.addEventListener("focus", refreshOnFocus);
    // Cells may move.
    const seen = new ResizeObserver(() => this.markCells());
    seen.observe(this.root);
    this.forget.push(() => window.removeEventListener("focus", refreshOnFocus), () => seen.disconnect(),
      whenPlaced(this.root, () => this.markCells()));
  }

  // The card, once the step is opened: until then the kernel makes only its line. Whoever went to the
  // step stands in its first field.
  openCard(view) {
    const isLate = this.awaited.parentElement === this.root;
    if (view.has_card) {
      this.awaited.remove();
      this.build(view);
      this.drawCard(view);
      if (!isLate || openedStep() !== view.id) return;
      if (document.activeElement === this.line) this.showWhole();
      if (document.activeElement === this.root) firstField(this.root)?.focus({ preventScroll: true });
      return;
    }
    if (!isLate) this.line.after(this.awaited);
    this.awaited.hidden = Boolean(this.isLost);
    if (!this.hasAskedForCard && !this.isLost && !isServerGone()) this.hasAskedForCard = ask(this.model, { action: "open" });
  }

  build(view) {
    this.isBuilt = true;
    this.heading = element("h2", { class: "rb-heading" }, view.title);
    this.acts = element("div", { class: "rb-do", onclick: (event) => {
      const [page] = this.model.get("view").links;
      if (page && event.target.closest("a")?.getAttribute("href") === page.url) this.noteOpened();
    } });
    this.screen = element("figure", { class: "rb-screen", hidden: true });
    this.aids = element("div", { class: "rb-aids" });
    this.inputs = element("div", { class: "rb-fields" });
    this.actions = element("div", { class: "rb-row rb-acts" });
    this.consent = element("div", {});
    this.second = element("div", { hidden: true });
    this.status = element("div", { class: "rb-reason" });
    this.found = element("details", { class: "rb-found", "data-fold": "found" });
    this.foundNotes = element("div", {});
    this.tables = element("div", {});
    this.found.append(element("summary", {}, "Details of the check"), this.foundNotes, this.tables);
    this.details = element("div", { class: "rb-folds" });
    this.others = element("div", {});
    this.behind = element("div", {});
    this.asides = element("div", {});
    this.menuNames = element("span", { class: "rb-heard" });
    this.menu = element("details", { class: "rb-menu" },
      element("summary", {}, element("span", {}, "More"), this.menuNames), this.asides, this.others, this.behind);
    this.forms = view.forms.map((form) => new RemarkForm(this, form));
    this.asides.append(...this.forms.filter(({ hasAside }) => hasAside).map(({ notes }) => notes));
    const word = this.forms.find(({ name }) => ["attest", "answer"].includes(name));
    this.line.after(this.heading, this.acts, this.screen, this.aids, this.inputs, ...word ? [word.root] : [], this.actions, this.consent,
      this.second, ...this.forms.filter((form) => form !== word).map((form) => form.root));
    this.live.after(this.status);
    this.root.append(this.found, this.details, this.menu);
    if (view.needs_consent) this.buildConsent(view.provider);
  }

  // The cell above it has the step's title and text, which the card shows itself.
  markCells() {
    const { open } = this.root.dataset;
    const title = cellOf(this.root)?.previousElementSibling;
    markCell(this.root, "rb-cell", { open });
    if (this.title !== title) forgetMark(this.title, "rb-title");
    markCell(title, "rb-title", { open });
    this.title = title;
  }

  // A form says something else once the step has gone on; what is being recorded is recorded first.
  renewForms(view) {
    this.forms = this.forms.map((form, number) => {
      if (form.asked || JSON.stringify(form.form) === JSON.stringify(view.forms[number])) return form;
      const renewed = new RemarkForm(this, view.forms[number]);
      renewed.take(form);
      return renewed;
    });
  }

  // Sends a request to the kernel; if there is none, says so and returns false. Where a person acts,
  // the step stays open until it is settled, whatever comes next meanwhile.
  send(content, buffers) {
    if (isServerGone()) return false;
    if (content.action !== "validate" && this.isOpen) {
      const { id, is_next: isNext } = this.model.get("view");
      this.wasNext = isNext;
      noteOpened(id);
    }
    const isSent = !this.isLost && ask(this.model, content, buffers);
    if (!isSent) this.lose({ isAsked: true });
    return isSent;
  }

  // --- one step open ---------------------------------------------------------
  // Open is what the person opened, else what comes next.
  get isOpen() {
    const { id, is_current: isCurrent } = this.model.get("view");
    const opened = openedStep();
    return opened ? opened === id : isCurrent;
  }

  // The card that closes above would move this one out of sight.
  toggle() {
    setFold(this.model.get("view").id, !this.isOpen);
    this.showWhole();
  }

  showWhole() {
    if (this.isOpen) this.root.scrollIntoView({ block: "nearest" });
  }

  // The next step is open by itself, so it also folds by itself.
  onFold(id) {
    const view = this.model.get("view");
    const wasOpen = this.root.dataset.open === "true";
    if (id === view.id && openedStep() === id && view.is_current) noteOpened("");
    if (this.isOpen === wasOpen) return;
    this.hasRefreshed = (this.isOpen && this.refresh()) || this.hasRefreshed;
    this.draw();
  }

  // Limits and warnings beside a folded step's outcome.
  doubts(view) {
    return [...view.in_part ? view.limits.slice(0, 1).map((text) => `Not proven: ${text}`) : [],
      ...view.warnings.slice(0, 1).map((text) => `Warning: ${text}`)];
  }

  // From any step to the one below or above, which opens.
  press(event) {
    if (!event.altKey || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    const panels = [...document.querySelectorAll(".rb-panel[data-step]")];
    const next = /** @type {HTMLElement | undefined} */ (panels[panels.indexOf(this.root) + (event.key === "ArrowDown" ? 1 : -1)]);
    if (next) jump(next.dataset.step, next.dataset.title);
  }

  // A step that is settled is folded, and the next one opens, once nothing more is offered here. The
  // focus follows only on the page where the person acted.
  goOn(view) {
    if (view.busy_since || this.forms.some(({ asked }) => asked)) return;
    if (this.isPassing && !view.is_next && view.next) {
      this.isPassing = false;
      jump(view.next.id, view.next.title, { isAsked: false });
    }
    const isSettled = view.is_settled;
    const { hasActed, isSettled: wasSettled } = this;
    this.isSettled = isSettled;
    if (view.finished >= this.hasActed) this.hasActed = 0;
    // A step that was next and now waits for others makes room for the new next step.
    const isLeft = this.wasNext && view.outcome === "waiting" && !view.is_next && Boolean(view.next);
    if (isLeft) this.wasNext = false;
    if ((!isSettled || wasSettled) && !isLeft) return;
    // What was done last stays in sight, as a line.
    for (const done of document.querySelectorAll(".rb-panel[data-done]")) delete /** @type {HTMLElement} */ (done).dataset.done;
    this.root.dataset.done = "true";
    this.isOffering = Boolean(hasActed) && isSettled;
    const focused = document.activeElement;
    const isInside = this.root.contains(focused);
    // Without an action, the card that a person opened or works in stays open.
    const isInUse = !isLeft && (openedStep() === view.id || (isInside && focused !== this.root && focused !== this.line));
    setFold(view.id, !hasActed && isInUse ? true : undefined);
    if (hasActed && view.next && (isInside || focused === document.body)) jump(view.next.id, view.next.title, { isAsked: false });
    this.drawOffer(view);
    if (!this.offer.hidden) showAtTop(this.root, false);
  }

  // Asks the kernel to check the step again, and returns whether it was asked.
  refresh() {
    const view = this.model.get("view");
    if (!this.isOpen || !view.can_refresh || view.busy_since || this.isLost) return false;
    return ask(this.model, { action: "refresh" });
  }

  // --- inputs ----------------------------------------------------------------
  // A field appears once its value is wanted here; one that a person typed into stays until it is accepted.
  buildInputs(view) {
    this.inputs.hidden = view.inputs.length === 0;
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
      const doubt = element("div", { class: "rb-doubt", id: `${id}-doubt`, "aria-live": "polite", hidden: true });
      const field = element("input", {
        id, type: input.kind, "aria-describedby": `${id}-note ${id}-problem ${id}-doubt ${id}-effect`, "data-name": input.name,
        placeholder: input.example || null, autocomplete: "off", spellcheck: "false" });
      if (input.kind === "checkbox") field.checked = Boolean(input.value);
      else field.value = input.value;
      field.addEventListener("input", () => {
        field.dataset.touched = "yes";
        this.drawActions(this.model.get("view"));
        clearTimeout(field.waiting);
        field.waiting = setTimeout(() => this.validate(input, field), 200);
      });
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.isComposing) return;
        event.preventDefault();
        const { can_check: canCheck, side_effect } = this.model.get("view");
        this.sendTyped({ action: canCheck && !side_effect ? "check" : "save" });
      });
      field.addEventListener("change", () => this.checkByItself());
      if (input.kind === "text") keepTyped(field, id);
      const holder = element("div", {}, ...input.choices.length ? this.buildChoices(input, field) : [field], note, problem, doubt, effect);
      if (input.kind === "password") holder.append(this.buildKeep(input));
      const label = element("label", { for: id }, input.label);
      this.inputs.append(label, holder);
      this.fields.set(input.name, { input, field, note, problem, doubt, effect, label, holder });
    }
  }

  // A list is chosen by check marks; its text says the same, and takes other names. What another name
  // needs is ticked with it, and cannot be taken away alone.
  buildChoices(input, field) {
    const names = () => field.value.split(",").map((name) => name.trim()).filter(Boolean);
    const needsOf = new Map(input.choices.map(({ name, needs }) => [name, needs]));
    const withNeeds = (wanted) => {
      const all = new Set(wanted); // a set grows while it is read
      for (const name of all) for (const needed of needsOf.get(name) ?? []) all.add(needed);
      return all;
    };
    const boxes = input.choices.map(({ name, needs }) => {
      const box = element("input", { type: "checkbox", "data-choice": name, onchange: () => {
        const others = names().filter((other) => other !== name);
        field.value = [...new Set([...others, ...box.checked ? withNeeds([name]) : []])].join(", ");
        field.dispatchEvent(new Event("input"));
      } });
      return [box, element("label", {}, box, ` ${name}`, needs.length
        ? element("span", { class: "rb-field-note" }, ` with ${needs.join(", ")}`) : null)];
    });
    const locked = input.choices.filter((choice) => choice.is_locked).map(({ name }) => name);
    field.tick = () => {
      const chosen = names();
      const all = withNeeds([...chosen, ...locked]);
      for (const [box, label] of boxes) {
        const name = box.dataset.choice;
        box.checked = all.has(name);
        // What comes with another name stands beside that.
        label.hidden = locked.includes(name) || chosen.some((other) => other !== name && withNeeds([other]).has(name));
      }
    };
    field.addEventListener("input", field.tick);
    field.tick();
    const chosen = boxes.filter(([box]) => box.checked).map(([, label]) => label);
    const others = boxes.filter(([box]) => !box.checked).map(([, label]) => label);
    return [element("div", { class: "rb-options", role: "group", "aria-label": input.label }, ...chosen),
      this.buildFold("choices", `More ${input.label.toLowerCase()}`, [
        element("div", { class: "rb-options", role: "group", "aria-label": `More ${input.label.toLowerCase()}` }, ...others), field])];
  }

  // A check without side effect runs as soon as all its values were typed.
  checkByItself() {
    const view = this.model.get("view");
    if (!view.can_check || view.side_effect) return;
    const isThere = ({ name, is_needed: isNeeded }) => {
      const { field } = this.fields.get(name);
      return !isNeeded || Boolean(field.value.trim());
    };
    if (view.inputs.every(isThere) && this.hasTyped) this.sendTyped({ action: "check" });
  }

  // Typed and unsaved values: the page asks before it is left, and a crash names them.
  markUnsaved() {
    const typed = [...this.fields.values()].filter(({ input, field }) => field.dataset.touched || (input.kind === "password" && field.value));
    const address = this.consent?.querySelector('[data-name="redirect"]')?.value ? ["Address to paste"] : [];
    const labels = [...typed.map(({ input }) => input.label), ...address, ...this.forms.flatMap((form) => form.unsaved)];
    if (labels.length) this.root.dataset.unsaved = `${this.model.get("view").number} (${labels.join(", ")})`;
    else delete this.root.dataset.unsaved;
  }

  get hasTyped() { return [...this.fields.values()].some(({ field }) => field.dataset.touched); }

  buildKeep(input) {
    const save = (store) => this.sendTyped({ action: "save_credential", name: input.name, store });
    const forget = () => {
      this.fields.get(input.name).field.value = "";
      this.send({ action: "forget_credential", name: input.name });
    };
    return element("div", { class: "rb-row rb-keep", hidden: true },
      this.buildSave(input, "Verified. Save it on this machine?", save), this.buildKeepButton(input, "Remove", "forget", forget));
  }

  buildKeepButton(input, text, where, act) {
    return element("button", { type: "button", class: "rb-small", "data-keep": where, "data-key": `${where}-${input.name}`,
      onclick: act, "aria-label": `${text}: ${input.label}` }, text);
  }

  buildSave(input, question, keep) {
    const later = () => { this.unsaved.add(input.name); this.draw(); };
    return element("span", { class: "rb-row", "data-offer": true }, element("span", { class: "rb-field-note" }, question),
      ...["Keyring", ".env"].map((text) => this.buildKeepButton(input, text, text.toLowerCase(), () => keep(text.toLowerCase()))),
      this.buildKeepButton(input, "Not now", "later", later));
  }

  // The step is done and closed; what it verified can be saved, until the person has decided.
  drawOffer(view) {
    const offered = this.isOffering && this.isBuilt && !this.isOpen ? view.inputs.filter((input) => this.offersToSave(view, input)) : [];
    redraw(this.offer, offered, () => offered.map((input) => this.buildSave(input, `${input.label} is verified. Save it on this machine?`,
      (store) => this.send({ action: "save_credential", name: input.name, store }))));
    this.offer.hidden = !offered.length;
  }

  validate(input, field) {
    if (input.kind === "checkbox") return;
    this.sure.delete(input.name);
    this.send({ action: "validate", name: input.name, value: field.value });
  }

  // A value that the remote system is likely to refuse is used only if the person says so.
  onProblem({ name, problem = "", doubt = "", effect = "", home = "" }) {
    if (!this.fields.has(name)) return;
    const { field, problem: shown, effect: undone, doubt: warned } = this.fields.get(name);
    redraw(warned, [doubt], () => (doubt ? [element("span", { dir: "auto" }, `${doubt} `),
      element("button", { type: "button", class: "rb-small", "data-anyway": name, "data-key": `anyway-${name}`,
        onclick: () => { this.sure.set(name, field.value); this.sendTyped({ action: "save" }); } }, "Use it anyway")] : []));
    warned.hidden = !doubt || this.sure.get(name) === field.value;
    setText(undone, effect);
    const place = this.fields.get(home);
    redraw(shown, [problem, home], () => [problem, place ? element("button", { type: "button", class: "rb-small", "data-move": name,
      onclick: () => this.move(field, place.field) }, `Move it to ${place.input.label}`) : ""]);
    shown.hidden = !problem;
    // A secret in the wrong field is masked at once.
    if (place?.input.kind === "password") field.type = "password";
    field.setAttribute("aria-invalid", problem ? "true" : "false");
  }

  // A text goes into the field that it belongs to.
  move(from, to) {
    to.value = from.value;
    from.value = "";
    from.type = this.fields.get(from.dataset.name).input.kind;
    for (const field of [from, to]) field.dispatchEvent(new Event("input"));
    to.focus();
  }

  // Sends the typed values too; they stay in their fields until the kernel has accepted them.
  sendTyped(content, buffers) {
    const inputs = {};
    for (const [name, { input, field }] of this.fields) {
      if (input.kind === "checkbox") {
        if (field.dataset.touched) inputs[name] = field.checked;
      } else if (input.kind === "password" ? field.value : field.dataset.touched) {
        inputs[name] = field.value;
      }
    }
    const { taken, finished, busy } = this.model.get("view");
    const sure = [...content.sure ?? [],
      ...Object.keys(inputs).filter((name) => this.sure.has(name) && this.sure.get(name) === inputs[name])];
    // A value that is left by pressing Check is sent once.
    const text = JSON.stringify([content, inputs, sure, taken, finished]);
    if (this.typed?.text === text) return true;
    this.typed = { inputs, taken, text };
    this.hasActed = finished + busy + 1; // a check that runs by itself ends first
    const isSent = this.send({ ...content, inputs, ...sure.length ? { sure } : {} }, buffers);
    if (!isSent) this.typed = null;
    return isSent;
  }

  // An accepted password is removed from its field; a refused value stays, with the reason.
  onTaken(view) {
    if (!this.typed || view.taken === this.typed.taken) return;
    const refused = new Map(view.refused.map((one) => [one.input, one]));
    for (const [name, sent] of Object.entries(this.typed.inputs)) {
      const { input, field } = this.fields.get(name);
      if (refused.has(name)) {
        this.onProblem({ name, ...refused.get(name) });
      } else if (input.kind === "checkbox" ? field.checked === sent : field.value === sent) {
        if (input.kind === "password") field.value = "";
        delete field.dataset.touched;
        forgetTyped(field);
        this.onProblem({ name, problem: "" });
      }
    }
    this.typed = null;
  }

  // --- actions -------------------------------------------------------------
  // The main action is blue, one more button stands beside it, the rest in a menu.
  drawActions(view) {
    const { primary, other, again, menu } = view.actions;
    const typed = this.hasTyped ? [...view.can_check ? ["check"] : [], "save"] : [];
    const [main] = [...typed, primary];
    const no = menu.includes("no") ? ["no"] : [];
    const row = [...new Set([...typed, primary, other, again, ...no])]
      .filter((name) => name && !(["attest", "answer"].includes(name) && name === primary));
    const rest = menu.filter((name) => !row.includes(name));
    const held = this.model.get("view").busy_since;
    redraw(this.actions, [row, view.links, view.side_effect, held], () => [
      ...row.map((name) => this.buildAction(view, name)),
      row.includes("check") && view.side_effect ? element("span", { class: "rb-field-note" }, view.side_effect) : ""]);
    this.actions.hidden = !row.length;
    for (const action of this.actions.querySelectorAll("[data-action]")) {
      action.classList.toggle("rb-first", action.getAttribute("data-action") === main);
    }
    redraw(this.others, [rest, view.side_effect, held], () => [
      element("div", { class: "rb-row" }, ...rest.map((name) => this.buildAction(view, name))),
      rest.includes("check") && view.side_effect ? element("div", { class: "rb-field-note" }, `Check: ${view.side_effect}`) : ""]);
    this.markMain(view, main);
    for (const form of this.forms) {
      const isInline = form.name === primary;
      form.root.hidden = this.shownForm !== form.name && !isInline;
      if (form.hasAside) form.notes.hidden = form.root.hidden;
      form.confirmButton.classList.toggle("rb-first", this.shownForm === form.name || isInline);
      form.confirmButton.classList.toggle("rb-main", this.shownForm === form.name || form.name === main);
      form.update(view);
    }
    const hasNote = this.forms.some((form) => form.hasAside && !form.root.hidden);
    const names = rest.map((name) => (name === "answer" ? "answer"
      : this.forms.find((form) => form.name === name)?.form.label.toLowerCase()));
    setText(this.menuNames, [hasNote ? ": add a note" : "", ...names].filter(Boolean).join(", ").replace(/^(?!:|$)/, ": "));
    for (const button of this.root.querySelectorAll("[data-form]")) {
      button.setAttribute("aria-expanded", String(button.dataset.form === this.shownForm));
    }
    if (!view.needs_another) this.second.hidden = true;
    else if (!view.has_confirm_page) this.showCommand(view.number);
    holdButtons(this.root, Boolean(view.busy_since) && !this.isLost);
  }

  // A form or a consent page that is open has the blue button itself.
  markMain(view, main) {
    const isOpened = Boolean(this.shownForm || view.consent_url || view.consent_paste_url);
    for (const action of this.actions.querySelectorAll("[data-action]")) {
      const { action: name } = /** @type {HTMLElement} */ (action).dataset;
      const isMain = name === main && !isOpened;
      action.classList.toggle("rb-main", isMain);
    }
  }

  buildAction(view, name) {
    const make = (text, act, more = {}) => element("button", { type: "button", "data-action": name,
      "data-key": name, onclick: act, ...more }, text);
    const form = this.forms.find((item) => item.name === name);
    if (form) return make(form.form.label, () => this.toggleForm(form), { "data-form": name, "aria-expanded": "false" });
    if (name === "open") {
      const [{ label, url }] = view.links;
      return element("a", { href: url, target: "_blank", rel: "noopener", "data-action": "open", "data-key": "open",
        onclick: () => this.noteOpened() }, `Open ${label} ↗`);
    }
    if (name === "consent") return make(`Sign in with ${view.provider}`, () => this.askConsent());
    if (name === "link") return make("Ask a second person", () => this.send({ action: "link" }));
    if (name === "continue") return make("Continue", () => this.goPast());
    const check = view.actions.other === "continue" ? "Check again" : "Check";
    return make(name === "check" ? check : "Save", () => this.sendTyped({ action: name }));
  }

  // The step folds and stays open for later; the next one opens.
  goPast() {
    this.isPassing = this.send({ action: "continue" });
    noteOpened("");
  }

  // The link is followed first; then the blue button is what comes after it.
  noteOpened() {
    setTimeout(() => { if (!this.isLost && !isServerGone()) ask(this.model, { action: "opened" }); });
  }

  // Its answer comes by another page.
  askConsent() {
    this.hasActed = Infinity;
    this.send({ action: "consent" });
  }

  toggleForm(form) {
    this.shownForm = this.shownForm === form.name ? "" : form.name;
    this.drawActions(this.model.get("view"));
    if (this.shownForm) [...form.root.querySelectorAll("input")].find((field) => !field.closest("[hidden]"))?.focus();
  }

  // A form whose text came back stands there, too.
  showAgain(form) {
    if (form.root.hidden) {
      this.shownForm = form.name;
      this.drawActions(this.model.get("view"));
    }
    if (form.hasAside) this.menu.open = true;
  }

  // Focus stays in this panel, where the answer appears.
  closeForm(form, { isCancelled = false } = {}) {
    const isThere = form.contains(document.activeElement) || document.activeElement === document.body;
    if (this.shownForm === form.name) this.shownForm = "";
    this.drawActions(this.model.get("view"));
    const opener = /** @type {HTMLElement | null} */ (this.root.querySelector(`[data-form="${form.name}"]`));
    if (isThere) (isCancelled && opener ? opener : this.root).focus({ preventScroll: true });
  }

  buildConsent(provider) {
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
      `While the app is in development mode, ${provider} can return the browser to this machine. Then you paste nothing: `,
      element("div", { class: "rb-row" }, this.consentLink, ...this.buildCopy(this.consentLink)));
    this.consent.append(element("div", { class: "rb-form", hidden: true },
      this.consentPaste,
      element("div", { class: "rb-fields" },
        element("label", { for: id }, "Address to paste"), element("div", {}, field)),
      element("div", { class: "rb-row" }, element("button", { type: "button", "data-action": "redirect",
        onclick: () => this.sendAddress(field) },
      "Use this address")),
      this.consentHere));
  }

  sendAddress(field) {
    if (this.send({ action: "redirect", url: field.value })) field.value = "";
    this.markUnsaved();
  }

  // For another window or person; where the clipboard cannot be used, the address appears.
  buildCopy(link) {
    const button = element("button", { type: "button", class: "rb-small", "data-copy": "consent",
      onclick: () => copy(link.href, button, "Copy the link") }, "Copy the link");
    return [element("code", { hidden: true, "data-address": true }), button];
  }

  // Another server has no page for it: the second person uses a terminal, or this page.
  showCommand(number) {
    this.second.hidden = false;
    redraw(this.second, number, () => [element("div", { class: "rb-field-note" },
      "A second person confirms it here, or in a terminal: ", element("code", {}, `runbook confirm ${number} --by NAME`))]);
  }

  // The link opens this step alone, once; whoever has it can confirm.
  onLink({ path }) {
    const url = new URL(serverBase() + path, location.href).href;
    const button = element("button", { type: "button", class: "rb-small", "data-copy": "link", "aria-label": "Copy the link" }, "Copy");
    button.addEventListener("click", () => copy(url, button, "Copy"));
    this.second.replaceChildren(element("div", { class: "rb-row" }, element("code", { "data-link": true }, url), button),
      element("div", { class: "rb-field-note" }, "The link opens only this step, without a login. It works once, within seven days. Send it to the "
        + "second person only. If they cannot reach this server: runbook confirm STEP --by NAME."));
    this.second.hidden = false;
  }

  onSecret({ value }) {
    if (value && this.copySecretButton) copy(value, this.copySecretButton, this.copySecretButton.dataset.label);
  }

  // --- state -----------------------------------------------------------------
  draw() {
    const view = this.model.get("view");
    this.root.dataset.outcome = view.outcome;
    this.root.dataset.inPart = String(view.in_part);
    this.root.dataset.finished = view.finished;
    this.root.dataset.written = view.written;
    this.root.dataset.step = view.id;
    this.root.dataset.number = view.number;
    this.root.dataset.title = view.title;
    this.root.dataset.open = String(this.isOpen);
    this.markCells();
    this.drawLine(view);
    this.onTaken(view);
    this.drawOffer(view);
    this.news = this.latestNews(view);
    this.isTelling = this.isTold(view, this.news);
    if (this.isBuilt) this.drawCard(view);
    else if (this.isOpen) this.openCard(view);
    this.drawNews(view);
    this.goOn(view);
    // Its values have arrived: nobody has to press Check.
    if (view.can_refresh && !view.checked_on && !this.hasRefreshed && this.isOpen && !this.hasTyped) { this.hasRefreshed = true; this.refresh(); }
    if (!view.can_refresh) this.hasRefreshed = false;
    this.markUnsaved();
  }

  // Open, it says where the card belongs; closed, it is the step.
  drawLine(view) {
    this.line.setAttribute("aria-expanded", String(this.isOpen));
    const badge = () => element("span", { class: "rb-badge", "data-outcome": view.outcome },
      view.outcome === "not_run" ? view.label : `${view.icon} ${view.label}`);
    const busy = () => (view.busy_since ? element("span", { class: "rb-spin", "aria-hidden": "true" }) : "");
    redraw(this.line, [this.isOpen, view.outcome, view.icon, view.label, view.since, view.limits, view.warnings, view.busy_since], () => (this.isOpen
      ? [element("span", { class: "rb-label" }, `Step ${view.number} · ${view.part}`), badge(), busy(),
        element("span", { class: "rb-label", dir: "auto" }, view.since)]
      : [badge(), busy(), element("b", {}, `${view.number} · ${view.title}`),
        element("span", { class: "rb-label", dir: "auto" }, [view.since, ...this.doubts(view)].filter(Boolean).join(" · "))]));
  }

  drawCard(view) {
    const links = this.linksBeside(view);
    redraw(this.acts, [view.acts, links], () => [view.acts.length > 1
      ? element("ol", {}, ...view.acts.map((act) => element("li", {}, ...marked(act, links))))
      : element("p", {}, ...marked(view.acts[0], links))]);
    const isNew = view.outcome === "not_run" && !view.checked_on;
    const isStill = this.hasFinding(view) && !this.isTelling;
    redraw(this.status, [isStill && this.findingOf(view), view.warnings, view.overdue, view.overdue_act, view.assigned], () => [
      isStill ? this.drawFinding(view) : "",
      ...view.warnings.map((text) => element("div", { class: "rb-warning" }, element("em", {}, "Warning: "), text)),
      view.overdue ? element("div", {}, element("strong", {}, `${view.overdue}.`), ` ${view.overdue_act}`) : "",
      view.assigned ? element("div", { dir: "auto" }, view.assigned) : ""]);
    this.status.hidden = !this.status.firstChild;
    this.buildInputs(view); // after onTaken: an accepted value is no reason to keep a field
    this.drawFound(view, isNew);
    this.drawScreen(view);
    this.drawAids(view);
    this.drawInputs(view);
    this.renewForms(view);
    this.drawActions(view);
    this.drawDetails(view);
    if (view.needs_consent) {
      this.consent.firstChild.hidden = !view.consent_url && !view.consent_paste_url;
      this.drawLink(this.consentHere, this.consentLink, view.consent_url);
      this.drawLink(this.consentPaste, this.consentPasteLink, view.consent_paste_url);
      setText(this.consentEnd, redirectOf(view.consent_paste_url));
    }
  }

  drawLink(holder, link, url) {
    holder.hidden = !url;
    setText(holder.querySelector("[data-address]"), url);
    if (url) link.href = url;
    else link.removeAttribute("href");
  }

  // One paragraph has the finding and the advice. Verified in part: the part that a person must check
  // stands at the button.
  hasFinding({ outcome, checked_on: checkedOn, in_part: inPart, reason }) {
    const isNew = outcome === "not_run" && !checkedOn;
    return Boolean(reason) && !isNew && !inPart;
  }

  findingOf({ outcome, icon, label, reason, to_do: toDo }) { return [outcome, icon, label, reason, toDo]; }

  // `isTold`: its live region tells it, with the outcome and the doubts that stand elsewhere.
  drawFinding(view, { isTold = false } = {}) {
    return element("div", { class: "rb-says", "data-outcome": view.outcome },
      element("b", { "aria-hidden": "true" }, view.icon),
      element("p", { dir: "auto" }, isTold ? element("span", { class: "rb-heard" }, `${view.label}: `) : "",
        element("span", {}, [view.reason, view.to_do].filter(Boolean).join(" ")), isTold ? this.drawHeard(this.doubtsOf(view)) : ""));
  }

  // Texts from elsewhere on the page, for screen readers.
  drawHeard(texts) { return texts.length ? element("span", { class: "rb-heard" }, ` ${texts.join(" ")}`) : ""; }

  doubtsOf({ warnings, limits }) { return [...warnings, ...limits.map((text) => `Not proven: ${text}`)]; }

  // All else that was found: notes, limits, tables, and what the remote system says.
  drawFound(view, isNew) {
    const notes = [...view.more_to_do ? [["To do", view.more_to_do]] : [],
      ...view.remarks.map((text) => ["Note", text]),
      ...view.changes.map((text) => ["Changed", text]),
      ...view.limits.map((text) => ["Not proven", text])];
    redraw(this.foundNotes, [isNew, view.in_part && view.reason, notes, view.quotes], () => (isNew ? [] : [
      view.in_part ? element("div", { dir: "auto" }, view.reason) : "",
      notes.length ? element("ul", { class: "rb-notes" }, ...notes.map(([label, text]) =>
        element("li", {}, element("em", {}, `${label}: `), text))) : "",
      view.quotes.length ? this.buildFold("quotes", `What ${view.provider} says`, view.quotes.map((text) => element("div", { dir: "auto" }, text))) : ""]));
    this.drawTables(view);
    this.found.hidden = !this.foundNotes.firstChild && this.tables.hidden;
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

  // The screen where the step is done; a folded step has no use for it.
  drawScreen({ screen }) {
    this.screen.hidden = !screen;
    this.root.dataset.picture = String(Boolean(screen));
    if (!screen || !this.isOpen) return;
    redraw(this.screen, screen, () => [picture(screen.svg), element("figcaption", { class: "rb-field-note", title: screen.source }, screen.caption)]);
  }

  // The links of a step without the one that has the blue button.
  linksBeside({ links, actions }) { return links.slice(actions.primary === "open" ? 1 : 0); }

  drawAids(view) {
    redraw(this.aids, [view.chosen, view.links, view.actions.primary, view.pastes, view.copied_secret], () => {
      // A text has the links that it names.
      const others = this.linksBeside(view).filter(({ label }) => ![...view.acts, ...view.prose?.paragraphs ?? []].some((text) => text.includes(`**${label}**`)));
      const links = others.map(({ label, url }) => url
        ? element("a", { href: url, target: "_blank", rel: "noopener", "data-key": label }, `${label} ↗`)
        : element("span", { class: "rb-field-note" }, label));
      const rows = view.pastes.map((paste) => this.drawPaste(paste));
      if (links.length) rows.unshift(element("div", { class: "rb-row" }, ...links));
      if (view.copied_secret) rows.push(this.drawCopySecret(view.copied_secret));
      rows.push(...view.chosen.map((one) => this.drawChosen(one)));
      return rows;
    });
    this.aids.hidden = !this.aids.firstChild;
  }

  // A value that is chosen in another step.
  drawChosen({ label, value, id, title }) {
    const link = element("a", { href: `#runbook-${id}`, "data-key": `chosen-${label}`,
      "aria-label": `Change it in: ${title}`, onclick: (event) => { event.preventDefault(); jump(id, title); } }, "Change");
    return element("div", { class: "rb-row" }, element("span", { class: "rb-label" }, label),
      element("span", { dir: "auto" }, value), link);
  }

  drawPaste({ label, value, is_compared: isCompared }) {
    const button = element("button", { type: "button", class: "rb-small", "data-copy": label,
      "data-key": `copy-${label}`, "aria-label": `Copy ${label}` }, "Copy");
    button.addEventListener("click", () => copy(value, button, "Copy"));
    return element("div", { class: "rb-row" }, element("span", { class: "rb-label" }, label),
      element("code", {}, value), button, isCompared ? this.drawComparison(value) : "");
  }

  // Takes what the page shows, and says where it differs. A help: it is no evidence.
  drawComparison(value) {
    const result = element("div", { class: "rb-field-note", "aria-live": "polite" });
    const text = `Paste what ${this.model.get("view").provider} shows, to compare`;
    const field = element("input", { type: "text", "data-compare": true, "aria-label": text, placeholder: text, dir: "ltr",
      autocomplete: "off", spellcheck: "false", oninput: () => setText(result, comparison(field.value, value)) });
    keepTyped(field, `${this.key}-compare`);
    return element("div", { class: "rb-compare" }, field, result);
  }

  drawCopySecret({ label, unknown }) {
    if (unknown) return element("div", { class: "rb-field-note" }, `${label}: ${unknown}`);
    const text = `Copy the ${label}`;
    this.copySecretButton = element("button", { type: "button", "data-action": "copy-secret", "data-label": text,
      "data-key": "copy-secret", onclick: () => this.send({ action: "copy_secret" }) }, text);
    return element("div", { class: "rb-row" }, this.copySecretButton,
      element("span", { class: "rb-field-note" }, "Copied to the clipboard only."));
  }

  drawInputs(view) {
    for (const input of view.inputs) {
      const { field, note } = this.fields.get(input.name);
      const isFree = document.activeElement !== field && !field.dataset.touched;
      if (isFree && input.kind === "checkbox") field.checked = Boolean(input.value);
      else if (isFree && input.kind === "text" && field.value !== input.value) { field.value = input.value; field.tick?.(); }
      setText(note, input.saved_in ? `Known (${input.saved_in}). Empty keeps it.` : input.help);
      const keep = field.parentElement.querySelector(".rb-keep");
      if (!keep) continue;
      keep.hidden = !input.saved_in;
      // Saving is offered once it is known to be right, until the person has decided.
      keep.querySelector("[data-offer]").hidden = !this.offersToSave(view, input);
    }
  }

  offersToSave(view, { name, saved_in: place }) {
    return place === "this session" && view.outcome === "verified" && !this.unsaved.has(name);
  }

  // Reference texts; an error that was seen here, and needed texts, stand before the menu.
  drawDetails(view) {
    const isSeen = view.known_errors.some(({ seen }) => seen);
    const knownErrors = () => this.buildFold("known-errors", "Errors at this step", view.known_errors.map((error) => this.drawKnownError(error)));
    redraw(this.details, [isSeen && view.known_errors, view.kit, view.prose, view.links], () => [
      view.kit ? this.drawKit(view.kit) : "", isSeen ? knownErrors() : "",
      view.prose ? this.buildFold("prose", view.prose.title, [...view.prose.paragraphs, view.prose.source].filter(Boolean)
        .map((text) => element("p", {}, ...marked(text, view.links)))) : ""]);
    this.details.hidden = !this.details.firstChild;
    redraw(this.behind, [view.exchanges, view.history, view.known_errors, view.screen?.source], () => [
      view.known_errors.length && !isSeen ? knownErrors() : "",
      view.exchanges.length ? this.buildFold("asked", "Requests and responses", view.exchanges.map((exchange, number) => this.buildFold(
        `asked-${number}`, `${exchange.line} → ${exchange.status}, ${exchange.milliseconds} ms`
          + `${exchange.trace ? `, trace ${exchange.trace}` : ""}, ${exchange.sent_on}`, [element("pre", { tabindex: 0 }, exchange.detail)]))) : "",
      this.buildFold("history", "History", [element("div", { class: "rb-field-note" }, view.identity),
        element("div", { class: "rb-field-note" }, view.screen?.source ?? ""), element("ul", { class: "rb-notes" },
        ...view.history.map(({ at, event }) => element("li", { dir: "auto" }, `${at} ${event}`)))])]);
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
    const permissions = kit.permissions.map(({ name, usage, calls, reasons }) => this.buildFold(`kit-${name}`, name, [
      text(name, usage),
      calls.length ? items(calls.map(({ request }) => `Needed by ${request}`)) : "",
      reasons.length ? items(reasons.map((reason) => `Asked for by ${reason.name}: ${reason.why}.`)) : ""]));
    return this.buildFold("kit", "Texts and screencast script", [
      element("div", { class: "rb-field-note" }, "Adapt them, and replace every ‹…›. “runbook kit” writes them as files."),
      kit.warnings.length ? items(kit.warnings) : "",
      this.buildFold("kit-about", "About the app", [text("About the app", kit.about.join("\n\n"))]),
      ...permissions,
      this.buildFold("kit-scenes", "Recording", [items(kit.rules), items(kit.scenes.map(({ shows, caption }) => `${shows} Caption: “${caption}”`), "ol")]),
      this.buildFold("kit-reviewer", "Steps for the reviewer", [items(kit.reviewer, "ol")]),
      this.buildFold("kit-prepare", kit.prepare_for, [items(kit.prepare.map(({ name, text: says }) => `${name}: ${says}`))])]);
  }

  drawKnownError(error) {
    const title = error.seen ? `${error.title} (seen here)` : error.title;
    return this.buildFold(`known-error-${error.title}`, title, [
      element("div", {}, error.meaning),
      element("ul", { class: "rb-notes" }, ...error.causes.map((text) => element("li", {}, text))),
      element("div", {}, element("em", {}, "What to do: "), error.advice),
      element("div", { class: "rb-field-note" }, `Source: ${error.source}`)]);
  }

  // A collapsible part; redrawn, it stays as the person left it.
  buildFold(name, title, children) {
    const node = element("details", { "data-fold": name, open: Boolean(this.opened[name]) },
      element("summary", { "data-key": name }, title), ...children);
    node.addEventListener("toggle", () => { this.opened[name] = node.open; });
    return node;
  }

  // --- news -----------------------------------------------------------------
  drawNews(view) {
    const isBusy = Boolean(view.busy_since) && !this.isLost;
    this.root.setAttribute("aria-busy", String(isBusy));
    const { news } = this;
    // Outside the live region: a new time is not announced.
    setText(this.watched, `The next check is at ${view.next_refresh}. This page shows changes. You can close everything and come back.`);
    this.watched.hidden = !view.next_refresh || isBusy || Boolean(this.isLost);
    const hasFinding = this.hasFinding(view);
    const message = hasFinding && this.isTelling ? news.message : news.message || view.result;
    redraw(this.live, [isBusy, message, news.advice, this.isTelling && [this.findingOf(view), view.warnings, view.limits]], () => {
      if (isBusy) return [progressBox("Working…")];
      const finding = hasFinding && this.isTelling ? this.drawFinding(view, { isTold: true }) : "";
      const isHeard = this.isTelling && !hasFinding && view.reason;
      return [finding, message ? messageBox({ ...news, message }) : "",
        isHeard ? this.drawHeard([`${view.label}: ${view.reason}`, ...this.doubtsOf(view)]) : ""];
    });
  }

  // A finding is news, so the live region tells it: the last action has found it, or the
  // outcome has changed without one. An error stands alone there.
  isTold(view, news) {
    return !view.busy_since && !this.isLost && !news.is_error && Boolean(news.message || view.result);
  }

  // The result of the last action, or a change of outcome that happened without one.
  latestNews(view) {
    if (this.isLost) return { message: this.hasFailed ? runAgain() : "", advice: "", is_error: true };
    const before = this.seen || view;
    this.seen = { outcome: view.outcome, finished: view.finished };
    if (before.outcome !== view.outcome && before.finished === view.finished && !view.busy_since) {
      this.change = { text: `Now ${view.label}.`, after: view.message, finished: view.finished };
    }
    const { change } = this;
    const isNewest = change && change.after === view.message && change.finished === view.finished;
    return isNewest ? { message: change.text, advice: "", is_error: false } : view;
  }

  // The kernel is gone: no action runs. The header announces it; this panel only when it is used.
  lose({ isAsked = false } = {}) {
    this.isLost = true;
    this.hasFailed ||= isAsked;
    this.typed = null;
    for (const form of this.forms) form.asked = null;
    setText(this.gone, runAgain());
    this.gone.hidden = this.hasFailed || !this.gone.textContent;
    this.draw();
  }

  stop() {
    clearInterval(this.timer);
    for (const forget of this.forget) forget();
    // Its cell may have run again by now.
    const panel = document.getElementById(this.root.id);
    if (!panel || panel === this.root) forgetMark(this.title, "rb-title");
  }
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
    if (message.kind === "secret") panel?.onSecret(message);
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
