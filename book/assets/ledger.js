// The ledger of claims: filter by words and by verdict, sort by a column. Without this script it is a plain table.
addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("table.ledger");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const verdicts = [...new Set(rows.map((row) => row.querySelector(".verdict").textContent))];
  const form = document.createElement("form");
  form.className = "ledger-filter";
  form.innerHTML = `<label>Words <input type="search"></label> <label>Verdict <select><option value="">all</option>${
    verdicts.map((verdict) => `<option>${verdict}</option>`).join("")}</select></label> <output></output>`;
  const [words, verdict, shown] = form.querySelectorAll("input, select, output");
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/);
    rows.forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word)) ||
        Boolean(verdict.value) && row.querySelector(".verdict").textContent !== verdict.value;
    });
    shown.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} claims`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  table.before(form);
  filter();

  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (!["Claim", "Verdict", "Shown in"].includes(head.textContent)) return;
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      [...head.parentNode.cells].forEach((cell) => cell.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const text = (row) => row.cells[column].textContent;
      rows.sort((a, b) => (down ? -1 : 1) * text(a).localeCompare(text(b), undefined, { numeric: true }));
      body.append(...rows);
    });
  });
});
