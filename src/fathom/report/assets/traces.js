// What lies in a panel: the series of a chart as plotly draws them.

/** Beside what is under the pointer, the trace's name: a template that holds it would read it as one. */
function nameBeside(name) {
  return `<extra>${name ? "%{fullData.name}" : ""}</extra>`;
}

function lineTraces(line, suffix, named, colours) {
  const name = plotText(line.name ?? "");
  const axes = { type: "scatter", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
    legendgroup: line.name };
  const trace = { ...axes, x: line.x, y: line.y, mode: line.markers ? "lines+markers" : "lines",
    line: { color: colours.line(line.colour), dash: DASHES[line.dash], width: 1.8 },
    marker: { size: 5 }, name,
    showlegend: Boolean(line.name) && !named.has(line.name),
    hovertemplate: `%{x}: %{y:.4g}${nameBeside(name)}` };
  named.add(line.name);
  return line.low ? [...bandTraces(line, axes), trace] : [trace];
}

function bandTraces(line, axes) {
  const known = line.x.map((_, i) => i).filter((i) => finite(line.low[i]) && finite(line.high[i]));
  const edge = { ...axes, x: known.map((i) => line.x[i]), mode: "lines", line: { width: 0 },
    hoverinfo: "skip", showlegend: false };
  return [
    { ...edge, y: known.map((i) => line.low[i]) },
    { ...edge, y: known.map((i) => line.high[i]), fill: "tonexty",
      fillcolor: rgba(line.colour, 0.12) },
  ];
}

const SYMBOLS = { // shape and size; a ring can be seen around a dot
  dot: ["circle", 5], ring: ["circle-open", 8], down: ["triangle-down", 8], up: ["triangle-up", 8],
};

function pointsTrace(points, suffix, named, colours) {
  const name = plotText(points.name ?? "");
  const [symbol, size] = SYMBOLS[points.marker];
  const trace = { type: "scatter", mode: "markers", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
    x: points.x, y: points.y, name, legendgroup: points.name,
    marker: { color: colours.line(points.colour), symbol, size },
    showlegend: Boolean(name) && !named.has(points.name),
    text: points.labels?.map((label) => plotText(label)),
    hovertemplate: `${points.labels ? "%{text}<br>" : ""}%{x:.4g}: %{y:.4g}${nameBeside(name)}` };
  named.add(points.name);
  if (points.x_low) {
    trace.error_x = { type: "data", symmetric: false, thickness: 0.7, width: 0,
      array: points.x_high.map((high, i) => high - points.x[i]),
      arrayminus: points.x_low.map((low, i) => points.x[i] - low) };
  }
  return trace;
}

function barTrace(bars, panel, suffix, named) {
  const trace = { type: "bar", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
    x: bars.y.map((_, index) => index), y: bars.y, marker: { color: bars.colours },
    name: plotText(bars.name ?? ""),
    legendgroup: bars.name, showlegend: Boolean(bars.name) && !named.has(bars.name),
    text: panel.x.categories.map((name) => plotText(name)), textposition: "none",
    hovertemplate: `%{text}: %{y:.4g}${nameBeside(bars.name)}` };
  named.add(bars.name);
  if (bars.low) {
    trace.error_y = { type: "data", symmetric: false, thickness: 1, width: 0, color: theme().text,
      array: bars.high.map((high, i) => high - bars.y[i]),
      arrayminus: bars.low.map((low, i) => bars.y[i] - low) };
  }
  return trace;
}

function heatMapTraces(layout, panel, suffix, colours) {
  const map = panel.heat_map;
  const scale = map.scale === "log" ? Math.log10 : (value) => value;
  const place = (v) => (v === null || Number.isNaN(v)
    ? null : scale(Math.min(map.high, Math.max(map.low, v))));
  layout.coloraxis ??= { colorscale: map.stops?.length ? map.stops : "Viridis",
    cmin: scale(map.low), cmax: scale(map.high),
    colorbar: { title: { text: plotText(map.label), side: "right" }, thickness: 12, len: 1,
      outlinewidth: 0, ...namedTicks(map) } };
  const common = { type: "heatmap", xaxis: `x${suffix}`, yaxis: `y${suffix}`, y: map.y,
    coloraxis: "coloraxis", name: plotText(panel.title),
    hovertemplate: `%{text}${nameBeside(panel.title)}`,
    hoverlabel: { bgcolor: colours.back } };
  const measured = { ...common, x: map.x, z: map.z.map((row) => row.map(place)),
    text: map.z.map((row, y) => row.map((v, x) => cellText(panel, x, y, v))) };
  if (!map.strip) return [measured];
  const { name, values } = map.strip;
  return [measured, { ...common, x: stripEdges(map.x), z: values.map((v) => [place(v)]),
    text: values.map((v, y) => [[plotText(name), `${plotText(panel.y.label)} ${map.y[y]}`,
      short(v)].join("<br>")]) }];
}

/** Where the strip lies, left of a map's first column: a tenth of the map's width. */
function stripEdges(x) {
  const step = x.length > 1 ? x[1] - x[0] : 1;
  const width = x.at(-1) - x[0] + step;
  const right = x[0] - step / 2 - 0.02 * width;
  return [right - 0.1 * width, right];
}

/** Says where a cell of a heat-map lies, and its value. */
function cellText(panel, x, y, value) {
  const place = (axis, index, numbers) =>
    `${plotText(axis.label)} ${plotText(axis.categories?.[index] || String(numbers[index]), 24)}`;
  const { heat_map: map } = panel;
  return [place(panel.x, x, map.x), place(panel.y, y, map.y), short(value ?? NaN)].join("<br>");
}

/** Ticks of the colour scale: named ones, powers of ten, or what the library chooses. */
function namedTicks(map) {
  if (map.ticks?.length) {
    return { tickvals: map.ticks.map(([value]) => value),
      ticktext: map.ticks.map(([, name]) => plotText(name)) };
  }
  return map.scale === "log" ? decadeTicks(map) : {};
}

function decadeTicks(map) {
  const first = Math.ceil(Math.log10(map.low) - 1e-9);
  const last = Math.floor(Math.log10(map.high) + 1e-9);
  const step = Math.max(1, Math.ceil((last - first) / 6));
  const powers = [];
  for (let power = first; power <= last; power += step) powers.push(power);
  if (powers.length > 1) {
    return { tickvals: powers, ticktext: powers.map((power) => `10<sup>${power}</sup>`) };
  }
  const ends = [map.low, map.high];
  return { tickvals: ends.map(Math.log10), ticktext: ends.map(short) };
}
