// Draws a chart of an explorer as SVG, its legend, and its numbers as a table. `chart` is what Chart.spec() in Python
// writes, `rows` are objects, one for each row that was measured. Needs Plot (plot.min.js) and GoodEdges (edges.js).
const GoodCharts = (() => {
  const { clamp, exits, inside, refine, share, side } = GoodEdges;
  const DASHES = ["", "7 3", "2 3", "9 3 2 3", "1 4", "12 4"];
  const HEIGHT = 230, ROW = 28, LETTER = 7, SMALL = 6, REACH = 80, CLEAR = 16; // CSS pixels: a chart, a row of a map, a letter, one in words, hovering, half a bar

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // --- numbers -----------------------------------------------------------------------------------------

  const show = (value) =>
    typeof value !== "number" ? String(value ?? "none")
      : !Number.isFinite(value) ? "not finite"
        : value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3) ? value.toExponential(2).replace(/\.?0*e\+?/, "e")
          : String(Number.isInteger(value) ? value : +value.toPrecision(3));
  const power = (value) => `10${String(Math.round(Math.log10(value))).replace(/./g, (sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻")}`;
  const label = (chart, name) => ({ [chart.x]: chart.x_label, [chart.y]: chart.y_label, [chart.value]: chart.value_label })[name] || name;

  // --- scales ------------------------------------------------------------------------------------------

  // From 0 to 1, of a color such as "#08306b" or "rgb(8, 48, 107)".
  function luminance(color) {
    const parts = color[0] === "#" ? color.match(/[^#]{2}/g).map((part) => parseInt(part, 16)) : color.match(/\d+/g);
    const [red, green, blue] = parts.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }
  // A series keeps its hue in both themes: it is mixed with the color of the text, a dark one more, lest it vanish in the
  // dark theme. The cube root of the luminance is about the lightness that one sees.
  function ink(color) {
    const share = Math.min(72, 36 + 60 * Math.cbrt(luminance(color)));
    return `color-mix(in oklab, ${color} ${share.toFixed()}%, var(--explorer-text))`;
  }
  const paint = (chart, series) => ink(chart.series_values[series] ?? "#0072B2");
  const dash = (place) => DASHES[place % DASHES.length];

  // Powers of ten where an axis spans at least two, at most six of them; else 1, 2 and 5 of each.
  function logTicks([low, high]) {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), span = Math.log10(high / low);
    const stride = Math.max(1, Math.ceil(span / 6)), heads = span < 2 ? [1, 2, 5] : [1], near = 1e-9;
    return Array.from({ length: last - first + 1 }, (_, k) => first + k)
      .filter((exponent) => exponent % stride === 0)
      .flatMap((exponent) => heads.map((head) => +`${head}e${exponent}`))
      .filter((tick) => tick >= low * (1 - near) && tick <= high * (1 + near));
  }
  // About five ticks, but none between two layers.
  const tickCount = ([low, high], values) => (values.every(Number.isInteger) ? Math.min(5, Math.max(1, high - low)) : 5);
  function axis(chart, way, count) {
    const limits = chart[`${way}_limits`], log = chart[`${way}_log`], marks = log ? logTicks(limits) : count;
    const format = !log ? {} : { tickFormat: marks.every((tick) => tick >= 1e-3 && tick < 1e5) ? show : power };
    return { type: log ? "log" : "linear", domain: limits, label: chart[`${way}_label`], labelArrow: "none", ticks: marks, ...format };
  }
  function scales(chart, rows) {
    if (chart.kind !== "heatmap") {
      const count = tickCount(chart.x_limits, rows.map((row) => row[chart.x]));
      return { x: axis(chart, "x", count), y: { ...axis(chart, "y", 5), grid: true }, color: { type: "identity" } };
    }
    const band = (way) => ({ type: "band", domain: [...new Set(rows.map((row) => row[chart[way]]))], label: chart[`${way}_label`], tickFormat: show, labelArrow: "none", padding: 0 });
    return { x: band("x"), y: { ...band("y"), reverse: true }, color: { type: "identity" } };
  }

  // --- colors of a heat map ----------------------------------------------------------------------------

  function shade(chart, value) {
    const scale = chart.value_log ? Math.log : Number, [low, high] = chart.value_limits.map(scale);
    return value == null ? "#9994" : Plot.interpolateBlues((scale(clamp(value, chart.value_limits)) - low) / (high - low));
  }
  // Black or white, whichever contrasts more.
  const onTop = (color) => (luminance(color) > 0.179 ? "#000" : "#fff");

  // --- marks -------------------------------------------------------------------------------------------

  // Plot names each group of marks for screen readers, who may not be given names of plain groups: they hear the picture's.
  const tip = (rows, find, place, words) =>
    Object.assign(Plot.tip(rows, find({ ...place, title: words, fill: "var(--explorer-page)" })), { ariaLabel: null });
  // It also brings a style sheet with each picture, for which the browser would style the whole page anew.
  function tidy(svg) {
    svg.querySelector("style").remove();
    for (const group of svg.querySelectorAll("g[aria-label]")) {
      group.dataset.mark = group.getAttribute("aria-label");
      group.removeAttribute("aria-label");
    }
    return svg;
  }

  // What lies beyond the limits: a triangle where it leaves the chart and, once for each series and side, the number
  // farthest off. Where words would stand upon one another, they stand in rows; a bar they leave free.
  function beyond(chart, found, width) {
    const told = new Map(), taken = [], bars = chart.kind === "bars";
    for (const exit of found) {
      const key = `${exit.series} ${exit.up}`, known = told.get(key) ?? exit;
      told.set(key, { ...known, value: exit.up > 0 ? Math.max(known.value, exit.value) : Math.min(known.value, exit.value) });
    }
    const at = ({ x, up }) => ({ x: [x], y: [chart.y_limits[up > 0 ? 1 : 0]] });
    const triangle = (exit) => Plot.text([0], { ...at(exit), text: [exit.up > 0 ? "▲" : "▼"], dy: (bars ? -6 : 6) * exit.up, fill: paint(chart, exit.series), fontSize: 11 });
    const words = (exit) => {
      const text = `${show(exit.value)}, off the chart`, length = SMALL * text.length, middle = width * share(exit.x, chart.x_limits, chart.x_log);
      const left = clamp(bars ? middle + CLEAR : middle - length / 2, [4, width - length]), clash = (one) => one.up === exit.up && one.row === row && Math.abs(one.left - left) < Math.max(one.length, length) + SMALL;
      let row = 0;
      while (taken.some(clash)) row++;
      taken.push({ up: exit.up, row, left, length });
      return Plot.text([0], { ...at(exit), text: [text], textAnchor: "start", dx: left - middle, dy: exit.up * (19 + 15 * row), fill: paint(chart, exit.series), stroke: "var(--explorer-page)", strokeWidth: 4 });
    };
    return [...found.map(triangle), ...[...told.values()].map(words)];
  }

  const marks = {
    lines(chart, all, width) {
      const rows = all.filter((row) => inside(row[chart.x], chart.x_limits)), limits = chart.y_limits;
      const at = (name) => (row) => clamp(row[name], limits);
      const seen = (row) => (inside(row[chart.y], limits) ? row[chart.y] : null);
      const end = (name) => (row) => (side(row[chart.low], limits) * side(row[chart.high], limits) > 0 ? null : at(name)(row));
      const of = (series) => (series === null ? rows : rows.filter((row) => String(row[chart.series]) === series));
      const words = (row) => [
        ...(chart.series ? [row[chart.series]] : []),
        `${chart.x_label}: ${show(row[chart.x])}`,
        `${chart.y_label}: ${show(row[chart.y])}`,
        ...(chart.low ? [`from ${show(row[chart.low])} to ${show(row[chart.high])}`] : []),
      ].join("\n");
      const line = (series, place) => [
        ...(chart.low ? [Plot.areaY(refine(chart, [chart.low, chart.high], of(series)), { x: chart.x, y1: end(chart.low), y2: end(chart.high), fill: paint(chart, series), fillOpacity: 0.18 })] : []),
        Plot.lineY(refine(chart, [chart.y], of(series)), { x: chart.x, y: seen, stroke: paint(chart, series), strokeDasharray: dash(place), strokeWidth: 2 }),
        ...(chart.dots ? [Plot.dot(of(series), { x: chart.x, y: seen, fill: paint(chart, series), r: 3 })] : []),
      ];
      const groups = chart.series ? Object.keys(chart.series_values) : [null];
      const off = groups.flatMap((series) => exits(chart, of(series)));
      return [...groups.flatMap(line), ...beyond(chart, off, width), tip(rows, Plot.pointer, { x: chart.x, y: at(chart.y) }, words)];
    },
    bars(chart, all, width) {
      const [start, end] = [chart.x, chart.x_end].map((name) => (row) => clamp(row[name], chart.x_limits));
      const rows = all.filter((row) => start(row) < end(row)), top = (row) => clamp(row[chart.y], chart.y_limits);
      const color = (row) => paint(chart, row[chart.series]);
      const middle = (row) => (chart.x_log ? Math.sqrt(start(row) * end(row)) : (start(row) + end(row)) / 2);
      const cut = rows.filter((row) => row[chart.y] > chart.y_limits[1]).map((row) => ({ up: 1, x: middle(row), value: row[chart.y], series: row[chart.series] }));
      const words = (row) => `${chart.series ? `${row[chart.series]}\n` : ""}${show(row[chart.x])} to ${show(row[chart.x_end])}\n${chart.y_label}: ${show(row[chart.y])}`;
      return [
        Plot.rectY(rows, { x1: start, x2: end, y1: ground(chart), y2: top, fill: color, stroke: chart.series ? color : "none", fillOpacity: veil(chart), inset: 0 }),
        ...beyond(chart, cut, width),
        tip(rows, Plot.pointerX, { x: middle, y: top }, words),
      ];
    },
    heatmap(chart, rows, width) {
      const at = { x: chart.x, y: chart.y }, color = (row) => shade(chart, row[chart.value]);
      const words = (row) => [chart.x, chart.y, chart.value].map((name) => `${label(chart, name)}: ${show(row[name])}`).join("\n");
      const known = rows.filter((row) => row[chart.value] != null), letters = Math.max(...known.map((row) => show(row[chart.value]).length));
      const fits = (LETTER * letters + 2) * new Set(rows.map((row) => row[chart.x])).size < width;
      return [
        Plot.cell(rows, { ...at, fill: color, inset: 1 }),
        ...(fits ? [Plot.text(known, { ...at, text: (row) => show(row[chart.value]), fill: (row) => onTop(color(row)), fontSize: 11 })] : []),
        Plot.cell(rows.filter((row) => row[chart.mark]), { ...at, stroke: "#d55e00", strokeWidth: 3, fill: "none" }),
        tip(rows, Plot.pointer, { ...at, maxRadius: REACH }, words),
      ];
    },
  };

  // Bars of several series may stand before each other.
  const veil = (chart) => (chart.series ? 0.5 : 0.85);
  // The height on which bars stand.
  const ground = (chart) => (chart.y_log ? chart.y_limits[0] : 0);
  const rules = {
    lines: (chart) => [Plot.ruleY((chart.rules ?? []).filter((height) => height === clamp(height, chart.y_limits)), { stroke: "currentColor", strokeDasharray: "4 4", strokeOpacity: 0.6 })],
    bars: (chart) => [Plot.ruleY([ground(chart)], { stroke: "currentColor" })],
    heatmap: () => [],
  };

  // --- a chart -----------------------------------------------------------------------------------------

  // Height and margins. The names under the columns of a map stand upright where they have no room side by side.
  function sides({ kind }, { x, y }, width) {
    const map = kind === "heatmap", longest = ({ domain }) => LETTER * Math.max(...domain.map((value) => show(value).length));
    const box = { width, height: HEIGHT, marginLeft: 24 + (map ? Math.max(5 * LETTER, longest(y)) : 5 * LETTER), marginRight: 16, marginTop: 26, marginBottom: 36 };
    if (!map) return box;
    const steep = longest(x) + LETTER > (width - box.marginLeft - box.marginRight) / x.domain.length;
    const marginBottom = steep ? 30 + longest(x) : 36;
    return { ...box, steep, marginBottom, height: 36 + marginBottom + ROW * y.domain.length };
  }

  // The cells of a map as buttons, one of them in the order of the keys; arrows go to a neighbor and choose it.
  const STEPS = { ArrowLeft: ["x", -1], ArrowRight: ["x", 1], ArrowUp: ["y", 1], ArrowDown: ["y", -1] };
  function neighbor(spec, rows, row, scale, key) {
    const [way, step] = STEPS[key] ?? [], other = way === "x" ? "y" : "x", domain = way ? scale[way].domain : [];
    const next = domain[domain.indexOf(row[spec[way]]) + step];
    return rows.find((one) => way && one[spec[way]] === next && one[spec[other]] === row[spec[other]]);
  }
  function buttons(spec, rows, scale, svg, pick) {
    const cells = [...svg.querySelector("[data-mark=cell]").children], first = Math.max(0, rows.findIndex((row) => row[spec.mark]));
    cells.forEach((cell, k) => {
      const row = rows[k], name = [spec.y, spec.x, spec.value].map((column) => `${label(spec, column)} ${show(row[column])}`).join(", ");
      const properties = { role: "button", tabindex: k === first ? 0 : -1, "aria-label": name, "aria-pressed": Boolean(row[spec.mark]) };
      for (const [property, value] of Object.entries(properties)) cell.setAttribute(property, value);
      cell.addEventListener("click", () => pick(row, k));
      cell.addEventListener("keydown", (event) => {
        const next = event.key === "Enter" || event.key === " " ? row : neighbor(spec, rows, row, scale, event.key);
        if (!next) return;
        event.preventDefault();
        event.stopPropagation();
        pick(next, rows.indexOf(next));
      });
    });
  }

  // What stood before, faint, under what stands now.
  function fade(svg) {
    if (!svg) return [];
    for (const name of ["role", "aria-label", "data-picture"]) svg.removeAttribute(name);
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("class", "explorer-ghost");
    return [svg];
  }

  // Makes a chart without rows; `draw` gives it some, at a width. Layers: the axes, which seldom change and take most of
  // the time, what stood before, if it is to be `kept`, and the marks. `pick` hears which row of a map is chosen.
  function chart(spec, pick) {
    const root = make("div", { className: "explorer-chart" }), names = make("div", { className: "explorer-legend" });
    let drawn = "", axes = null, ghost = [], svg = null, focus = null;
    const choose = (row, place) => { focus = place ?? null; pick(row); };
    const draw = (rows, width, words, kept) => {
      const scale = scales(spec, rows), { y } = scale, box = sides(spec, scale, width);
      const x = { ...scale.x, tickRotate: box.steep ? -90 : 0 };
      const style = { background: "none", color: "inherit", fontSize: "12px", overflow: "visible" };
      const key = JSON.stringify([width, x, y]), same = key === drawn, map = spec.kind === "heatmap";
      if (!same) {
        axes = tidy(Plot.plot({ ...box, style, ...scale, x, marks: rules[spec.kind](spec) }));
        axes.setAttribute("aria-hidden", "true");
        drawn = key;
      }
      ghost = !same || map ? [] : kept ? fade(svg) : ghost;
      const bare = { ...scale, x: { ...x, axis: null }, y: { ...y, axis: null, grid: false } };
      svg = tidy(Plot.plot({ ...box, style, ...bare, marks: marks[spec.kind](spec, rows, width - box.marginLeft - box.marginRight) }));
      const chosen = map && pick;
      svg.setAttribute("role", chosen ? "group" : "img");
      svg.setAttribute("aria-label", `${spec.title || spec.y_label}. ${words}`);
      svg.dataset.picture = spec.kind;
      if (chosen) buttons(spec, rows, scale, svg, choose);
      names.replaceChildren(...legend(spec, rows));
      root.replaceChildren(axes, ...ghost, svg);
      if (focus !== null) svg.querySelector("[data-mark=cell]").children[focus].focus();
      focus = null;
    };
    return { root, names, draw, haunted: () => ghost.length > 0 };
  }

  function swatch(chart, series, place) {
    const lines = chart.kind === "lines", item = make("span", { textContent: series });
    const point = chart.dots ? '<circle cx="13" cy="6" r="3"/>' : "";
    const sign = lines ? `<line x2="26" y1="6" y2="6" stroke-width="2.5" stroke-dasharray="${dash(place)}"/>${point}` : '<rect width="26" height="12"/>';
    item.insertAdjacentHTML("afterbegin", `<svg width="26" height="12" aria-hidden="true">${sign}</svg>`);
    item.firstChild.style.cssText = `stroke:${paint(chart, series)};fill:${paint(chart, series)};fill-opacity:${veil(chart)}`;
    return item;
  }
  // The colors of a map also stand for what lies beyond their ends.
  function legend(chart, rows) {
    if (chart.kind !== "heatmap") {
      const names = Object.keys(chart.series_values);
      return names.length < 2 ? [] : names.map((series, place) => swatch(chart, series, place));
    }
    const sides = new Set(rows.map((row) => side(row[chart.value], chart.value_limits))), [low, high] = chart.value_limits.map(show);
    const ramp = make("span", { className: "explorer-ramp" });
    ramp.style.backgroundImage = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(Plot.interpolateBlues)})`;
    return [`${chart.value_label}: ${low}${sides.has(-1) ? " or less" : ""}`, ramp, `${high}${sides.has(1) ? " or more" : ""}`];
  }

  function table(chart, rows) {
    const names = [...new Set([chart.series, chart.x, chart.x_end, chart.y, chart.low, chart.high, chart.value].filter(Boolean))];
    const line = (cells, tag, properties) => make("tr", {}, ...cells.map((text) => make(tag, { textContent: text, ...properties })));
    return make("table", {},
      make("caption", { textContent: chart.title || chart.y_label }),
      make("thead", {}, line(names.map((name) => label(chart, name)), "th", { scope: "col" })),
      make("tbody", {}, ...rows.map((row) => line(names.map((name) => show(row[name])), "td"))));
  }

  return { chart, make, show, table };
})();
