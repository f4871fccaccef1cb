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

// Shows a step from its prose on, and puts the focus into its panel.
function jump(id) {
  const panel = document.getElementById(`runbook-${id}`);
  if (!panel) return;
  const prose = panel.closest(".jp-Cell")?.previousElementSibling;
  (prose || panel).scrollIntoView({ block: "start" });
  panel.focus({ preventScroll: true });
}

// Where JupyterLab's `view` ("lab/tree", "files") shows `path`, if it lies under the server's folder.
function labAddress(view, path) {
  try {
    const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
    const root = config.serverRoot.replace(/\/$/, "");
    const inside = path.startsWith(`${root}/`) ? path.slice(root.length + 1) : null;
    return inside && `${config.baseUrl}${view}/${inside.split("/").map(encodeURIComponent).join("/")}`;
  } catch {
    return null;
  }
}

// Where another notebook, by its absolute path, opens; null where nobody can tell.
function notebookAddress(path) {
  if (location.pathname.includes("/voila/")) return encodeURIComponent(path.split("/").pop());
  return labAddress("lab/tree", path);
}

// What came of an action, and what the person does next.
function told(view) {
  return element("div", { class: "rb-message", "data-error": String(view.is_error) }, view.message,
    view.advice ? element("div", {}, element("strong", {}, "Next: "), view.advice) : null);
}

// Who works here: each browser remembers its own person.
const OPERATOR = "runbook.operator";

function remembered() {
  try { return localStorage.getItem(OPERATOR) || ""; } catch { return ""; }
}

function remember(name) {
  try { if (name) localStorage.setItem(OPERATOR, name); } catch { /* no storage: ask again next time */ }
}
