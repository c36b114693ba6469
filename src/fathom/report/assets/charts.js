// Draws a chart (figures/charts.py describes the record) with plotly.

const DASHES = { solid: "solid", dashed: "dash", dotted: "dot", dashdot: "dashdot" };

/** Plotly reads a little markup in texts; escaped, a text is shown as it is. */
function plotText(text, most = 60) {
  const cut = text.length > most ? `${text.slice(0, most - 1)}…` : text;
  return cut.replace(/[\p{Cc}\p{Cs}]/gu, "�").replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return {
    text: read("--text"),
    grid: read("--line"),
    none: read("--nothing"),
    back: read("--card"),
    line: dark ? (colour) => towardsWhite(colour, 0.3) : (colour) => colour,
  };
}

/** Mixes a colour with white, for lines that would vanish on a dark page. */
function towardsWhite(colour, share) {
  const parts = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const mixed = parts.map((part) => Math.round(part + (255 - part) * share));
  return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

const rgba = (colour, alpha) =>
  `rgba(${[1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)).join(",")},${alpha})`;

const finite = (value) => typeof value === "number" && Number.isFinite(value);

// A full list: the library's own would include one that uploads the chart to its makers.
const BUTTONS = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];

/** Draws `chart` into `target`, in place of what was there. */
function drawChart(target, chart, { panelHeight = 230 } = {}) {
  const rows = Math.ceil(chart.panels.length / chart.columns);
  const legend = chart.panels.some((panel) => hasNames(panel)) ? 40 : 0;
  const height = rows * panelHeight + (rows - 1) * 70 + 100 + legend;
  const figure = toPlotly(chart, { rows, height, legend });
  target.setAttribute("role", "img");
  target.setAttribute("aria-label", chart.title);
  Plotly.react(target, figure.data, figure.layout, {
    displaylogo: false,
    responsive: true,
    plotlyServerURL: "",
    modeBarButtons: [BUTTONS],
  });
}

const hasNames = (panel) => ["lines", "points", "bars"]
  .some((kind) => panel[kind]?.some((series) => series.name));

function toPlotly(chart, { rows, height, legend }) {
  const colours = theme();
  const maps = chart.panels.filter((panel) => panel.heat_map);
  const layout = {
    height,
    margin: { l: 58, r: maps.length ? 8 : 16, t: 44, b: 46 + legend },
    paper_bgcolor: colours.back,
    plot_bgcolor: maps.length ? colours.none : colours.back,
    font: { color: colours.text, size: 11, family: "system-ui, sans-serif" },
    showlegend: legend > 0,
    legend: { orientation: "h", x: 0, xanchor: "left", yanchor: "top",
      y: -44 / (height - 90 - legend) },
    barmode: "group",
    hovermode: "closest",
    annotations: [],
  };
  const data = [];
  const named = new Set();
  chart.panels.forEach((panel, index) => {
    const place = { ...cellOf(index, chart.columns, rows, height), suffix: index ? index + 1 : "" };
    addAxes(layout, chart, index, place, colours);
    const { suffix } = place;
    for (const line of panel.lines ?? []) data.push(...lineTraces(line, suffix, named, colours));
    for (const points of panel.points ?? []) {
      data.push(pointsTrace(points, suffix, named, colours));
    }
    for (const bars of panel.bars ?? []) data.push(barTrace(bars, panel, suffix, named));
    if (panel.heat_map) data.push(heatMapTrace(layout, panel, suffix, colours));
  });
  return { data, layout };
}

/** Returns the share of the plotting area that panel `index` takes. */
function cellOf(index, columns, rows, height) {
  const gapX = columns > 1 ? Math.min(0.07, 0.25 / columns) : 0;
  const gapY = rows > 1 ? 70 / (height - 90) : 0;
  const width = (1 - gapX * (columns - 1)) / columns;
  const tall = (1 - gapY * (rows - 1)) / rows;
  const left = (index % columns) * (width + gapX);
  const top = 1 - Math.floor(index / columns) * (tall + gapY);
  return { x: [left, left + width], y: [Math.max(0, top - tall), top] };
}

function addAxes(layout, chart, index, place, colours) {
  const panel = chart.panels[index];
  const { suffix } = place;
  const { grid } = colours;
  const look = { gridcolor: grid, linecolor: grid, tickcolor: grid, zeroline: false, nticks: 6,
    ticks: "outside", ticklen: 3, showgrid: !panel.heat_map };
  const x = { ...look, domain: place.x, anchor: `y${suffix}`, title: axisTitle(panel.x),
    ...wholeTicks(panel.heat_map?.x
      ?? [...(panel.lines ?? []), ...(panel.points ?? [])].flatMap((series) => series.x)) };
  const y = { ...look, domain: place.y, anchor: `x${suffix}`, ...wholeTicks(panel.heat_map?.y) };
  for (const [axis, description] of [[x, panel.x], [y, panel.y]]) {
    if (description.scale === "log") Object.assign(axis, { type: "log", exponentformat: "power" });
  }
  if (panel.x.categories) {
    nameCategories(x, panel.x.categories, chart.columns, panel.heat_map ? 0.5 : 0.6);
  }
  const left = index % chart.columns ? chart.panels[index - 1] : null;
  if (left?.y.label !== panel.y.label) y.title = axisTitle(panel.y);
  if (panel.y.categories) nameRows(y, panel.y.categories, left?.y.categories);
  const below = chart.panels[index + chart.columns];
  if (below?.x.label === panel.x.label) delete x.title;
  const shares = (other) => !other.heat_map && other.y.shared !== false;
  const same = chart.panels.findIndex((other) => shares(other) && other.y.label === panel.y.label);
  if (shares(panel) && same < index) y.matches = `y${same ? same + 1 : ""}`;
  else if (panel.y.high !== undefined) y.range = cutRange(chart, panel);
  layout[`xaxis${suffix}`] = x;
  layout[`yaxis${suffix}`] = y;
  layout.annotations.push({ text: plotText(panel.title ?? ""), x: place.x[0], y: place.y[1],
    xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false,
    font: { size: 12 } });
}

const axisTitle = (axis) => ({ text: plotText(axis.label), standoff: 6, font: { size: 11 } });

/** Between a handful of epochs or layers there is nothing to tick. */
function wholeTicks(values = []) {
  if (!values.length || !values.every(Number.isInteger)) return {};
  return Math.max(...values) - Math.min(...values) <= 6 ? { dtick: 1, tick0: 0 } : {};
}

/** Ticks the categories that have a name. */
function tickCategories(axis, categories) {
  axis.tickvals = categories.map((_, index) => index).filter((index) => categories[index]);
  axis.ticktext = axis.tickvals.map((index) => plotText(categories[index], 24));
}

/** Lists categories from the top, as a table's rows; once where the neighbour has the same. */
function nameRows(axis, categories, neighbours) {
  tickCategories(axis, categories);
  axis.range = [categories.length - 0.5, -0.5];
  axis.automargin = true;
  axis.showticklabels = neighbours?.join("\n") !== categories.join("\n");
}

function nameCategories(axis, categories, columns, edge) {
  const room = 90 / columns;
  tickCategories(axis, categories);
  axis.tickangle = categories.join("").length > room ? -40 : 0;
  axis.range = [-edge, categories.length - 1 + edge];
}

/** Ends an axis where the chart says, and starts it a little below the lowest line. */
function cutRange(chart, panel) {
  const values = chart.panels.filter((other) => other.y.label === panel.y.label)
    .flatMap((other) => other.lines).flatMap((line) => [...line.y, ...(line.low ?? [])]);
  const log = panel.y.scale === "log";
  const lowest = Math.min(...values.filter((value) => finite(value) && (!log || value > 0)));
  if (log) return [Math.log10(lowest) - 0.1, Math.log10(panel.y.high)];
  return [lowest - 0.05 * (panel.y.high - lowest), panel.y.high];
}

function lineTraces(line, suffix, named, colours) {
  const name = plotText(line.name ?? "");
  const axes = { type: "scatter", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
    legendgroup: line.name };
  const trace = { ...axes, x: line.x, y: line.y, mode: line.markers ? "lines+markers" : "lines",
    line: { color: colours.line(line.colour), dash: DASHES[line.dash], width: 1.8 },
    marker: { size: 5 }, name,
    showlegend: Boolean(line.name) && !named.has(line.name),
    hovertemplate: `%{x}: %{y:.4g}<extra>${name}</extra>` };
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
    hovertemplate: `${points.labels ? "%{text}<br>" : ""}%{x:.4g}: %{y:.4g}<extra>${name}</extra>` };
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
    hovertemplate: `%{text}: %{y:.4g}<extra>${plotText(bars.name ?? "")}</extra>` };
  named.add(bars.name);
  if (bars.low) {
    trace.error_y = { type: "data", symmetric: false, thickness: 1, width: 0, color: theme().text,
      array: bars.high.map((high, i) => high - bars.y[i]),
      arrayminus: bars.low.map((low, i) => bars.y[i] - low) };
  }
  return trace;
}

function heatMapTrace(layout, panel, suffix, colours) {
  const map = panel.heat_map;
  const scale = map.scale === "log" ? Math.log10 : (value) => value;
  const clip = (value) => scale(Math.min(map.high, Math.max(map.low, value)));
  layout.coloraxis ??= { colorscale: "Viridis", cmin: scale(map.low), cmax: scale(map.high),
    colorbar: { title: { text: plotText(map.label), side: "right" }, thickness: 12, len: 1,
      outlinewidth: 0, ...(map.scale === "log" ? decadeTicks(map) : {}) } };
  return { type: "heatmap", xaxis: `x${suffix}`, yaxis: `y${suffix}`, x: map.x, y: map.y,
    z: map.z.map((row) => row.map((v) => (v === null || Number.isNaN(v) ? null : clip(v)))),
    text: map.z.map((row, y) => row.map((v, x) => cellText(panel, x, y, v))),
    coloraxis: "coloraxis", hovertemplate: `%{text}<extra>${plotText(panel.title)}</extra>`,
    hoverlabel: { bgcolor: colours.back } };
}

/** Says where a cell of a heat-map lies, and its value. */
function cellText(panel, x, y, value) {
  const place = (axis, index, numbers) =>
    `${plotText(axis.label)} ${plotText(axis.categories?.[index] || String(numbers[index]), 24)}`;
  const { heat_map: map } = panel;
  return [place(panel.x, x, map.x), place(panel.y, y, map.y), short(value ?? NaN)].join("<br>");
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
