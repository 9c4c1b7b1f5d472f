// An explorer: a question, controls, one sentence that states the result, and charts below it. `data` is what Explorer.data() in
// Python writes. Needs GoodCharts (charts.js), nothing else.
const GoodStarts = (() => {
  const { make, show } = GoodCharts;
  const WIDTH = 352; // of a chart that is not laid out yet, in CSS pixels
  const LINK_DELAY = 250, KERNEL_PATIENCE = 30_000; // milliseconds
  const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

  // --- states and frames -------------------------------------------------------------------------------

  // Where a slider stands, as a value: one of its stops or, where there is a kernel, a round number between two.
  function between(control, place) {
    const { values, log, integer } = control;
    if (Number.isInteger(place)) return values[place];
    const [a, b] = values.slice(Math.floor(place)), share = place % 1;
    const value = log ? a * (b / a) ** share : a + (b - a) * share;
    const decimals = integer ? 0 : 1 - Math.floor(Math.log10(log ? Math.min(b - a, value) : b - a));
    return Math.min(Math.max(+value.toFixed(Math.max(0, decimals)), a), b);
  }
  // The number of the stored frame of a state, or undefined between the stops.
  const frameAt = (data, places) =>
    places.every(Number.isInteger) ? places.reduce((number, place, k) => number * data.controls[k].values.length + place, 0) : undefined;

  // A stored frame names its columns by number, since frames share them; one that Python has just measured holds them.
  function rowsOf(table, columns) {
    const names = Object.keys(table), full = names.map((name) => (Array.isArray(table[name]) ? table[name] : columns[table[name]]));
    return (full[0] ?? []).map((_, row) => Object.fromEntries(names.map((name, k) => [name, full[k][row]])));
  }

  // --- links: `#at=NAME&control=value`, or without `at` for every explorer that has the control -----------

  const asked = () => new URLSearchParams(location.hash.slice(1));
  const means = (text, value) => text === String(value) || (typeof value === "number" && Boolean(text) && +text === value);
  function fromLink(data) {
    const link = asked();
    if (link.has("at") && link.get("at") !== data.name) return {};
    const places = data.controls.map(({ name, values }) => [name, values.findIndex((value) => means(link.get(name), value))]);
    return Object.fromEntries(places.filter(([, place]) => place >= 0));
  }
  // After a pause: browsers refuse to rewrite the address with every move of a slider.
  function linkWriter(data) {
    let timer;
    return (state) => {
      clearTimeout(timer);
      timer = setTimeout(() => history.replaceState(history.state, "", `#${new URLSearchParams({ at: data.name, ...state })}`), LINK_DELAY);
    };
  }

  // --- controls ----------------------------------------------------------------------------------------

  // A label around a native element, which has its name and keys from the browser.
  function choice(control, place) {
    const element = make("select", {}, ...control.labels.map((text, k) => new Option(text, k, k === place, k === place)));
    return { element, place: () => element.selectedIndex, shown: [], update: () => {} };
  }
  function slider(control, start, live) {
    const last = control.values.length - 1, shown = make("span", { className: "explorer-value" });
    const element = make("input", { type: "range", min: 0, max: last, step: live ? "any" : 1, value: start });
    // A place that stands for a stop's value is that stop: its frame is stored.
    const place = () => {
      const stop = control.values.indexOf(between(control, +element.value));
      return stop < 0 ? +element.value : stop;
    };
    const update = () => {
      shown.textContent = show(between(control, place()));
      element.setAttribute("aria-valuetext", shown.textContent);
    };
    shown.setAttribute("aria-hidden", "true"); // the slider says its value itself
    // With a kernel the mouse goes anywhere; the keys go from stop to stop, and with Shift a tenth of the way.
    if (live) element.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      const scale = event.shiftKey ? 10 : 1, at = +element.value * scale, near = 1e-6;
      element.value = (step > 0 ? Math.floor(at + near) + 1 : Math.ceil(at - near) - 1) / scale;
      element.dispatchEvent(new Event("input"));
    });
    return { element, place, shown: [shown], update };
  }
  function input(control, place, live, change) {
    const made = (control.kind === "slider" ? slider : choice)(control, place, live), { element, update } = made;
    element.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys
    element.dataset.control = control.name;
    element.addEventListener("input", () => { update(); change(); });
    update();
    const set = (value) => { element.value = value; update(); };
    const label = make("label", {}, `${control.label} `, element, ...made.shown);
    if (control.help) {
      label.dataset.help = control.help;
      element.setAttribute("aria-description", control.help);
    }
    return { label, place: made.place, set };
  }

  // --- the explorer ------------------------------------------------------------------------------------

  const fold = (title, content) => make("details", { className: "explorer-more" }, make("summary", { textContent: title }), content);

  // Which controls a cell of a map sets, to which of their places; its row holds a value or the words shown for it.
  function picked(data, chart, row) {
    const place = (control, found) => Math.max(control.values.indexOf(found), control.labels.indexOf(String(found)));
    const pairs = data.controls.filter(({ name }) => chart.picks?.[name]).map((control) => [control.name, place(control, row[chart.picks[control.name]])]);
    return Object.fromEntries(pairs.filter(([, at]) => at >= 0));
  }
  const said = (className, text) => (text ? [make("p", { className, textContent: text })] : []);

  // `options.frame(places, state)` gives a frame that is not in `data.frames`, at once or as a promise; `options.live`
  // says that sliders stop anywhere; `options.link` that the page's address follows the state; `options.beside` holds more
  // to stand below charts, by number. Returns `choose`, which moves controls to places, and `update`, which asks for the
  // frame again.
  function mount(root, data, options = {}) {
    const linked = options.link ? fromLink(data) : {}, write = options.link ? linkWriter(data) : () => {};
    let turn = 0, current = null, width = 0, widths = [];
    let settled = false; // whether the next picture begins a new move, and the one that stands is its ghost
    const controls = data.controls.map((control, k) => input(control, linked[control.name] ?? data.start[k], options.live, () => { change(); write(state()); }));
    const presets = (data.presets ?? []).map(({ label, at }) => make("button", { type: "button", textContent: label, onclick: () => choose(at) }));
    const row = presets.length ? [make("div", { className: "explorer-presets" }, ...presets)] : [];
    const form = make("form", { className: "explorer-controls" }, ...row, ...controls.filter((_, k) => !data.controls[k].ofCode).map((control) => control.label));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => { settled = true; });
    const charts = data.charts.map((chart) => GoodCharts.chart(chart, chart.picks && ((cell) => choose(picked(data, chart, cell)))));
    const figures = data.charts.map((chart, k) => make("figure", {}, make("figcaption", { textContent: chart.title }), charts[k].names, charts[k].root, ...(options.beside?.[k] ?? [])));
    const note = make("p", { className: "explorer-note", textContent: "Faint: before the last change." });
    const words = make("span"), result = make("p", { className: "explorer-words" }, words);
    result.setAttribute("role", "status");
    const tables = make("div"), code = make("code");
    const numbers = fold("The numbers", tables), ofCode = controls.filter((_, k) => data.controls[k].ofCode).map((control) => control.label);
    const source = fold("Show the code", make("div", { className: "explorer-code" }, ...ofCode, make("pre", { tabIndex: 0 }, code)));
    numbers.addEventListener("toggle", () => current && fillTables());
    root.classList.add("explorer");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", `Explorer: ${data.question || data.name}`);
    root.replaceChildren(...said("explorer-question", data.question), ...said("explorer-look", data.look), form, result,
      make("div", { className: "explorer-charts" }, ...figures), note, numbers, source);

    const number = (name) => data.controls.findIndex((control) => control.name === name);
    const places = () => controls.map((control) => control.place());
    const state = () => Object.fromEntries(data.controls.map((control, k) => [control.name,
      control.kind === "slider" ? between(control, places()[k]) : control.values[places()[k]]]));
    const rows = () => current.tables.map((table) => rowsOf(table, data.columns ?? []));
    const fillTables = () => tables.replaceChildren(...(numbers.open ? rows().map((table, k) => GoodCharts.table(data.charts[k], table)) : []));

    // Room for the longest sentence, lest the page below jump; the style sheet lays it, unseen, under the one shown.
    function reserve(sentence) {
      if (sentence.length > (result.dataset.longest ?? "").length) result.dataset.longest = sentence;
    }
    function paint() {
      words.textContent = current.say;
      reserve(current.say);
      rows().forEach((table, k) => charts[k].draw(table, widths[k], current.say, settled));
      settled = false;
      note.style.visibility = charts.some((chart) => chart.haunted()) ? "visible" : "hidden";
      if (numbers.open) fillTables();
      source.hidden = !current.code;
      code.textContent = current.code ?? "";
    }
    function receive(frame) {
      root.removeAttribute("aria-busy");
      current = frame ?? current;
      if (frame) paint();
    }
    function fail(error) {
      root.removeAttribute("aria-busy");
      words.textContent = error.message;
    }
    // Show the state of the controls; what a kernel answers to an earlier question comes too late.
    function change() {
      presets.forEach((button, k) => button.setAttribute("aria-pressed", Object.entries(data.presets[k].at).every(([name, place]) => controls[number(name)].place() === place)));
      const mine = ++turn, frame = data.frames?.[frameAt(data, places())] ?? options.frame?.(places(), state());
      if (!(frame instanceof Promise)) return receive(frame);
      root.setAttribute("aria-busy", "true");
      frame.then((answer) => mine === turn && receive(answer), (error) => mine === turn && fail(error));
    }
    function move(at) {
      for (const [name, place] of Object.entries(at)) controls[number(name)].set(place);
      settled = true;
      change();
      settled = true;
    }
    function choose(at) {
      move(at);
      write(state());
    }
    function measure() {
      width = root.clientWidth;
      widths = figures.map((figure) => figure.clientWidth || WIDTH);
    }
    function resize() {
      if (root.clientWidth === width) return;
      measure();
      settled = false; // other axes: nothing there to compare with
      if (current) paint();
      settled = true;
    }

    data.frames?.forEach((frame) => reserve(frame.say));
    measure();
    change();
    settled = true;
    new ResizeObserver(resize).observe(root);
    if (options.link) addEventListener("hashchange", () => {
      const wanted = fromLink(data);
      if (Object.keys(wanted).length) move(wanted);
    });
    if (options.link && asked().get("at") === data.name) root.scrollIntoView();
    // Neither move nor resize leaves a ghost.
    function update() {
      settled = false;
      change();
      settled = true;
    }
    return { choose, update };
  }

  // --- in a page: a script that the page names, not part of a widget --------------------------------------

  if (document.currentScript) customElements.define("good-explorer", class extends HTMLElement {
    connectedCallback() {
      const source = this.querySelector("script[type='application/json']");
      if (source) mount(this, JSON.parse(source.textContent), { link: true });
    }
  });

  // --- in a notebook with a kernel -----------------------------------------------------------------------

  // One question at a time: while Python measures, only the latest wish waits. Every view of a widget hears all
  // answers, so questions carry the view's name.
  function questions(model) {
    const view = Math.random().toString(36).slice(2);
    let count = 0, open = null, waiting = null;
    function send(question) {
      open = { ...question, ask: `${view}-${++count}`, timer: setTimeout(answered, KERNEL_PATIENCE, { error: "Python does not answer. Does the kernel run?" }) };
      model.send({ ask: open.ask, state: question.state });
    }
    function answered({ frame, error }) {
      const { done, failed, timer } = open, next = waiting;
      clearTimeout(timer);
      open = waiting = null;
      if (frame) done(frame);
      else failed(new Error(error));
      if (next) send(next);
    }
    model.on("msg:custom", (message) => message.ask === open?.ask && answered(message));
    return (places, state) => new Promise((done, failed) => {
      const question = { state, done, failed };
      if (open) waiting = question;
      else send(question);
    });
  }
  const render = ({ model, el }) => { mount(el, model.get("data"), { live: true, frame: questions(model) }); };

  return { mount, render };
})();
