// The Laboratory: an explorer whose frames are read from the stored trainings when they are asked for. Besides its
// controls a reader moves the view: up to which step the losses are drawn, on which axis, and beside which pinned choice.
(() => {
  const root = document.querySelector("div.laboratory");
  if (!root) return;
  const data = JSON.parse(root.querySelector("script").textContent), lab = data.laboratory;

  // --- the arrays, as tutorial_utils.laboratory writes them ------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const words = (text) => { // two bytes each, the smaller first
    const view = new DataView(bytes(text).buffer);
    return Uint16Array.from({ length: view.byteLength / 2 }, (_, k) => view.getUint16(2 * k, true));
  };
  const loss = bytes(lab.loss), steady = bytes(lab.steady), right = words(lab.right);
  const layers = Object.fromEntries(Object.entries(lab.layers).map(([depth, text]) => [depth, words(text)]));
  const decode = (code, { low, high, dtype }) => {
    const last = dtype === "uint8" ? 254 : 65534;
    return code > last ? Infinity : low * (high / low) ** (code / last);
  };
  const place = (axes, pick) => axes.reduce((index, [name, values]) => index * values.length + values.indexOf(pick[name]), 0);
  const axes = Object.entries(lab.axes), windows = lab.edges.length - 1;
  const seeds = (pick) => lab.axes.seed.map((seed) => place(axes, { ...pick, seed }));
  const sorted = (values) => [...values].sort((a, b) => a - b);
  const middle = (values) => sorted(values)[(values.length - 1) >> 1];
  const percent = (index) => (100 * right[index]) / lab.test_digits;

  // --- the charts' rows --------------------------------------------------------------------------------

  const label = (name, value) => {
    const control = data.controls.find((one) => one.name === name);
    return control.labels[control.values.indexOf(value)];
  };
  const columns = (rows) => Object.fromEntries(Object.keys(rows[0]).map((name) => [name, rows.map((row) => row[name])]));

  const map = (pick) => lab.axes.init.flatMap((init) => lab.axes.lr.map((lr) => ({
    "learning rate": lr,
    init: label("init", init),
    percent: Math.round(middle(seeds({ ...pick, init, lr }).map(percent))),
    here: init === pick.init && lr === pick.lr,
  })));

  const view = { until: windows, pinned: null };
  const curve = (pick, series) => Array.from({ length: view.until }, (_, k) => {
    const values = sorted(seeds(pick).map((index) => decode(loss[index * windows + k], lab.codes.loss)));
    return { step: lab.edges[k + 1], loss: middle(values), low: values[0], high: values.at(-1), norm: series };
  });
  const curves = (pick) => (view.pinned ? [...curve(view.pinned, "A, pinned"), ...curve(pick, "B, now")]
    : lab.axes.norm.flatMap((norm) => curve({ ...pick, norm }, label("norm", norm))));

  const LAYER_AXES = ["activation", "norm", "init"].map((name) => [name, lab.axes[name]]);
  const start = (pick) => {
    const codes = layers[pick.depth], length = pick.depth + 1, first = place(LAYER_AXES, pick) * 2 * 3 * length;
    const at = (direction, quantile, layer) => decode(codes[first + (direction * 3 + quantile) * length + layer], lab.codes.moment);
    return ["signal", "gradient"].flatMap((name, direction) => Array.from({ length }, (_, layer) => ({
      layer: layer + 1, "second moment": at(direction, 1, layer), low: at(direction, 0, layer), high: at(direction, 2, layer), direction: name,
    })));
  };

  // --- the sentence and the code -----------------------------------------------------------------------

  const diverged = (index) => loss.subarray(index * windows, (index + 1) * windows).some((code) => decode(code, lab.codes.loss) === Infinity);
  const named = (pick) => `${label("init", pick.init)}, ${label("activation", pick.activation)}, ${pick.depth} layers, ${label("norm", pick.norm)}, learning rate ${pick.lr}`;
  const trained = (pick) => seeds(pick).filter((index) => percent(index) >= 100 * lab.trained).length;
  const say = (pick) => {
    const found = seeds(pick), digits = sorted(found.map(percent)), unsteady = found.filter((index) => steady[index] < windows);
    const count = trained(pick), lost = found.filter(diverged).length;
    const from = lab.edges[Math.min(...unsteady.map((index) => steady[index]))] + 1;
    return `${named(pick)}: ${count} of ${found.length} seeds ${count === 1 ? "gets" : "get"} half of the test digits right; ` +
      `the median is ${middle(digits).toFixed(1)} percent (${digits[0].toFixed(1)} to ${digits.at(-1).toFixed(1)}).` +
      (lost ? ` In ${lost} of the ${found.length} the loss does not stay finite.` : "") +
      (unsteady.length ? ` ${unsteady.length} of the ${found.length} curves ${unsteady.length === 1 ? "is" : "are"} chaotic: from step ${from} on, rounding errors grow until another computer draws another curve.` : "");
  };

  const code = (pick) => {
    const values = { ...lab.settings, ...lab.inits[pick.init], ...pick, ...lab.norms[pick.norm], last: lab.edges.at(-1) - lab.edges.at(-2) };
    return lab.snippet.replace(/\$(\w+)/g, (_, name) => values[name]);
  };

  let now = null;
  const frame = (places) => {
    const pick = now = Object.fromEntries(data.controls.map((control, k) => [control.name, control.values[places[k]]]));
    data.charts[2].x_limits = [1, pick.depth + 1];
    root.dispatchEvent(new CustomEvent("laboratory", { detail: { pick, trained: trained(pick) } }));
    return { say: say(pick), code: code(pick), tables: [map(pick), curves(pick), start(pick)].map(columns) };
  };

  // --- the view of the losses --------------------------------------------------------------------------

  const { make } = GoodCharts, TICK = 170; // milliseconds from one stored moment to the next
  const chart = data.charts[1], norms = chart.series_values, logarithmic = chart.y_limits, linear = [0, 3];
  const button = (textContent, onclick) => make("button", { type: "button", className: "explorer-button", textContent, onclick });
  const shown = make("span"), scrub = make("input", { type: "range", min: 1, max: windows, value: windows });
  const axis = make("input", { type: "checkbox" }), pinned = make("p", { className: "explorer-note" });
  let timer;
  function draw(until) {
    view.until = until;
    scrub.value = until;
    shown.textContent = `${lab.edges[until]} steps`;
    scrub.setAttribute("aria-valuetext", shown.textContent);
    explorer.update();
  }
  // Plays the stored moments; who wants no motion sees the end, and may scrub.
  function train() {
    clearInterval(timer);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return draw(windows);
    draw(1);
    timer = setInterval(() => (view.until < windows ? draw(view.until + 1) : clearInterval(timer)), TICK);
  }
  function pin() {
    view.pinned = view.pinned ? null : now;
    chart.series_values = view.pinned ? { "A, pinned": "#777777", "B, now": "#0072b2" } : norms;
    pinButton.textContent = view.pinned ? "Unpin A" : "Pin as A";
    pinned.textContent = view.pinned ? `A: ${say(view.pinned)}` : "";
    explorer.update();
  }
  scrub.addEventListener("input", () => { clearInterval(timer); draw(+scrub.value); });
  axis.addEventListener("change", () => {
    chart.y_log = !axis.checked;
    chart.y_limits = axis.checked ? linear : logarithmic;
    explorer.update();
  });
  const pinButton = button("Pin as A", pin);
  const bar = make("div", { className: "explorer-beside" }, button("▶ Train", train),
    make("label", {}, "up to ", scrub, shown), make("label", {}, axis, "linear loss axis"), pinButton);

  const explorer = GoodStarts.mount(root, data, { link: true, frame, beside: { 1: [bar, pinned] } });
  shown.textContent = `${lab.edges[windows]} steps`;
  root.laboratory = { choose: explorer.choose, goals: data.goals, needed: data.goal_seeds };
  root.dispatchEvent(new CustomEvent("laboratory", { detail: { pick: now, trained: trained(now) } }));
})();
