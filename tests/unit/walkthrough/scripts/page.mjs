// The parts of a page that the scripts use, to test their logic without a browser: elements,
// events, focus, timers, and the model that replaces the kernel. Layout, scrolling and the
// clipboard are only recorded or left out; tests/browser tests them in a browser.

import { readFile } from "node:fs/promises";

const STATIC = new URL("../../../../runbook_lib/walkthrough/static/", import.meta.url);
const REFLECTED = ["id", "href", "type", "title", "rel", "target"];

class Element {
  constructor(tag) {
    this.tag = tag;
    this.parentElement = null;
    this.children_ = [];
    this.attributes = new Map();
    this.listeners = [];
    this.value = "";
    this.checked = false;
    this.scrolled = 0;
    this.style = {};
    this.dataset = new Proxy(this, {
      get: (node, name) => node.attributes.get(dashed(name)),
      set: (node, name, value) => node.attributes.set(dashed(name), String(value)),
      deleteProperty: (node, name) => node.attributes.delete(dashed(name)) || true,
    });
    this.classList = {
      contains: (name) => this.className.split(" ").includes(name),
      add: (name) => { this.classList.toggle(name, true); },
      remove: (name) => { this.classList.toggle(name, false); },
      toggle: (name, isOn) => {
        const others = this.className.split(" ").filter((one) => one && one !== name);
        this.className = (isOn ? [...others, name] : others).join(" ");
      },
    };
  }

  // --- attributes --------------------------------------------------------------
  getAttribute(name) { return this.attributes.get(name) ?? null; }
  setAttribute(name, value) { this.attributes.set(name, String(value)); }
  removeAttribute(name) { this.attributes.delete(name); }
  get className() { return this.getAttribute("class") ?? ""; }
  set className(value) { this.setAttribute("class", value); }
  get hidden() { return this.attributes.has("hidden"); }
  set hidden(value) { if (value) this.setAttribute("hidden", ""); else this.removeAttribute("hidden"); }

  // --- the tree ------------------------------------------------------------------
  get isConnected() { return true; }
  get childNodes() { return this.children_; }
  get firstChild() { return this.children_[0] ?? null; }
  get previousElementSibling() {
    const all = this.parentElement?.children_ ?? [];
    return all[all.indexOf(this) - 1] ?? null;
  }
  append(...nodes) {
    for (const node of nodes) {
      if (node instanceof Element) { node.remove(); node.parentElement = this; }
      this.children_.push(node instanceof Element ? node : String(node));
    }
  }
  after(...nodes) {
    const holder = this.parentElement;
    for (const node of nodes) node.remove();
    holder.replaceChildren(...holder.children_.flatMap((node) => (node === this ? [node, ...nodes] : [node])));
  }
  prepend(...nodes) { this.replaceChildren(...nodes, ...this.children_); }
  replaceChildren(...nodes) {
    for (const node of [...this.children_]) if (node instanceof Element) node.parentElement = null;
    this.children_ = [];
    this.append(...nodes.filter((node) => node !== ""));
  }
  remove() {
    const all = this.parentElement?.children_;
    all?.splice(all.indexOf(this), 1);
    this.parentElement = null;
  }
  replaceWith(other) {
    const holder = this.parentElement;
    holder.replaceChildren(...holder.children_.map((node) => (node === this ? other : node)));
  }
  contains(node) { return node === this || Boolean(node?.parentElement && this.contains(node.parentElement)); }
  get textContent() {
    return this.children_.map((node) => (node instanceof Element ? node.textContent : node)).join("");
  }
  set textContent(text) { this.replaceChildren(text); writes.push(text); }

  // --- selectors -------------------------------------------------------------------
  matches(selector) { return selector.split(",").some((one) => isMatch(this, one.trim())); }
  closest(selector) { return this.matches(selector) ? this : this.parentElement?.closest(selector) ?? null; }
  querySelectorAll(selector) {
    const below = this.children_.filter((node) => node instanceof Element);
    return below.flatMap((node) => [...(node.matches(selector) ? [node] : []), ...node.querySelectorAll(selector)]);
  }
  querySelector(selector) { return this.querySelectorAll(selector)[0] ?? null; }

  // --- events ------------------------------------------------------------------------
  addEventListener(kind, hear, isCapturing = false) { this.listeners.push({ kind, hear, isCapturing }); }
  dispatch(kind, details = {}) {
    const event = { target: this, type: kind, isStopped: false, isPrevented: false, ...details };
    event.preventDefault = () => { event.isPrevented = true; };
    event.stopImmediatePropagation = () => { event.isStopped = true; };
    const path = [];
    for (let node = this; node; node = node.parentElement) path.push(node);
    const capturing = [...path].reverse().flatMap((node) => node.listeners.filter((one) => one.isCapturing));
    const bubbling = path.flatMap((node) => node.listeners.filter((one) => !one.isCapturing));
    for (const { kind: heard, hear } of [...capturing, ...bubbling]) {
      if (heard === kind && !event.isStopped) hear(event);
    }
    return event;
  }
  dispatchEvent({ type }) { return this.dispatch(type); }
  click() { return this.dispatch("click"); }
  focus() { globalThis.document.activeElement = this; }
  scrollIntoView() { this.scrolled += 1; }
}
for (const name of REFLECTED) {
  Object.defineProperty(Element.prototype, name, {
    get() { return this.getAttribute(name) ?? ""; },
    set(value) { this.setAttribute(name, value); },
  });
}

// All texts written into elements, in order.
export const writes = [];

function dashed(name) { return `data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`; }

function isMatch(node, selector) {
  const [, tag, rest] = selector.match(/^([a-z0-9]*)((?:\.[\w-]+|\[[^\]]+\])*)$/); // other selectors are not supported
  const parts = rest.match(/\.[\w-]+|\[[^\]]+\]/g) ?? [];
  return (!tag || node.tag === tag) && parts.every((part) => {
    if (part.startsWith(".")) return node.classList.contains(part.slice(1));
    const [, name, , value] = part.match(/^\[([\w-]+)(="(.*)")?\]$/);
    return value === undefined ? node.attributes.has(name) : node.getAttribute(name) === value;
  });
}

// Installs an empty page whose clock a test advances; returns it.
export function newPage() {
  const body = new Element("body");
  const timers = new Map();
  const kept = new Map();
  const page = { body, now: 0, copied: [], kept };
  let count = 0;
  const later = (call, delay, every) => { timers.set(++count, { call, at: page.now + delay, every }); return count; };
  page.wait = (milliseconds) => {
    page.now += milliseconds;
    for (const [id, timer] of [...timers]) {
      if (!timers.has(id) || timer.at > page.now) continue;
      if (timer.every) timer.at = page.now + timer.every; else timers.delete(id);
      timer.call();
    }
  };
  page.timers = timers;
  const heard = new Map();
  page.heard = heard;
  const own = new Map(); // the panels' own events may have several listeners
  const hearing = (kind) => own.get(kind) ?? own.set(kind, new Set()).get(kind);
  page.own = own;
  page.stored = new Map();
  // What the server answers to the page's own question: a status, and when it was started; null is nothing.
  page.server = { status: 200, started: "noon" };
  page.comeBack = () => { for (const hear of [...hearing("focus")]) hear(); };
  const widths = new Set();
  page.narrow = () => { page.isNarrow = true; for (const call of widths) call(); };
  writes.length = 0;
  const shared = {
    document: {
      activeElement: body, body, createElement: (tag) => new Element(tag),
      documentElement: { style: { setProperty() {} }, dataset: {} },
      visibilityState: "visible",
      addEventListener: (kind, hear) => (kind.startsWith("runbook:") ? hearing(kind).add(hear) : heard.set(kind, hear)),
      removeEventListener: (kind, hear) => (kind.startsWith("runbook:") ? hearing(kind).delete(hear) : heard.delete(kind)),
      dispatchEvent: (event) => { for (const hear of [...hearing(event.type)]) hear(event); },
      getElementById: (id) => body.querySelector(`[id="${id}"]`),
      querySelector: (selector) => body.querySelector(selector),
      querySelectorAll: (selector) => body.querySelectorAll(selector),
      createRange: () => ({ selectNodeContents: (node) => { page.selected = node; } }),
    },
    getSelection: () => ({ removeAllRanges() {}, addRange() {} }),
    window: {
      addEventListener: (kind, hear) => hearing(kind).add(hear),
      removeEventListener: (kind, hear) => hearing(kind).delete(hear),
    },
    CustomEvent: class { constructor(type, options = {}) { this.type = type; this.detail = options.detail; } },
    Event: class { constructor(type) { this.type = type; } },
    location: { reload: () => { page.isLoadedAgain = true; }, pathname: "/lab/tree/walkthrough/facebook_marketing.ipynb", href: "https://lab.example/lab/tree/" },
    sessionStorage: {
      getItem: (name) => page.stored.get(name) ?? null,
      setItem: (name, value) => page.stored.set(name, value),
    },
    localStorage: { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value) },
    navigator: { clipboard: { writeText: async (text) => { page.copied.push(text); } } },
    matchMedia: (query) => ({
      get matches() { return query.includes("max-") === Boolean(page.isNarrow); },
      addEventListener: (_kind, call) => widths.add(call),
      removeEventListener: (_kind, call) => widths.delete(call),
    }),
    fetch: async () => {
      if (!page.server) throw new TypeError("Failed to fetch");
      const { status, started } = page.server;
      return { status, ok: status === 200, json: async () => ({ started }) };
    },
    ResizeObserver: class { observe() {} disconnect() {} },
    IntersectionObserver: class {
      constructor(call) { page.sight = (isIntersecting) => call([{ isIntersecting }]); }
      observe() {}
      disconnect() {}
    },
    requestAnimationFrame: (call) => call(),
    cancelAnimationFrame: () => {},
    setTimeout: (call, delay) => later(call, delay),
    clearTimeout: (id) => timers.delete(id),
    setInterval: (call, delay) => later(call, delay, delay),
    clearInterval: (id) => timers.delete(id),
  };
  for (const [name, value] of Object.entries(shared)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return page;
}

// Adds an element with these attributes to `parent`, by default the page's body.
export function put(tag, attributes = {}, parent = globalThis.document.body, text = "") {
  const node = new Element(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.append(text);
  parent.append(node);
  return node;
}

// The kernel's side of a panel: its view, and the messages it receives.
export class Model {
  constructor(view) {
    this.view = view;
    this.sent = [];
    this.heard = new Map();
    this.isGone = false;
    this.statusHears = null;
    this.widget_manager = { kernel: {
      statusChanged: { connect: (hear) => { this.statusHears = hear; }, disconnect: () => { this.statusHears = null; } },
      disposed: { connect() {}, disconnect() {} },
      connectionStatus: "connecting",
      reconnect: async () => { this.reconnects = (this.reconnects ?? 0) + 1; } } };
  }
  get(name) { return name === "view" ? this.view : undefined; }
  on(kind, hear) { this.heard.set(kind, hear); }
  off(kind) { this.heard.delete(kind); }
  send(content, _callbacks, buffers) {
    if (this.isGone) throw new Error("the comm is closed");
    this.sent.push(buffers ? { ...content, buffers } : content);
  }
  show(changes) {
    this.view = { ...this.view, ...changes };
    this.heard.get("change:view")?.();
  }
  say(message, buffers) { this.heard.get("msg:custom")(message, buffers); }
  status(status) { this.statusHears?.(null, status); }
}

// Loads scripts concatenated, each time as a module of its own, as a panel does; returns their
// definitions. Some of these look at the page: without one, they are given an empty one.
let loaded = 0;
export async function load(...names) {
  if (!globalThis.document) newPage();

  const texts = await Promise.all(names.map((name) => readFile(new URL(name, STATIC), "utf8")));
  const text = texts.join("\n");
  const defined = [...text.matchAll(/^(?:async )?(?:function|class|const) (\w+)/gm)].map((found) => found[1]);
  const own = `// ${++loaded}\n${text}\nexport { ${[...new Set(defined)].filter((name) => name !== "default").join(", ")} };`;
  return import(`data:text/javascript;base64,${Buffer.from(own).toString("base64")}`);
}

// Waits until pending promises are settled.
export async function settle() { for (let turn = 0; turn < 20; turn += 1) await null; }
