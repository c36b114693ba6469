// Who trains: one small cell for each combination of three settings.

const CIVIDIS = [
  "#00224e", "#123570", "#3b496c", "#575d6d", "#707173",
  "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838",
];
const PURPLE_ORANGE = [
  "#b35806", "#e08214", "#fdb863", "#f7f7f7", "#b2abd2", "#8073ac", "#542788",
];
const MAX_LEVEL = 4; // letters over a cell that lie flat; longer names would lie over each other
const MAX_SPAN = 6; // decades at the ends of the colour scale

const MEASURES = [
  ...["test", "train", "validation"].map((part) => ({ key: `${part}_accuracy`,
    title: `final ${part} accuracy`, colours: CIVIDIS, place: (value) => value,
    ends: ["0 %", "100 %"], text: (value) => `${Math.round(100 * value)}`, full: percent })),
  ...[["span_predicted", "predicted gradient span"], ["span_start", "gradient span at the start"],
    ["span_end", "gradient span at the end"]].map(
    ([key, title]) => ({ key, title, colours: PURPLE_ORANGE,
      place: (value) => 0.5 + Math.max(-0.5, Math.min(0.5, value / (2 * MAX_SPAN))),
      ends: [`−${MAX_SPAN} decades: vanishes`, `+${MAX_SPAN}: explodes`],
      text: (value) => short(Math.round(value) || 0).replace("-", "−"),
      full: (value) => `${decades(value)} decades` })),
].filter(({ key }) => runs.some((run) => !Number.isNaN(run[key])));

/** Returns the colour at `place` in [0, 1] of a list, and a text colour that is legible on it. */
function shade(colours, place) {
  const at = place * (colours.length - 1);
  const index = Math.min(colours.length - 2, Math.floor(at));
  const mix = [1, 3, 5].map((i) => {
    const [a, b] = [colours[index], colours[index + 1]].map((c) => parseInt(c.slice(i, i + 2), 16));
    return Math.round(a + (b - a) * (at - index));
  });
  const light = (0.299 * mix[0] + 0.587 * mix[1] + 0.114 * mix[2]) / 255;
  return { background: `rgb(${mix.join(",")})`, color: light > 0.5 ? "#111" : "#fff" };
}

function median(values) {
  const known = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (!known.length) return NaN;
  const middle = known.length >> 1;
  return known.length % 2 ? known[middle] : (known[middle - 1] + known[middle]) / 2;
}

const valuesOf = (name) => study.settings.find((setting) => setting.name === name)?.values
  .map(({ label }) => label) ?? [""];

const AXES = ["rows", "columns", "cells"];
const MATRIX_SETTINGS = varying.filter(({ name }) => name !== "seed");

function matrixDefaults() {
  const names = MATRIX_SETTINGS.map(({ name }) => name);
  const [rows = "", columns = "", cells = ""] = names.length === 1 ? ["", names[0], ""] : names;
  return { rows, columns, cells, measure: MEASURES[0]?.key ?? "" };
}

function buildMatrixChoice() {
  const options = [["", "–"], ...MATRIX_SETTINGS.map(({ name }) => [name, name])];
  byId("matrix-choice").replaceChildren(
    chooser("colour", MEASURES.map(({ key, title }) => [key, title]), state.measure,
      (measure) => update({ measure })),
    ...AXES.map((key) =>
      chooser(key, options, state[key], (value) => update({ [key]: value }))),
  );
}

/** Groups the runs by their values of the three chosen settings. */
function groupRuns() {
  const groups = new Map();
  for (const run of runs) {
    const key = JSON.stringify(AXES.map((axis) => run.settings[state[axis]] ?? ""));
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return groups;
}

function updateMatrix() {
  buildMatrixChoice();
  const measure = MEASURES.find(({ key }) => key === state.measure) ?? MEASURES[0];
  if (!measure) return;
  const groups = groupRuns();
  const [rows, columns, cells] = AXES.map((axis) => valuesOf(state[axis]));
  const held = document.activeElement?.dataset?.key;
  const body = rows.map((row) => element("tr", {}, element("th", { scope: "row" }, row),
    ...columns.map((column) => element("td", {}, element("div", { className: "strip" },
      ...cells.map((cell) => matrixCell(measure, groups, [row, column, cell])))))));
  const names = () => cells.map((cell) => element("span", { title: visible(cell) },
    element("bdi", {}, cell)));
  const upright = cells.some((cell) => cell.length > MAX_LEVEL) ? " upright" : "";
  const scale = () => element("div", { className: `strip small${upright}` }, ...names());
  const head = element("tr", {}, element("th", {}),
    ...columns.map((column) => element("th", { scope: "col" }, column, scale())));
  byId("matrix").replaceChildren(element("table", { className: "matrix" },
    element("thead", {}, head), element("tbody", {}, ...body)));
  const buttons = [...byId("matrix").querySelectorAll("button")];
  const stop = buttons.find((button) => button.dataset.key === held) ?? buttons[0];
  if (stop) stop.tabIndex = 0;
  if (held && stop?.dataset.key === held) stop.focus();
  updateLegend(measure);
}

function matrixCell(measure, groups, key) {
  const found = groups.get(JSON.stringify(key)) ?? [];
  if (!found.length) return element("span", { className: "cell none", title: "not in this study" });
  const value = median(found.map((run) => run[measure.key]));
  const diverged = found.filter((run) => run.outcome === "diverged").length;
  const lines = [key.filter(Boolean).join(", "), `${measure.title}: ${measure.full(value)}`,
    found.length > 1
      ? `median of ${found.length} runs, ${diverged} diverged` : outcomeText(found[0])];
  const text = diverged ? "✕" : Number.isNaN(value) ? "–" : measure.text(value);
  const cell = element("button", { type: "button", className: "cell", tabIndex: -1,
    title: visible(lines.join("\n")), "aria-label": visible(lines.join("; ")), "data-key": JSON.stringify(key),
    onclick: (event) => chooseCell(event, found.map((run) => run.id)) }, text);
  if (!Number.isNaN(value)) Object.assign(cell.style, shade(measure.colours, measure.place(value)));
  cell.classList.toggle("dimmed", !found.some(passes));
  cell.classList.toggle("chosen", found.some((run) => state.selected.includes(run.id)));
  return cell;
}

function chooseCell(event, ids) {
  const add = event.ctrlKey || event.metaKey || event.shiftKey;
  select(add ? [...new Set([...state.selected, ...ids])] : ids);
}

function updateLegend(measure) {
  const background = `linear-gradient(90deg, ${measure.colours.join(",")})`;
  const unit = measure.colours === CIVIDIS ? "per cent" : "decades";
  byId("matrix-legend").replaceChildren(
    element("span", {}, measure.ends[0]),
    element("span", { className: "ramp", style: { background } }),
    element("span", {}, measure.ends[1]),
    element("span", { className: "hint" },
      `✕ diverged. Numbers are ${unit}. Click to see a run, with Ctrl or Shift to compare.`));
}

/** Arrow keys walk through the cells, row by row. */
function buildMatrix() {
  rove(byId("matrix"), "button.cell", (cells, at) => {
    const perRow = cells.filter((cell) => cell.closest("tr") === cells[at]?.closest("tr")).length;
    return { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow, ArrowUp: -perRow };
  });
}
