// What every panel's script begins with (panels.py puts it before each).
function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "value") node.value = value;
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null && child !== ""));
  return node;
}

// A screen reader says again what is written again: write only what differs.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Draws into `parent` what `draw` returns, where `what` it shows has changed. Whoever has the
// focus in there keeps it: on the node with the same `data-key`, else on the panel.
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

// While something is under way no button answers. It is not `disabled`: that would drop the focus.
function ignoreClicksWhileHeld(root) {
  root.addEventListener("click", (event) => {
    if (!event.target.closest('button[aria-disabled="true"]')) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
}

function holdButtons(root, isHeld) {
  for (const button of root.querySelectorAll("button")) button.setAttribute("aria-disabled", String(isHeld));
}

const RUN_AGAIN = "The kernel was restarted: choose Run > Run All Cells.";
const RUN_FIRST = "Choose Run > Run All Cells first.";
const UNFOLD = "Its heading is folded: unfold it.";

// Calls `lost` once the kernel that this is drawn for is gone; returns what ends the watching.
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

// Asks the kernel for something; tells whether that could be sent.
function ask(model, content, buffers) {
  try {
    model.send(content, undefined, buffers);
    return true;
  } catch {
    return false;
  }
}

// The cell that something lies in; voila wraps each in one more node.
function cellOf(node) { return node.closest("[cell-index]") || node.closest(".jp-Cell"); }

// Shows a step from its prose on, and puts the focus into its panel; where that is not possible
// shows its heading. Returns what the person has to do first, empty where nothing.
function jump(id, title) {
  const panel = document.getElementById(`runbook-${id}`);
  if (panel && !panel.closest(".lm-mod-hidden")) {
    (cellOf(panel)?.previousElementSibling || panel).scrollIntoView({ block: "start" });
    panel.focus({ preventScroll: true });
    return "";
  }
  const heading = [...document.querySelectorAll("h3")].find((node) => node.textContent.replace("¶", "").trim().endsWith(`· ${title}`));
  let shown = heading && cellOf(heading);
  while (shown?.classList.contains("lm-mod-hidden")) shown = shown.previousElementSibling;
  shown?.scrollIntoView({ block: "start" });
  return panel ? UNFOLD : RUN_FIRST;
}

// Where JupyterLab's `view` ("lab/tree", "files") shows `path`, if it lies under the server's folder.
function labAddress(view, path) {
  try {
    const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "");
    const root = config.serverRoot.replace(/\/$/, "");
    const inside = path.startsWith(`${root}/`) ? path.slice(root.length + 1) : null;
    return inside && `${config.baseUrl}${view}/${inside.split("/").map(encodeURIComponent).join("/")}`;
  } catch {
    return null;
  }
}

// What came of an action, and what the person does next.
function told(view) {
  return element("div", { class: "rb-message", "data-error": String(view.is_error), dir: "auto" }, view.message,
    view.advice ? element("div", {}, element("strong", {}, "Next: "), view.advice) : null);
}

// What is under way; only the seconds change, which nobody reads aloud.
function atWork(text) {
  return element("div", { class: "rb-message", "data-busy": true },
    element("span", { class: "rb-spin", "aria-hidden": "true" }), text,
    element("span", { "data-seconds": true, "aria-hidden": "true" }));
}

function tellSeconds(root, since) {
  const shown = root.querySelector("[data-seconds]");
  if (shown) setText(shown, ` ${Math.max(0, Date.now() / 1000 - since).toFixed(0)} s`);
}

// Who works here: each browser remembers its own person.
const OPERATOR = "runbook.operator";

function remembered() {
  try { return localStorage.getItem(OPERATOR) || ""; } catch { return ""; }
}

function remember(name) {
  try { if (name) localStorage.setItem(OPERATOR, name); } catch { /* no storage: ask again next time */ }
}
