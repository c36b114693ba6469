// What became of the units of single runs, layer by layer.

const MAX_OPEN = 20; // layers of a table that stands open

/** A table for each run whose units were counted: a row for each layer. */
function unitTables(chosen, { states, runs: counted }) {
  return chosen.filter(({ id }) => counted[id]).map((run) => {
    const { epochs: [first, last], layers } = counted[run.id];
    const title = chosen.length > 1 ? `Units of ${runLabel(run)}` : "Units, layer by layer";
    const note = first === last ? `Counted over the training data at epoch ${first}.`
      : `Counted over the training data at epoch ${first} → at epoch ${last}.`;
    const heads = ["layer", "place", "units", ...states, "born dead", "died", "revived"];
    const head = heads.map((name, index) => element("th", { scope: "col",
      className: index === 1 ? "" : "number" }, name));
    return element("div", { className: "note" }, element("details", { className: "units",
      open: layers.length <= MAX_OPEN },
      element("summary", {}, title), element("p", { className: "hint" }, note),
      element("div", { className: "scroll" }, element("table", { className: "classes" },
        element("thead", {}, element("tr", {}, ...head)),
        element("tbody", {}, ...layers.map((layer) => unitRow(layer, first < last)))))));
  });
}

function unitRow([layer, place, units, before, after, ...lives], moved) {
  const cell = (text, faint) =>
    element("td", { className: `number${faint ? " faint" : ""}` }, text);
  const states = before.map((count, index) => cell(
    moved ? `${count} → ${after[index]}` : String(count), !count && !after[index]));
  return element("tr", {}, element("th", { scope: "row", className: "number" }, String(layer)),
    element("td", {}, place), cell(String(units)), ...states,
    ...lives.map((count) => cell(String(count), !count)));
}
