// The Evidence page: cards that ask before they tell, and a filter of the ledger that is kept in the address.
(() => {
  const openRow = () => {
    const row = location.hash && document.getElementById(location.hash.slice(1));
    const fold = row && row.closest("details");
    if (!fold) return;
    fold.open = true;
    row.scrollIntoView();
  };
  addEventListener("hashchange", openRow);
  addEventListener("beforeprint", () =>
    document.querySelectorAll(".ledger-topic, .more-beliefs").forEach((fold) => { fold.open = true; }));

  // The cards.
  const cards = [...document.querySelectorAll(".belief")];
  const score = document.querySelector(".belief-score");
  const keyOf = (card) => `belief ${card.querySelector(".measured a").hash}`;
  const guesses = () => cards.filter((card) => card.dataset.guess);
  const right = (card) => card.dataset.guess === card.dataset.held;
  const tell = () => {
    const made = guesses();
    score.textContent = made.length ? `${made.filter(right).length} of ${made.length} guesses were right.` : "";
  };
  const reveal = (card, guess) => {
    card.dataset.guess = guess;
    card.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", button.textContent === guess));
    card.querySelector("output").textContent = right(card) ? "Your guess was right." : "Your guess was wrong.";
  };
  cards.forEach((card) => {
    const before = memory.get(keyOf(card));
    if (before) reveal(card, before);
    card.querySelectorAll("button").forEach((button) => button.addEventListener("click", () => {
      reveal(card, button.textContent);
      memory.set(keyOf(card), button.textContent);
      tell();
    }));
  });
  tell();

  // The filter.
  const form = document.querySelector(".ledger-filter");
  const folds = [...document.querySelectorAll(".ledger-topic")];
  const names = [...form.elements].map((field) => field.name).filter(Boolean);
  const fits = (row, wanted, topic) => (!wanted.topic || topic === wanted.topic)
    && (!wanted.verdict || row.dataset.verdict === wanted.verdict)
    && (!wanted.source || row.dataset.sources.split("; ").includes(wanted.source))
    && wanted.words.toLowerCase().split(/\s+/).every((word) => row.textContent.toLowerCase().includes(word));
  const filter = () => {
    const wanted = Object.fromEntries(names.map((name) => [name, form.elements[name].value]));
    const some = Object.values(wanted).some(Boolean);
    let shown = 0, all = 0;
    folds.forEach((fold) => {
      const rows = [...fold.querySelectorAll("tbody tr")];
      rows.forEach((row) => { row.hidden = !fits(row, wanted, fold.dataset.topic); });
      const left = rows.filter((row) => !row.hidden).length;
      fold.hidden = !left;
      fold.open = some;
      shown += left;
      all += rows.length;
    });
    form.querySelector("output").textContent = `${shown} of ${all} claims`;
    return wanted;
  };
  const keep = () => {
    const asked = new URLSearchParams(Object.entries(filter()).filter(([, value]) => value));
    history.replaceState(history.state, "", `${location.pathname}${asked.size ? `?${asked}` : ""}`);
  };
  form.addEventListener("input", keep);
  form.addEventListener("reset", () => setTimeout(keep));
  form.addEventListener("submit", (event) => event.preventDefault());
  new URLSearchParams(location.search).forEach((value, name) => { if (names.includes(name)) form.elements[name].value = value; });
  filter();
  openRow();
})();
