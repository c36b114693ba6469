// The filters above the table: words, and values of settings as buttons.

const STRETCH_HINT = "With Shift: all values from the nearest one that is chosen up to this one";

function buildFilters() {
  const search = element("input", { type: "search", id: "search",
    placeholder: "name, setting, reason …", oninput: () => update({ text: search.value }) });
  const groups = varying.filter(({ name }) => name !== "seed" || varying.length === 1)
    .map(({ name, values, numeric }) => chipGroup(name, values, numeric));
  for (const [name, of] of FACT_FILTERS) {
    const found = [...new Set(runs.map(of))].sort();
    const told = name === "verdict" ? verdictText : outcomeLabel;
    if (found.length > 1) {
      groups.push(chipGroup(name, found.map((label) => ({ label, text: told(label) })), false));
    }
  }
  const reset = element("button", { type: "button", id: "reset",
    onclick: () => update({ filters: new Map(), text: "" }) }, "Show all");
  byId("filters").replaceChildren(element("label", {}, "Search ", search), ...groups, reset);
}

function chipGroup(name, values, numeric) {
  const chips = values.map(({ label, text = label, colour }) => {
    const chip = element("button", { type: "button", className: "chip", "data-filter": name,
      "data-value": label, title: numeric ? STRETCH_HINT : "",
      onclick: (event) => (numeric && event.shiftKey ? stretchFilter : toggleFilter)(name, label),
    }, text);
    if (colour) chip.style.setProperty("--colour", colour);
    return chip;
  });
  return element("div", { className: "group", role: "group", "aria-label": name },
    element("span", { className: "group-name" }, name), ...chips);
}

function updateFilters() {
  const search = byId("search");
  if (search.value !== state.text) search.value = state.text;
  for (const chip of byId("filters").querySelectorAll(".chip")) {
    const { filter, value } = chip.dataset;
    chip.setAttribute("aria-pressed", state.filters.get(filter)?.has(value) ?? false);
  }
  byId("reset").hidden = !state.text && state.filters.size === 0;
}
