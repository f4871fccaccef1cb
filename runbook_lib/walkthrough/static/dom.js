// Shared by every panel: widgets.py puts it before each panel's script.
function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value ?? "";
    else if (name === "value") node.value = value;
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null && child !== ""));
  return node;
}

// A screen reader repeats text that is written again: write only what differs.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Replaces the children of `parent` by what `draw` returns, if `what` is shown has changed. Focus
// inside is kept: on the node with the same `data-key`, else on the panel.
/** @param {HTMLElement & { drawn?: string }} parent */
function redraw(parent, what, draw) {
  const signature = JSON.stringify(what);
  if (parent.drawn === signature) return;
  parent.drawn = signature;
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  parent.replaceChildren(...draw());
  if (!focused) return;
  const key = focused.getAttribute("data-key");
  const same = [...parent.querySelectorAll("[data-key]")].find((node) => node.getAttribute("data-key") === key);
  /** @type {HTMLElement | null} */ (same || parent.closest("[tabindex]"))?.focus({ preventScroll: true });
}

// While an action runs, buttons ignore clicks. They are not `disabled`: that would drop the focus.
function ignoreClicksWhileHeld(root) {
  root.addEventListener("click", (event) => {
    if (!event.target.closest('button[aria-disabled="true"]')) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
}

function holdButtons(root, isHeld) {
  for (const button of root.querySelectorAll("button")) {
    if (!button.classList.contains("rb-fold")) button.setAttribute("aria-disabled", String(isHeld || isServerGone()));
  }
}

// The page of `runbook lab --app`, without JupyterLab around it.
function isApp() { return Boolean(document.getElementById("rendered_cells")); }

// After the kernel has stopped. If the server is gone, its band says what to do.
function runAgain() {
  if (isServerGone()) return "";
  return isApp() ? "The kernel has stopped: load this page again."
    : "The kernel was restarted: press Start at the top of the notebook.";
}
const RUN_FIRST = "Press Start at the top of the notebook first.";
const UNFOLD = "This section is collapsed: expand its heading first.";

// Calls `lost` when the kernel is gone; returns a function that stops watching.
function watchKernel(model, lost) {
  const kernel = model.widget_manager?.kernel;
  const hear = (_kernel, status) => {
    if (["restarting", "autorestarting", "terminating", "dead"].includes(status)) lost();
  };
  kernel?.statusChanged?.connect(hear);
  kernel?.disposed?.connect(lost);
  model.on("comm:close", lost);
  return () => {
    kernel?.statusChanged?.disconnect(hear);
    kernel?.disposed?.disconnect(lost);
    model.off("comm:close", lost);
  };
}

// Sends a request to the kernel; returns whether it was sent.
function ask(model, content, buffers) {
  document.dispatchEvent(new CustomEvent(ASKED));
  try {
    model.send(content, undefined, buffers);
    return true;
  } catch {
    return false;
  }
}

// --- the server --------------------------------------------------------------
// A kernel's channel is silent both when nothing happens and when the server is gone. So the page asks
// the server itself: each second while somebody sees the page, and whenever the kernel is asked.
const SERVER = "runbook:server";
const ASKED = "runbook:asked";
const BEAT_MILLISECONDS = 1000;
const ANSWER_MILLISECONDS = 8000; // a refused connection is known at once; a slow one is not gone

function isServerGone() { return Boolean(document.documentElement.dataset.runbookServer); }

// Returns when the server was started, "" if nothing answers, or null if it does not know this page.
async function startOfServer() {
  try {
    const answer = await fetch(new URL(`${serverBase()}api/status`, location.href).href,
      { cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(ANSWER_MILLISECONDS) });
    if (answer.ok) return (await answer.json()).started;
    return answer.status >= 500 || answer.status === 424 ? "" : null; // 424: JupyterHub, of a stopped server
  } catch {
    return "";
  }
}

// NOTE: Jupyter's own tries end after some minutes.
async function reconnect(model) {
  const kernel = model.widget_manager?.kernel;
  try {
    if (kernel?.connectionStatus !== "connected") await kernel?.reconnect?.();
  } catch { /* the kernel is gone, which it says itself */ }
}

// A kernel that runs nothing must answer. It is asked each PING_BEATS; after SILENT_BEATS without an
// answer it is silent. A beat is a second.
const PING_BEATS = 5;
const SILENT_BEATS = 15;

function watchKernelAnswers(model) {
  let beats = 0;
  let askedAt = 0; // the beat of the question that has no answer yet
  const hear = ({ kind }) => { if (kind === "pong") askedAt = 0; };
  model.on("msg:custom", hear);
  return {
    stop: () => model.off("msg:custom", hear),
    // Counts one more beat, and returns whether the kernel is silent.
    isSilent() {
      beats += 1;
      if (model.widget_manager?.kernel?.status === "busy") askedAt = 0;
      else if (!askedAt && beats % PING_BEATS === 0) {
        askedAt = beats;
        try { model.send({ action: "ping" }); } catch { askedAt = 0; }
      }
      return Boolean(askedAt) && beats - askedAt >= SILENT_BEATS;
    },
  };
}

// Shows a band and holds all buttons while the server is gone or the kernel is silent; `howToStart`
// returns its texts and nodes. A kernel that `isLost` is not asked. Returns a function that stops that.
function watchServer(model, howToStart, isLost) {
  const { dataset } = document.documentElement;
  const answers = watchKernelAnswers(model);
  let started = "";
  let isAsking = false;
  const band = element("div", { class: "rb rb-band", role: "alert", hidden: true });
  document.body.append(band);
  const show = (state) => {
    if (state === (dataset.runbookServer ?? "")) return;
    if (state) dataset.runbookServer = state;
    else delete dataset.runbookServer;
    band.hidden = !state;
    band.replaceChildren(...bandContent(state, howToStart));
    document.dispatchEvent(new CustomEvent(SERVER));
    if (!state) reconnect(model);
  };
  const beat = async () => {
    if (isAsking || document.visibilityState !== "visible") return;
    isAsking = true;
    const now = await startOfServer();
    isAsking = false;
    if (now === "") show("stopped");
    else {
      started ||= now ?? "";
      const isSilent = !isLost() && answers.isSilent();
      if (started && now !== started) show("restarted");
      else show(isSilent ? "silent" : "");
    }
  };
  beat();
  const timer = setInterval(beat, BEAT_MILLISECONDS);
  const forgetAsked = listen(ASKED, beat);
  return () => {
    clearInterval(timer);
    forgetAsked();
    answers.stop();
    band.remove();
  };
}

// The band's message, and its advice.
function bandContent(state, howToStart) {
  switch (state) {
    case "stopped":
      return [element("strong", {}, "The runbook has stopped, or cannot be reached. "), ...howToStart(),
        " Saved input is not lost. Keep this page open: it shows when the runbook is back."];
    case "silent":
      return [element("strong", {}, "The runbook does not answer. "), "Saved input is not lost. Wait a minute. If this stays, ",
        isApp() ? "load this page again." : "choose Kernel > Restart Kernel, then press Start at the top of the notebook."];
    default:
      return [element("strong", {}, "The runbook was started again. "),
        "Saved input is not lost. Load this page again to continue. If it asks for a token, open the address in the terminal instead. ",
        element("button", { type: "button", class: "rb-main", onclick: () => location.reload() }, "Load this page again")];
  }
}

// The cell around `node`; voila wraps each cell in one more node.
function cellOf(node) { return node.closest("[cell-index]") || node.closest(".jp-Cell"); }

// The cells around the panels are styled by classes and states that are written on them. With
// `:has()` the browser would search the whole page whenever anything in it changes.
function markCell(node, name, states = {}) {
  const cell = node && markedCell(node);
  cell?.classList.add(name);
  if (cell) Object.assign(cell.dataset, states);
}

// Acts once `root`, which is drawn before it is in the page, is there. Returns a function that forgets it.
function whenPlaced(root, act) {
  let frame = 0;
  const actWhenPlaced = () => { if (root.isConnected) act(); else frame = requestAnimationFrame(actWhenPlaced); };
  frame = requestAnimationFrame(actWhenPlaced);
  return () => cancelAnimationFrame(frame);
}

// JupyterLab itself scrolls to the last cell, on a slow machine seconds after the panels are there.
const SETTLED_MILLISECONDS = 600;
const SETTLED_LOOKS = 10;

// Calls `stand` some times, until the person goes elsewhere than to the panel whose id `ownPanel`
// returns. Returns a function that forgets it.
function standUntilActed(stand, ownPanel) {
  let looks = SETTLED_LOOKS;
  const note = (event) => {
    const panel = event.target.closest(".rb");
    if (event.type !== "focusin" || (panel && panel.id !== ownPanel())) looks = 0;
  };
  const kinds = ["wheel", "keydown", "pointerdown", "focusin"];
  for (const kind of kinds) document.addEventListener(kind, note, { capture: true });
  const forget = () => {
    clearInterval(timer);
    for (const kind of kinds) document.removeEventListener(kind, note, { capture: true });
  };
  const timer = setInterval(() => {
    if (looks > 0) stand();
    looks -= 1;
    if (looks <= 0) forget();
  }, SETTLED_MILLISECONDS);
  return forget;
}

function forgetMark(node, name) { (node && markedCell(node))?.classList.remove(name); }

function markedCell(node) { return node.closest(".jp-Cell") || node.querySelector(".jp-Cell"); }

// A card that comes into view above gets its real height in the next frame, and would push it away.
function showAtTop(node, isAsked) {
  const show = () => node.scrollIntoView({ block: "start" });
  show();
  if (isAsked) setTimeout(show, 60);
}

// The first field that a person has to fill in.
function firstField(panel) {
  return [...panel.querySelectorAll("input[data-name]")].find((field) => ["text", "password"].includes(field.type)
    && !field.value && field.checkVisibility?.());
}

// Opens a step, scrolls to it and focuses its first empty field, or its panel; without a panel, it
// scrolls to its heading. Where nobody
// asked for it, the step is open while its own view says that it is next: each panel hears of a
// change at its own time. Returns what the person has to do first, or an empty string.
function jump(id, title, { isAsked = true } = {}) {
  const panel = document.getElementById(`runbook-${id}`);
  if (panel && !panel.closest(".lm-mod-hidden")) {
    setFold(id, isAsked || undefined);
    showAtTop(panel, isAsked);
    const field = isAsked && firstField(panel);
    (field || panel).focus({ preventScroll: true });
    return "";
  }
  const heading = [...document.querySelectorAll("h3")].find((node) => node.textContent.replace("¶", "").trim().endsWith(`· ${title}`));
  let shown = heading && cellOf(heading);
  while (shown?.classList.contains("lm-mod-hidden")) shown = shown.previousElementSibling;
  if (shown) showAtTop(shown, isAsked);
  return panel ? UNFOLD : RUN_FIRST;
}

// Jupyter's configuration of this page: its folder, and the base URL of its server.
function pageConfig() {
  return JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "{}");
}

function serverBase() { return pageConfig().baseUrl ?? "/"; }

// The address at which JupyterLab's `view` ("lab/tree", "files") shows `path`, if it is below the server's folder.
function labAddress(view, path) {
  try {
    const config = pageConfig();
    const root = config.serverRoot.replace(/\/$/, "");
    const inside = path.startsWith(`${root}/`) ? path.slice(root.length + 1) : null;
    return inside && `${config.baseUrl}${view}/${inside.split("/").map(encodeURIComponent).join("/")}`;
  } catch {
    return null;
  }
}

// The items to have at hand before the first step.
function beginHeading() {
  return [...document.querySelectorAll("h2")].find((node) => !node.closest(".rb") && node.textContent.startsWith("Before you begin"));
}

// The result of an action, and the next thing to do.
function messageBox(view, linked = (text) => [text]) {
  return element("div", { class: "rb-message", "data-error": String(view.is_error), dir: "auto" }, ...linked(view.message),
    view.advice ? element("div", {}, element("strong", {}, "Next: "), view.advice) : null);
}

// A running action; its seconds are hidden from screen readers.
function progressBox(text) {
  return element("div", { class: "rb-message", "data-busy": true },
    element("span", { class: "rb-spin", "aria-hidden": "true" }), text,
    element("span", { "data-seconds": true, "aria-hidden": "true" }));
}

function showSeconds(root, since) {
  const shown = root.querySelector("[data-seconds]");
  if (shown) setText(shown, ` ${Math.max(0, Date.now() / 1000 - since).toFixed(0)} s`);
}

// Values of this page, until its tab is closed.
const PAGE = location.pathname;

function savedInTab(kind) {
  try { return sessionStorage.getItem(`${kind}:${PAGE}`); } catch { return null; }
}

function saveInTab(kind, text) {
  try { sessionStorage.setItem(`${kind}:${PAGE}`, text); } catch { /* lost when the page is reloaded */ }
}

// Text that was typed and is not recorded comes back after a reload. What may be a secret is never kept:
// a word of that length.
const SECRET_SHAPE = /[\w-]{20,}/;

function keepTyped(field, key, isBack = () => {}) {
  field.dataset.kept = `runbook:typed:${key}`;
  const typed = savedInTab(field.dataset.kept);
  // Heard once the field stands in its card.
  if (typed) setTimeout(() => { field.value = typed; field.dispatchEvent(new Event("input")); isBack(); });
  field.addEventListener("input", () => saveInTab(field.dataset.kept,
    field.type === "password" || SECRET_SHAPE.test(field.value) ? "" : field.value));
}

function forgetTyped(field) { if (field.dataset.kept) saveInTab(field.dataset.kept, ""); }

// The same text, or its first difference, in words.
function comparison(seen, expected) {
  const same = (text) => { let at = 0; while (at < expected.length && text[at] === expected[at]) at += 1; return at; };
  const [text] = seen.trim().split(/[\s,]+/).sort((one, other) => Number(other === expected) - Number(one === expected) || same(other) - same(one));
  if (!text) return "";
  if (text === expected) return "✔ The same, every character.";
  const at = same(text);
  const named = (character) => (/[\p{C}\p{Z}]/u.test(character) ? `an invisible character (U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")})` : `“${character}”`);
  if (at === expected.length) return `✘ Not the same: at the end stands “${text.slice(at)}” too much.`;
  if (at === text.length) return `✘ Not the same: at the end, “${expected.slice(at)}” is missing.`;
  return `✘ Not the same: character ${at + 1} is ${named(text[at])}, and must be “${expected[at]}”.`;
}

// The person who acts on this page: a name typed in this tab, else the server's user. Another tab asks again,
// since an attestation is a named person's.
const PERSON = "runbook:person";

function personHere(user) { return document.documentElement.dataset.runbookPerson ?? savedInTab(PERSON) ?? user; }

function setPerson(name) {
  document.documentElement.dataset.runbookPerson = name;
  saveInTab(PERSON, name);
  document.dispatchEvent(new CustomEvent(PERSON));
}

// Calls `hear` with each event's detail; returns a function that stops that.
function listen(kind, hear) {
  const listener = (event) => hear(event.detail);
  document.addEventListener(kind, listener);
  return () => document.removeEventListener(kind, listener);
}

// One step is open: the one that the person opened, else what comes next. "none" is open if the person
// closed that. It is kept until the tab is closed.
const FOLD = "runbook:fold";
const NONE = "none";

// Returns the id of the step that the person opened; empty if the page decides. A step that is not
// shown here counts for nothing.
function openedStep() {
  const id = document.documentElement.dataset.runbookOpened ?? savedInTab(FOLD) ?? "";
  return id === NONE || document.getElementById(`runbook-${id}`) ? id : "";
}

function noteOpened(id) {
  document.documentElement.dataset.runbookOpened = id;
  saveInTab(FOLD, id);
}

// Opens or closes a step; without `isOpen` the page decides again.
function setFold(id, isOpen) {
  if (isOpen === undefined) {
    if ([id, NONE].includes(openedStep())) noteOpened("");
  } else {
    noteOpened(isOpen ? id : NONE);
  }
  document.dispatchEvent(new CustomEvent(FOLD, { detail: { id } }));
}

// The text's nodes: **bold**, *emphasis*, `code` and addresses. Bold names of `links` lead there.
const MARKED = /\*\*(.+?)\*\*|\*([^*]+?)\*|`([^`]+)`|(https?:\/\/[^\s;,]+[^\s;,.)])/g;

function marked(text, links = []) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(MARKED)) {
    const [whole, bold, emphasis, code, address] = match;
    nodes.push(text.slice(end, match.index));
    const url = links.find(({ label }) => label === bold)?.url || address;
    if (bold && url) nodes.push(element("a", { href: url, target: "_blank", rel: "noopener", "data-key": bold }, element("b", {}, bold), " ↗"));
    else if (bold) nodes.push(element("b", {}, bold));
    else if (emphasis) nodes.push(element("em", {}, emphasis));
    else if (code) nodes.push(element("code", {}, code));
    else nodes.push(element("a", { href: url, target: "_blank", rel: "noopener" }, url));
    end = match.index + whole.length;
  }
  return [...nodes, text.slice(end)].filter(Boolean);
}

// A picture that the kernel has drawn.
function picture(svg) {
  return document.importNode(new DOMParser().parseFromString(svg, "image/svg+xml").documentElement, true);
}

// Where the clipboard cannot be used, the text before the button appears, selected.
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
