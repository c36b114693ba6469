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

let typing = false; // letters that follow each other are one step back

/** Changes the state, writes it into the address, which can go back, and tells everybody. */
function update(change) {
  Object.assign(state, change);
  const address = writeState();
  const goesOn = typing && Object.keys(change).join() === "text";
  typing = Object.keys(change).join() === "text";
  if (goesOn) history.replaceState(null, "", `#${address}`);
  else if (address !== location.hash.slice(1)) history.pushState(null, "", `#${address}`);
  for (const listener of listeners) listener();
}

/** Follows the address after a step back or forward, or a changed link. */
function followAddress() {
  typing = false;
  readState();
  for (const listener of listeners) listener();
}

const CHOICES = ["rows", "columns", "cells", "measure", "figure"];
const FACT_FILTERS = new Map([
  ["outcome", (run) => run.outcome],
  ["verdict", (run) => run.verdict_end],
]);
const filterNames = () => [...varying.map((setting) => setting.name), ...FACT_FILTERS.keys()];

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

const filterValue = (run, name) => (FACT_FILTERS.get(name) ?? (() => run.settings[name]))(run);

/** Returns the text that the search looks through; made once for each run. */
function searched(run) {
  run.searched ??= [run.name, run.outcome, run.reason,
    ...VERDICTS.map(([when]) => run[`verdict_${when}`]), ...Object.values(run.settings)]
    .join(" ").toLowerCase();
  return run.searched;
}

/** Tells whether a run passes the filters and contains every word of the text. */
function passes(run) {
  for (const [name, wanted] of state.filters) {
    if (!wanted.has(filterValue(run, name))) return false;
  }
  return !state.text
    || state.text.toLowerCase().split(/\s+/).every((word) => searched(run).includes(word));
}

function toggleFilter(name, value) {
  const filters = new Map(state.filters);
  const wanted = new Set(filters.get(name));
  if (!wanted.delete(value)) wanted.add(value);
  if (wanted.size) filters.set(name, wanted);
  else filters.delete(name);
  update({ filters });
}

/** Wants all values between `value` and the nearest one that is wanted already, these included. */
function stretchFilter(name, value) {
  const all = varying.find((setting) => setting.name === name).values.map(({ label }) => label);
  const to = all.indexOf(value);
  const known = all.map((_, index) => index).filter((index) =>
    state.filters.get(name)?.has(all[index]));
  const from = known.sort((a, b) => Math.abs(a - to) - Math.abs(b - to))[0] ?? to;
  const between = all.slice(Math.min(from, to), Math.max(from, to) + 1);
  const wanted = new Set([...(state.filters.get(name) ?? []), ...between]);
  update({ filters: new Map(state.filters).set(name, wanted) });
}

const select = (ids) => update({ selected: ids.slice(0, MAX_COMPARED) });

function toggleSelected(id) {
  if (state.selected.includes(id)) select(state.selected.filter((other) => other !== id));
  else select([...state.selected, id]); // one too many is passed over, and its tick taken back
}
