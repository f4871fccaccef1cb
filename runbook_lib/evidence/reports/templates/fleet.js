// Sorts and filters the tenants of fleet.html, which is whole without it.
(() => {
  const form = /** @type {HTMLFormElement} */ (document.querySelector(".filters"));
  const table = /** @type {HTMLTableElement} */ (document.querySelector(".tenants"));
  const headings = /** @type {HTMLTableSectionElement} */ (table.tHead).rows[0];
  const output = /** @type {HTMLOutputElement} */ (form.querySelector("output"));
  const none = /** @type {HTMLElement} */ (document.querySelector(".none"));
  const compare = new Intl.Collator("en", { numeric: true }).compare;

  // What the rows say is read once, when it is first asked for.
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]).map((row, badness) => ({ row, badness }));
  const once = (read) => {
    const known = new Map();
    return (row) => {
      if (!known.has(row)) known.set(row, read(row));
      return known.get(row);
    };
  };
  const words = (name) => once(({ row }) => row.dataset[name].split(" "));
  const has = { is: words("is"), open: words("open"), whom: words("whom") };
  const text = once(({ row }) => row.textContent.toLowerCase());
  const name = once(({ row }) => row.cells[0].textContent);
  const number = (key) => (first, second) => first.row.dataset[key] - second.row.dataset[key];
  const orders = {
    tenant: (first, second) => compare(name(first), name(second)),
    badness: (first, second) => first.badness - second.badness,
    failed: number("failed"),
    wait: number("wait"),
    seconds: number("seconds"),
  };

  // A browser draws the groups that are seen: rows go into groups of the same size again.
  const bodies = [...table.tBodies];
  const size = bodies[0]?.rows.length;
  function show() {
    const wanted = new FormData(form);
    const part = String(wanted.get("text")).trim().toLowerCase();
    const asked = Object.entries(has).filter(([key]) => wanted.get(key));
    const fits = (row) => asked.every(([key, read]) => read(row).includes(wanted.get(key))) && text(row).includes(part);
    const shown = rows.filter(fits).map(({ row }) => row);
    for (const [number, body] of bodies.entries()) {
      const some = shown.slice(number * size, (number + 1) * size);
      body.style.setProperty("--rows", String(some.length));
      body.replaceChildren(...some);
    }
    const all = `${rows.length.toLocaleString("en")} ${rows.length === 1 ? "tenant" : "tenants"}`;
    output.value = shown.length === rows.length ? all : `${shown.length.toLocaleString("en")} of ${all}`;
    none.hidden = shown.length > 0 || rows.length === 0;
  }

  // Of equal tenants the worst stays first, in either direction.
  function sort(heading) {
    const key = heading.dataset.sort;
    const isNumber = !["tenant", "badness"].includes(key);
    const before = heading.ariaSort ?? (isNumber ? "ascending" : "descending");
    const sign = before === "ascending" ? -1 : 1;
    rows.sort((first, second) => sign * orders[key](first, second) || orders.badness(first, second));
    for (const cell of headings.cells) cell.ariaSort = null;
    heading.ariaSort = sign > 0 ? "ascending" : "descending";
    show();
  }

  // A strip is few elements: which step the pointer is on follows from its place.
  const groups = [...form.querySelectorAll("optgroup")];
  function nameStep(event) {
    const strip = event.target.closest(".strip");
    if (!strip) return;
    const row = strip.closest("tr");
    const many = [...strip.children].reduce((sum, part) => sum + (Number(part.textContent) || 1), 0);
    const steps = groups[Number(row.dataset.connector)].children;
    const { left, width } = strip.getBoundingClientRect();
    const place = Math.min(Math.floor(((event.clientX - left) / width) * many), many - 1);
    strip.title = many === steps.length ? steps[place].textContent : "";
  }

  for (const heading of headings.querySelectorAll("[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(heading));
    heading.append(button);
  }
  headings.cells[1].ariaSort = "ascending";
  table.addEventListener("pointermove", nameStep);
  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
})();
