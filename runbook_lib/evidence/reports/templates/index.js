// Searches, filters and sorts the rows of index.html, and copies letters. The page is whole without it.
(() => {
  const form = /** @type {HTMLFormElement} */ (document.querySelector(".filters"));
  const output = /** @type {HTMLOutputElement} */ (form.querySelector("output"));
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const key = (cell) => cell.querySelector(":scope > time")?.dateTime ?? cell.textContent.trim();
  const counted = (number) => number.toLocaleString("en");

  // Returns what shows the rows of a table that fit, and what puts them in their first order.
  function listOf(table) {
    const headings = [.../** @type {HTMLTableSectionElement} */ (table.tHead).rows[0].cells];
    const written = headings.find((heading) => "written" in heading.dataset);
    const count = table.parentElement.querySelector(".count");
    const unfiltered = count?.textContent;
    const none = table.nextElementSibling;
    const bodies = [...table.tBodies];
    const size = bodies[0].rows.length;
    const rows = bodies
      .flatMap((body) => [...body.rows])
      .map((row, rank) => ({ row, rank, is: row.dataset.is?.split("\n"), keys: null, text: null }));

    // Thousands of rows are read when they are first searched or sorted, not when the page opens.
    function textOf(row) {
      row.text ??= row.row.textContent.toLowerCase();
      return row.text;
    }

    function keysOf(row) {
      row.keys ??= [...row.row.cells].map(key);
      return row.keys;
    }

    // A browser draws the groups that are seen: rows go into groups of the same size again.
    function show(wanted) {
      const part = String(wanted.get("text")).trim().toLowerCase();
      const is = wanted.get(table.dataset.filter);
      const fits = (row) => (!is || row.is?.includes(is)) && (!part || textOf(row).includes(part));
      const shown = rows.filter(fits).map(({ row }) => row);
      for (const [number, body] of bodies.entries()) {
        const some = shown.slice(number * size, (number + 1) * size);
        body.style.setProperty("--rows", String(some.length));
        body.replaceChildren(...some);
      }
      const few = `${counted(shown.length)} of ${counted(rows.length)}`;
      if (count) count.textContent = shown.length === rows.length ? unfiltered : few;
      none.hidden = shown.length > 0;
      return [shown.length, rows.length];
    }

    function mark(sorted, direction) {
      for (const heading of headings) heading.ariaSort = null;
      if (sorted) sorted.ariaSort = direction;
    }

    // How the page is written: by state, or by time with the newest first.
    function markWritten() {
      mark(written, written?.dataset.written === "rank" ? "ascending" : "descending");
    }

    // Empty cells are last; of equal rows the most urgent is first.
    function sort(heading, column) {
      const sign = heading.ariaSort === "ascending" ? -1 : 1;
      rows.sort((first, second) => {
        if (heading.dataset.written === "rank") return sign * (first.rank - second.rank);
        const [one, other] = [keysOf(first)[column], keysOf(second)[column]];
        return Number(!one) - Number(!other) || sign * compare(one, other) || first.rank - second.rank;
      });
      mark(heading, sign > 0 ? "ascending" : "descending");
      show(new FormData(form));
    }

    for (const [column, heading] of headings.entries()) {
      if (heading.className === "hidden") continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(heading, column));
      heading.append(button);
    }
    markWritten();
    return {
      show,
      reset() {
        rows.sort((first, second) => first.rank - second.rank);
        markWritten();
      },
    };
  }

  const lists = [...document.querySelectorAll("table")].map(listOf);

  function showAll() {
    const wanted = new FormData(form);
    let [shown, all] = [0, 0];
    for (const list of lists) {
      const [some, every] = list.show(wanted);
      shown += some;
      all += every;
    }
    const matches = `${counted(shown)} ${shown === 1 ? "row matches" : "rows match"}`;
    output.value = shown === all ? "" : matches;
  }

  // Shows a customer's letter in a dialog: to read, to copy, or to select.
  function offerLetters(dialog) {
    const heading = dialog.querySelector("#letter-to");
    const text = dialog.querySelector("textarea");
    const hint = dialog.querySelector("#letter-link");
    const status = dialog.querySelector("[role=status]");

    async function copy() {
      try {
        await navigator.clipboard.writeText(text.value);
        status.textContent = "Copied.";
      } catch {
        text.focus();
        text.select();
        status.textContent = "Your browser does not let this page copy. The text is selected: copy it.";
      }
    }

    dialog.querySelector("[value=copy]").addEventListener("click", copy);
    dialog.querySelector("[value=close]").addEventListener("click", () => dialog.close());
    document.addEventListener("click", ({ target }) => {
      const button = /** @type {HTMLElement} */ (target);
      if (!button.matches(".letter")) return;
      text.value = String(button.dataset.letter);
      text.scrollTop = 0;
      status.textContent = "";
      heading.textContent = String(button.ariaLabel).replace("Copy a letter", "Letter");
      hint.hidden = !text.value.includes("\n<<< ");
      dialog.showModal();
    });
  }

  const dialog = document.querySelector("dialog");
  if (dialog) offerLetters(dialog);

  document.addEventListener("input", ({ target }) => {
    if (/** @type {HTMLInputElement} */ (target).form === form) showAll();
  });
  form.addEventListener("reset", () =>
    setTimeout(() => {
      for (const list of lists) list.reset();
      showAll();
    }),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const each of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".filters, .filter, .letter"))) each.hidden = false;
})();
