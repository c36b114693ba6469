// Draws a chart (figures/charts.py describes the record) with plotly.

const DASHES = { solid: "solid", dashed: "dash", dotted: "dot", dashdot: "dashdot" };

/** Plotly reads a little markup in texts; escaped, a text is shown as it is. */
function plotText(text, most = 60) {
  const shown = visible(text);
  const cut = shown.length > most ? `${shown.slice(0, most - 1)}…` : shown;
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

const NARROW = 600; // pixels, below which panels would be too narrow beside each other

// A full list: the library's own would include one that uploads the chart to its makers.
const BUTTONS = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];

/** Draws `chart` into `target`, in place of what was there; below each other on a narrow page. */
function drawChart(target, given, { panelHeight = 230 } = {}) {
  const width = target.clientWidth;
  const narrow = Math.max(1, Math.floor(width / 200));
  const chart = width < NARROW ? { ...given, columns: Math.min(given.columns, narrow) } : given;
  const rows = Math.ceil(chart.panels.length / chart.columns);
  const legend = legendHeight(chart, width);
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

/** Says how much room a legend needs; its entries stand in columns as wide as the longest. */
function legendHeight(chart, width) {
  const names = new Set(chart.panels.flatMap((panel) => ["lines", "points", "bars"]
    .flatMap((kind) => (panel[kind] ?? []).map(({ name }) => name))).filter(Boolean));
  if (!names.size) return 0;
  const longest = Math.max(...[...names].map((name) => Math.min(60, name.length)));
  const columns = Math.max(1, Math.floor((width - 70) / (45 + 6 * longest)));
  return 21 + 19 * Math.ceil(names.size / columns);
}

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
    if (panel.heat_map) data.push(...heatMapTraces(layout, panel, suffix, colours));
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
  if (panel.heat_map?.strip) nameStrip(layout, x, panel.heat_map, place);
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

/** Ticks the epochs of a map alone, and names the strip left of it. */
function nameStrip(layout, axis, map, place) {
  delete axis.dtick;
  axis.tickvals = spread(map.x.length, 6).map((index) => map.x[index]);
  layout.annotations.push({ text: plotText(map.strip.name), x: stripEdges(map.x)[1],
    xanchor: "right", xref: `x${place.suffix}`, y: place.y[0], yref: "paper", yanchor: "top", yshift: -4,
    showarrow: false, font: { size: 11 } });
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
