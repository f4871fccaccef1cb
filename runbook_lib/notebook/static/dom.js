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
