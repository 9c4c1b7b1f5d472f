// The Laboratory's game: find settings that train. What is solved stays in this browser.
(() => {
  const root = document.querySelector("div.laboratory");
  if (!root?.laboratory) return;
  const { goals, needed, choose } = root.laboratory, { make } = GoodCharts, KEY = "good-starts-laboratory";

  let goal = null, tried = new Set(), hints = 0;
  const solved = new Set(JSON.parse(memory.get(KEY) ?? "[]"));
  const status = make("p", { textContent: `A setting trains if ${needed} of its five seeds get half of the test digits right. Choose a goal.` });
  status.setAttribute("role", "status");
  const hint = make("button", { type: "button", className: "explorer-button", textContent: "Hint", hidden: true, onclick: tell });
  const told = make("ul"), summary = make("summary");
  const buttons = goals.map((one) => make("button", { type: "button", className: "explorer-button", onclick: () => begin(one) }));
  const box = make("details", { className: "explorer-more laboratory-game" }, summary,
    make("div", { className: "explorer-beside" }, ...buttons), status, hint, told);

  function name() {
    summary.textContent = `Game: make it train (${solved.size} of ${goals.length} solved)`;
    goals.forEach((one, k) => {
      buttons[k].textContent = `${solved.has(one.name) ? "✓ " : ""}${one.name}`;
      buttons[k].setAttribute("aria-pressed", one === goal);
    });
  }
  function begin(one) {
    [goal, tried, hints] = [one, new Set(), 0];
    told.replaceChildren();
    hint.hidden = false;
    choose(one.at);
    name();
  }
  function tell() {
    told.append(make("li", { textContent: goal.hints[hints++] }));
    hint.hidden = hints === goal.hints.length;
  }
  function judge({ pick, trained }) {
    if (!goal) return;
    const away = Object.keys(goal.fixed).some((key) => goal.fixed[key] !== pick[key]), { seed, ...setting } = pick;
    tried.add(JSON.stringify(setting));
    const count = `${trained} of 5 seeds; ${tried.size} setting${tried.size === 1 ? "" : "s"} tried.`;
    if (away) status.textContent = `That is another network. The goal: ${goal.name.toLowerCase()}.`;
    else if (trained < needed) status.textContent = `Not yet: ${count}`;
    else {
      status.textContent = `Solved: ${count}`;
      solved.add(goal.name);
      memory.set(KEY, JSON.stringify([...solved]));
    }
    name();
  }

  name();
  root.addEventListener("laboratory", (event) => judge(event.detail));
  root.querySelector(".explorer-words").after(box);
})();
