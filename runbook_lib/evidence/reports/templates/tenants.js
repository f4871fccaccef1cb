// Sorts and filters the tenants of fleet.html, which is whole without it.
(() => {
  const form = /** @type {HTMLFormElement} */ (document.querySelector(".filters"));
  const table = /** @type {HTMLTableElement} */ (document.querySelector(".tenants"));
  const headings = [.../** @type {HTMLTableSectionElement} */ (table.tHead).rows[0].cells];
  const output = /** @type {HTMLOutputElement} */ (form.querySelector("output"));
  const none = /** @type {HTMLElement} */ (document.querySelector(".none"));
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const bodies = [...table.tBodies];
  const size = bodies[0]?.rows.length;
  const key = (cell) => cell.querySelector("time")?.dateTime ?? cell.textContent;
  const rows = bodies
    .flatMap((body) => [...body.rows])
    .map((row, badness) => ({ row, badness, keys: [...row.cells].map(key), text: row.textContent.toLowerCase() }));

  // A browser draws the groups that are seen: rows go into groups of the same size again.
  function show() {
    const wanted = new FormData(form);
    const part = String(wanted.get("text")).trim().toLowerCase();
    const is = String(wanted.get("is"));
    const fits = ({ row, text }) => (!is || row.dataset.is.split("/").includes(is)) && text.includes(part);
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

  // The second column sorts by badness. Empty cells are last; of equal tenants the worst is first.
  function sort(heading, column) {
    const sign = heading.ariaSort === "ascending" ? -1 : 1;
    const order = (first, second) => {
      if (column === 1) return sign * (first.badness - second.badness);
      const [one, other] = [first.keys[column], second.keys[column]];
      return Number(!one) - Number(!other) || sign * compare(one, other) || first.badness - second.badness;
    };
    rows.sort(order);
    for (const cell of headings) cell.ariaSort = null;
    heading.ariaSort = sign > 0 ? "ascending" : "descending";
    show();
  }

  for (const [column, heading] of headings.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(heading, column));
    heading.append(button);
  }
  headings[1].ariaSort = "ascending";
  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
})();
