// What the reader chose. It lives in the address after the #, so that a link shows the same.

const MAX_COMPARED = 6;

const state = {
  filters: new Map(), // setting or "outcome" -> set of wanted values
  text: "",
  sort: { key: "", descending: false },
  selected: [], // run ids
  rows: "", columns: "", cells: "", measure: "test_accuracy",
  figure: "",
};

// The page can be built again with other data (event "newdata"): what listens to anything that
// outlives this program then stops.
const closing = new AbortController();

const listeners = [];

/** Calls `listener` after every change. */
function onChange(listener) {
  listeners.push(listener);
}

/** Changes the state, writes it into the address and tells everybody. */
function update(change) {
  Object.assign(state, change);
  history.replaceState(null, "", `#${writeState()}`);
  for (const listener of listeners) listener();
}

const CHOICES = ["rows", "columns", "cells", "measure", "figure"];
const filterNames = () => [...varying.map((setting) => setting.name), "outcome"];

function writeState() {
  const query = new URLSearchParams();
  for (const [name, wanted] of state.filters) {
    for (const value of wanted) query.append(`only.${name}`, value);
  }
  if (state.text) query.set("text", state.text);
  if (state.sort.key) query.set("sort", `${state.sort.descending ? "-" : ""}${state.sort.key}`);
  if (state.selected.length) query.set("runs", state.selected.join(","));
  for (const key of CHOICES) if (state[key] !== defaults[key]) query.set(key, state[key]);
  return query.toString();
}

let defaults = {};

/** Reads the address; what is unknown in it is passed over. */
function readState() {
  const query = new URLSearchParams(location.hash.slice(1));
  const filters = new Map();
  for (const name of filterNames()) {
    const wanted = query.getAll(`only.${name}`);
    if (wanted.length) filters.set(name, new Set(wanted));
  }
  const sort = query.get("sort") ?? "";
  const selected = (query.get("runs") ?? "").split(",").filter((id) => runById.has(id));
  const choices = CHOICES.map((key) => [key, query.get(key) ?? defaults[key]]);
  Object.assign(state, Object.fromEntries(choices), {
    filters,
    text: query.get("text") ?? "",
    sort: { key: sort.replace(/^-/, ""), descending: sort.startsWith("-") },
    selected: selected.slice(0, MAX_COMPARED),
  });
}

const filterValue = (run, name) => (name === "outcome" ? run.outcome : run.settings[name]);

/** Tells whether a run passes the filters and contains every word of the text. */
function passes(run) {
  for (const [name, wanted] of state.filters) {
    if (!wanted.has(filterValue(run, name))) return false;
  }
  const verdicts = VERDICTS.map(([when]) => run[`verdict_${when}`]);
  const text = [run.name, run.outcome, run.reason, ...verdicts, ...Object.values(run.settings)]
    .join(" ").toLowerCase();
  return state.text.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function toggleFilter(name, value) {
  const filters = new Map(state.filters);
  const wanted = new Set(filters.get(name));
  if (!wanted.delete(value)) wanted.add(value);
  if (wanted.size) filters.set(name, wanted);
  else filters.delete(name);
  update({ filters });
}

const select = (ids) => update({ selected: ids.slice(0, MAX_COMPARED) });

function toggleSelected(id) {
  if (state.selected.includes(id)) select(state.selected.filter((other) => other !== id));
  else if (state.selected.length < MAX_COMPARED) select([...state.selected, id]);
}
