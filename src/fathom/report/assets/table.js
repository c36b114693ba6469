// The table of runs and the filters above it.

const COLUMNS = [
  { key: "name", title: "run", text: (run) => run.name, hint: (run) => run.name },
  ...varying.map(({ name, numeric }) => ({ key: `settings.${name}`, title: name, numeric,
    text: (run) => run.settings[name],
    sort: (run) => (numeric ? Number(run.settings[name]) : run.settings[name]) })),
  { key: "outcome", title: "outcome",
    text: (run) => `${OUTCOME_SIGNS.get(run.outcome) ?? ""} ${outcomeText(run)}`,
    sort: (run) => run.outcome, hint: (run) => run.reason },
  ...PARTS.map((part) => ({ key: `${part}_accuracy`, title: `${part} acc.`,
    numeric: true, share: true, known: true, text: (run) => percent(run[`${part}_accuracy`]),
    help: `Accuracy on the ${part} data at the last epoch` })),
  ...(hasBestEpoch ? [
    { key: "best_epoch", title: "best epoch", numeric: true, text: (run) => run.best_epoch || "–",
      help: study.best_note },
    { key: "best_epoch_test_accuracy", title: "test acc., best epoch", numeric: true, share: true,
      text: (run) => percent(run.best_epoch_test_accuracy),
      help: `Accuracy on the test data at the best epoch. ${study.best_note}` },
    { key: "best_epoch_test_loss", title: "test loss, best epoch", numeric: true,
      text: (run) => short(run.best_epoch_test_loss),
      help: `Loss on the test data at the best epoch, in nats. ${study.best_note}` }] : []),
  ...(hasScores ? Object.entries(study.scored).map(([key, title]) => ({ key,
    title: `${title}, best weights`, numeric: true, share: true, text: (run) => percent(run[key]),
    help: study.scored_note })) : []),
  ...PARTS.map((part) => ({ key: `mean_${part}_accuracy`, title: `${part} acc., mean`,
    numeric: true, known: true, text: (run) => percent(run[`mean_${part}_accuracy`]),
    help: `Accuracy on the ${part} data, mean over all epochs` })),
  ...PARTS.map((part) => ({ key: `${part}_loss`, title: `${part} loss`,
    numeric: true, known: true, text: (run) => short(run[`${part}_loss`]),
    help: `Loss on the ${part} data at the last epoch, in nats` })),
  ...PARTS.map((part) => ({ key: `mean_${part}_loss`, title: `${part} loss, mean`,
    numeric: true, known: true, text: (run) => short(run[`mean_${part}_loss`]),
    help: `Loss on the ${part} data, mean over all epochs, in nats` })),
  { key: "converged_epoch", title: "converged", numeric: true, text: convergedText,
    help: study.converged_note },
  { key: "elapsed_s", title: "time", numeric: true, text: (run) => seconds(run.elapsed_s) },
  { key: "span_predicted", title: "predicted span", numeric: true, known: true,
    text: predictedDecades,
    help: "What theory says of the gradient span before training, in decades, with two standard "
      + "deviations" },
  { key: "span_start", title: "gradient span start", numeric: true,
    text: (run) => decades(run.span_start),
    help: "log10 of rms dL/dh in the first hidden layer over the last, before training, "
      + "in decades; 0 is ideal, ▼ vanishes, ▲ explodes" },
  ...VERDICTS.map(([when]) => ({ key: `verdict_${when}`, title: `verdict ${when}`,
    text: (run) => run[`verdict_${when}`], hint: (run) => run[`sentence_${when}`] ?? "",
    help: "By fixed rules on the numbers of the layers; point at a cell to read why" })),
  { key: "span_end", title: "span end", numeric: true, text: (run) => decades(run.span_end),
    help: "The same at the last epoch, in decades" },
].filter(({ key, known }) => !known || runs.some((run) => Number.isFinite(run[key])));

const rowByRun = new Map();

const sortValue = (column, run) => (column.sort ?? ((r) => r[column.key]))(run);

/** Compares two runs by a column; what is not a number comes last, up or down. */
function compareBy(column, descending) {
  return (a, b) => {
    const [x, y] = [sortValue(column, a), sortValue(column, b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y || 0;
    return descending ? -order : order;
  };
}

function buildTable() {
  const compare = element("span", { className: "hidden" }, "compare");
  const head = element("tr", {}, element("th", { scope: "col" }, compare),
    ...COLUMNS.map((column) => headerCell(column)));
  const body = element("tbody", {}, ...runs.map((run) => {
    const row = buildRow(run);
    rowByRun.set(run, row);
    return row;
  }));
  byId("table").replaceChildren(
    element("table", { className: "runs" }, element("thead", {}, head), body));
  updateHints();
  rove(body, "tr:not([hidden])", () => ({ ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }));
  body.addEventListener("keydown", rowKey);
  body.addEventListener("click", rowClick);
}

/** Lets cells tell more when pointed at. */
function updateHints() {
  for (const [run, row] of rowByRun) {
    COLUMNS.forEach(({ hint }, index) => {
      if (hint) row.cells[index + 1].title = hint(run); // the first cell has the tick box
    });
  }
}

function headerCell(column) {
  const button = element("button", { type: "button", title: column.help ?? "",
    onclick: () => sortBy(column) }, column.title);
  const className = column.numeric ? "number" : "";
  return element("th", { scope: "col", className, "data-key": column.key }, button);
}

/** Sorts by a column; numbers start with the largest, a second click turns the order. */
function sortBy(column) {
  const again = state.sort.key === column.key;
  const descending = again ? !state.sort.descending : Boolean(column.share);
  update({ sort: { key: column.key, descending } });
}

function buildRow(run) {
  const label = `compare ${run.name}`;
  const box = element("input", { type: "checkbox", tabIndex: -1, "aria-label": label });
  const cells = COLUMNS.map((column) => {
    const cell = element("td", { className: column.numeric ? "number" : "" }, column.text(run));
    if (column.key.startsWith("verdict_")) {
      cell.classList.add("verdict", run[column.key].replace(" ", "-"));
    }
    if (column.key === "outcome" && OUTCOME_SIGNS.has(run.outcome)) cell.classList.add(run.outcome);
    if (column.share && Number.isFinite(run[column.key])) {
      cell.classList.add("share");
      cell.style.setProperty("--share", `${100 * run[column.key]}%`);
    }
    return cell;
  });
  return element("tr", { tabIndex: -1, "data-run": run.id }, element("td", {}, box), ...cells);
}

function rowClick(event) {
  const id = event.target.closest("tr").dataset.run;
  const add = event.ctrlKey || event.metaKey || event.shiftKey;
  if (add || event.target.matches("input")) toggleSelected(id);
  else select([id]);
}

function rowKey(event) {
  const id = event.target.dataset.run;
  if (!id || !["Enter", " "].includes(event.key)) return;
  event.preventDefault();
  if (event.key === "Enter") select([id]);
  else toggleSelected(id);
}

/** Shows the passing runs in the chosen order, and marks the selected ones. */
function updateTable() {
  const column = COLUMNS.find(({ key }) => key === state.sort.key);
  const sorted = column ? [...runs].sort(compareBy(column, state.sort.descending)) : runs;
  const body = byId("table").querySelector("tbody");
  const held = document.activeElement; // moving a row takes the focus from it
  body.append(...sorted.map((run) => rowByRun.get(run)));
  if (body.contains(held)) held.focus();
  let shown = 0;
  for (const run of runs) {
    const row = rowByRun.get(run);
    const chosen = state.selected.includes(run.id);
    row.hidden = !passes(run);
    row.setAttribute("aria-selected", chosen);
    row.querySelector("input").checked = chosen;
    shown += row.hidden ? 0 : 1;
  }
  keepTabStop(body);
  const all = shown === runs.length;
  byId("count").textContent = all ? `${shown} runs` : `${shown} of ${runs.length} runs`;
  for (const cell of byId("table").querySelectorAll("th[data-key]")) {
    const sortedBy = cell.dataset.key === state.sort.key;
    const order = state.sort.descending ? "descending" : "ascending";
    cell.setAttribute("aria-sort", sortedBy ? order : "none");
  }
}

/** One visible row can always be reached with the tab key. */
function keepTabStop(body) {
  const visible = [...body.querySelectorAll("tr:not([hidden])")];
  const stop = visible.find((row) => row.tabIndex === 0) ?? visible[0];
  for (const row of body.rows) row.tabIndex = row === stop ? 0 : -1;
}

function buildFilters() {
  const search = element("input", { type: "search", id: "search",
    placeholder: "name, setting, reason …", oninput: () => update({ text: search.value }) });
  const groups = varying.filter(({ name }) => name !== "seed" || varying.length === 1)
    .map(({ name, values }) => chipGroup(name, values));
  const outcomes = [...new Set(runs.map((run) => run.outcome))];
  if (outcomes.length > 1) groups.push(chipGroup("outcome", outcomes.map((label) => ({ label }))));
  const reset = element("button", { type: "button", id: "reset",
    onclick: () => update({ filters: new Map(), text: "" }) }, "Show all");
  byId("filters").replaceChildren(element("label", {}, "Search ", search), ...groups, reset);
}

function chipGroup(name, values) {
  const chips = values.map(({ label, colour }) => {
    const chip = element("button", { type: "button", className: "chip", "data-filter": name,
      "data-value": label, onclick: () => toggleFilter(name, label) }, label);
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
