// Draws a chart of an explorer as SVG, its legend, and its numbers as a table. `chart` is what Chart.spec() in Python
// writes, `rows` are objects, one for each row that was measured. Needs Plot (plot.min.js), nothing else.
const GoodCharts = (() => {
  const DASHES = ["", "7 3", "2 3", "9 3 2 3", "1 4", "12 4"];
  const HEIGHT = 230, ROW = 28, LETTER = 7, REACH = 80; // CSS pixels: a chart, a row of a heat map, a letter, hovering

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
  // What lies beyond the limits is drawn at the edge, as is zero on a logarithmic axis.
  const clamp = (value, [low, high]) => (value == null ? null : Math.min(Math.max(value, low), high));

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

  const marks = {
    lines(chart, all) {
      const rows = all.filter((row) => row[chart.x] === clamp(row[chart.x], chart.x_limits));
      const at = (name) => (row) => clamp(row[name], chart.y_limits);
      const of = (series) => (series === null ? rows : rows.filter((row) => String(row[chart.series]) === series));
      const words = (row) => [
        ...(chart.series ? [row[chart.series]] : []),
        `${chart.x_label}: ${show(row[chart.x])}`,
        `${chart.y_label}: ${show(row[chart.y])}`,
        ...(chart.low ? [`from ${show(row[chart.low])} to ${show(row[chart.high])}`] : []),
      ].join("\n");
      const line = (series, place) => [
        ...(chart.low ? [Plot.areaY(of(series), { x: chart.x, y1: at(chart.low), y2: at(chart.high), fill: paint(chart, series), fillOpacity: 0.18 })] : []),
        Plot.lineY(of(series), { x: chart.x, y: at(chart.y), stroke: paint(chart, series), strokeDasharray: dash(place), strokeWidth: 2 }),
        ...(chart.dots ? [Plot.dot(of(series), { x: chart.x, y: at(chart.y), fill: paint(chart, series), r: 3 })] : []),
      ];
      const groups = chart.series ? Object.keys(chart.series_values) : [null];
      return [...groups.flatMap(line), tip(rows, Plot.pointer, { x: chart.x, y: at(chart.y) }, words)];
    },
    bars(chart, all) {
      const [start, end] = [chart.x, chart.x_end].map((name) => (row) => clamp(row[name], chart.x_limits));
      const rows = all.filter((row) => start(row) < end(row)), top = (row) => clamp(row[chart.y], chart.y_limits);
      const color = (row) => paint(chart, row[chart.series]);
      const words = (row) => `${chart.series ? `${row[chart.series]}\n` : ""}${show(row[chart.x])} to ${show(row[chart.x_end])}\n${chart.y_label}: ${show(row[chart.y])}`;
      return [
        Plot.rectY(rows, { x1: start, x2: end, y1: ground(chart), y2: top, fill: color, stroke: chart.series ? color : "none", fillOpacity: veil(chart), inset: 0 }),
        tip(rows, Plot.pointerX, { x: (row) => (chart.x_log ? Math.sqrt(start(row) * end(row)) : (start(row) + end(row)) / 2), y: top }, words),
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

  // The row of the cell of a heat map that a click hit.
  function hit(spec, rows, svg, event) {
    const box = svg.getBoundingClientRect(), zoom = svg.viewBox.baseVal.width / box.width;
    const under = (way, distance) => {
      const scale = svg.scale(way), at = distance * zoom;
      return scale.domain.find((value) => at >= scale.apply(value) && at < scale.apply(value) + scale.bandwidth);
    };
    const [x, y] = [under("x", event.clientX - box.left), under("y", event.clientY - box.top)];
    return rows.find((row) => row[spec.x] === x && row[spec.y] === y);
  }

  // Height and margins. The names under the columns of a map stand upright where they have no room side by side.
  function sides({ kind }, { x, y }, width) {
    const map = kind === "heatmap", longest = ({ domain }) => LETTER * Math.max(...domain.map((value) => show(value).length));
    const box = { width, height: HEIGHT, marginLeft: 24 + (map ? Math.max(5 * LETTER, longest(y)) : 5 * LETTER), marginRight: 16, marginTop: 26, marginBottom: 36 };
    if (!map) return box;
    const steep = longest(x) + LETTER > (width - box.marginLeft - box.marginRight) / x.domain.length;
    const marginBottom = steep ? 30 + longest(x) : 36;
    return { ...box, steep, marginBottom, height: 36 + marginBottom + ROW * y.domain.length };
  }

  // Makes a chart without rows; `draw` gives it some, at a width. Two layers: the axes, which seldom change and take
  // most of the time, and over them the marks. `pick` hears which row of a heat map is clicked.
  function chart(spec, pick) {
    const root = make("div", { className: "explorer-chart" });
    let drawn = "", axes = null;
    const draw = (rows, width, words) => {
      const scale = scales(spec, rows), { y } = scale, box = sides(spec, scale, width);
      const x = { ...scale.x, tickRotate: box.steep ? -90 : 0 };
      const style = { background: "none", color: "inherit", fontSize: "12px", overflow: "visible" };
      const key = JSON.stringify([width, x, y]);
      if (key !== drawn) {
        axes = tidy(Plot.plot({ ...box, style, ...scale, x, marks: rules[spec.kind](spec) }));
        axes.setAttribute("aria-hidden", "true");
        drawn = key;
      }
      const bare = { ...scale, x: { ...x, axis: null }, y: { ...y, axis: null, grid: false } };
      const svg = tidy(Plot.plot({ ...box, style, ...bare, marks: marks[spec.kind](spec, rows, width - box.marginLeft - box.marginRight) }));
      if (pick && spec.kind === "heatmap") {
        svg.style.cursor = "pointer";
        svg.addEventListener("click", (event) => pick(hit(spec, rows, svg, event)));
      }
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", `${spec.title || spec.y_label}. ${words}`);
      root.replaceChildren(axes, svg);
    };
    return { root, draw };
  }

  function swatch(chart, series, place) {
    const lines = chart.kind === "lines", item = make("span", { textContent: series });
    const point = chart.dots ? '<circle cx="13" cy="6" r="3"/>' : "";
    const sign = lines ? `<line x2="26" y1="6" y2="6" stroke-width="2.5" stroke-dasharray="${dash(place)}"/>${point}` : '<rect width="26" height="12"/>';
    item.insertAdjacentHTML("afterbegin", `<svg width="26" height="12" aria-hidden="true">${sign}</svg>`);
    item.firstChild.style.cssText = `stroke:${paint(chart, series)};fill:${paint(chart, series)};fill-opacity:${veil(chart)}`;
    return item;
  }
  function legend(chart) {
    if (chart.kind !== "heatmap") {
      const names = Object.keys(chart.series_values);
      return make("div", { className: "explorer-legend" }, ...(names.length < 2 ? [] : names.map((series, place) => swatch(chart, series, place))));
    }
    const [low, high] = chart.value_limits.map(show), ramp = make("span", { className: "explorer-ramp" });
    ramp.style.backgroundImage = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(Plot.interpolateBlues)})`;
    return make("div", { className: "explorer-legend" }, `${chart.value_label}: ${low}`, ramp, high);
  }

  function table(chart, rows) {
    const names = [...new Set([chart.series, chart.x, chart.x_end, chart.y, chart.low, chart.high, chart.value].filter(Boolean))];
    const line = (cells, tag, properties) => make("tr", {}, ...cells.map((text) => make(tag, { textContent: text, ...properties })));
    return make("table", {},
      make("caption", { textContent: chart.title || chart.y_label }),
      make("thead", {}, line(names.map((name) => label(chart, name)), "th", { scope: "col" })),
      make("tbody", {}, ...rows.map((row) => line(names.map((name) => show(row[name])), "td"))));
  }

  return { chart, legend, make, show, table };
})();
