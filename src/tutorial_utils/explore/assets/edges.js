// Where lines leave their chart. `chart` is what Chart.spec() in Python writes, `rows` are the rows of one series. Needs
// nothing else.
const GoodEdges = (() => {
  const FAR = 1e300;

  const clamp = (value, [low, high]) => (value == null ? null : Math.min(Math.max(value, low), high));
  // 1 for a number above the limits, -1 for one below, 0 for one between them or none.
  const side = (value, [low, high]) => (value == null ? 0 : value > high ? 1 : value < low ? -1 : 0);
  const inside = (value, limits) => value != null && side(value, limits) === 0;

  // Zero and infinity lie far beyond a chart, not nowhere: a line to them has a direction.
  const reach = (value, log) => clamp(value, [log ? 1 / FAR : -FAR, FAR]);
  // How far a number is on the way between two, as the axis is scaled.
  function share(value, [from, to], log) {
    const [at, a, b] = [value, from, to].map((one) => (log ? Math.log : Number)(reach(one, log)));
    return (at - a) / (b - a);
  }
  function mix(part, [from, to], log) {
    const [a, b] = [from, to].map((one) => reach(one, log));
    return log ? a * (b / a) ** part : a + (b - a) * part;
  }

  // The row where a column's line meets an edge of the chart, between two rows.
  function meeting(chart, columns, pair, { column, edge, part }) {
    const ends = (name) => pair.map((row) => row[name]), heights = columns.map((name) => [name, mix(part, ends(name), chart.y_log)]);
    return { ...pair[0], ...Object.fromEntries(heights), [chart.x]: mix(part, ends(chart.x), chart.x_log), [column]: edge, met: true };
  }
  function meetings(chart, columns, pair) {
    if (columns.some((name) => pair.some((row) => row[name] == null))) return [];
    const tried = columns.flatMap((column) => chart.y_limits.map((edge) => ({ column, edge, part: share(edge, pair.map((row) => row[column]), chart.y_log) })));
    return tried.filter(({ part }) => part > 0 && part < 1).sort((a, b) => a.part - b.part).map((one) => meeting(chart, columns, pair, one));
  }
  // The rows, and one more wherever the line of a column meets an edge of the chart between two of them.
  const refine = (chart, columns, rows) => rows.flatMap((row, k) => (k + 1 < rows.length ? [row, ...meetings(chart, columns, [row, rows[k + 1]])] : [row]));

  // Each stretch of a line that lies beyond the limits: on which side, where the line leaves or comes back or, if it does
  // neither, where it begins, and the number farthest off.
  function exits(chart, rows) {
    const found = [], all = refine(chart, [chart.y], rows), at = (row) => (row ? side(row[chart.y], chart.y_limits) : 0);
    for (let k = 0; k < all.length; k++) {
      const up = at(all[k]), begin = k;
      if (!up) continue;
      while (at(all[k + 1]) === up) k++;
      const edge = [all[begin - 1], all[k + 1]].find((row) => row?.met) ?? all[begin], values = all.slice(begin, k + 1).map((row) => row[chart.y]);
      found.push({ up, x: edge[chart.x], value: up > 0 ? Math.max(...values) : Math.min(...values), series: all[begin][chart.series] });
    }
    return found;
  }

  return { clamp, exits, inside, refine, share, side };
})();
