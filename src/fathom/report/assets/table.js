// The table of runs. Rows are made when they are to be seen: a browser lays out thousands of them
// with all their cells for seconds after every click.

const ROOM = 200; // rows at first, and how many more at a time

const table = { listed: null, room: ROOM, rows: new Map() };

const collator = new Intl.Collator("en", { numeric: true });

const sortValue = (column, run) => (column.sort ?? ((r) => r[column.key]))(run);

/** Compares two runs by a column; what is not a number comes last, up or down. */
function compareBy(column, descending) {
  return (a, b) => {
    const [x, y] = [sortValue(column, a), sortValue(column, b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    const order = typeof x === "string" ? collator.compare(x, y) : x - y || 0;
    return descending ? -order : order;
  };
}

function buildTable() {
  const compare = element("span", { className: "hidden" }, "compare");
  const head = element("tr", {}, element("th", { scope: "col" }, compare),
    ...COLUMNS.map((column) => headerCell(column)));
  const body = element("tbody", {});
  const frame = byId("table");
  Object.assign(table, { body, frame, room: Number(frame.dataset.room) || ROOM }); // newdata keeps it
  byId("table").replaceChildren(element("table", { className: "runs", "aria-label": "Runs" },
    element("thead", {}, head), body));
  rove(body, "tr", () => ({ ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }));
  body.addEventListener("keydown", rowKey);
  body.addEventListener("click", rowClick);
  table.frame.onscroll = showMoreNearTheEnd;
  byId("more").onclick = () => showMore(ROOM);
  byId("to-details").onclick = () => byId("details-title").focus();
  addEventListener("beforeprint", () => showMore(Infinity), { signal: closing.signal });
}

/** Lets the cells of the rows that are made tell more when pointed at. */
function updateHints() {
  for (const [run, row] of table.rows) addHints(run, row);
}

function addHints(run, row) {
  COLUMNS.forEach(({ hint }, index) => {
    if (hint) row.cells[index + 1].title = visible(hint(run)); // the first cell has the tick box
  });
}

function headerCell(column) {
  const button = element("button", { type: "button", title: column.help ?? "",
    onclick: () => sortBy(column) }, column.title);
  const className = column.numeric ? "number" : "";
  return element("th", { scope: "col", className, "data-key": column.key }, button);
}

/** Sorts by a column; accuracies start with the largest, a second click turns the order. */
function sortBy(column) {
  const again = state.sort.key === column.key;
  const descending = again ? !state.sort.descending : Boolean(column.share);
  update({ sort: { key: column.key, descending } });
}

function rowOf(run) {
  if (!table.rows.has(run)) table.rows.set(run, buildRow(run));
  return table.rows.get(run);
}

function buildRow(run) {
  const label = `compare ${run.name}`;
  const box = element("input", { type: "checkbox", tabIndex: -1, "aria-label": visible(label) });
  const cells = COLUMNS.map((column) => {
    const cell = element("td", { className: column.numeric ? "number" : "" }, column.text(run));
    if (column.key === "name") cell.classList.add("name");
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
  const row = element("tr", { tabIndex: -1, "data-run": run.id },
    element("td", { className: "tick" }, box), ...cells);
  addHints(run, row);
  return row;
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

/** Lists the passing runs in the chosen order, and marks the selected ones. */
function updateTable() {
  const column = COLUMNS.find(({ key }) => key === state.sort.key);
  const passing = runs.filter(passes);
  if (column) passing.sort(compareBy(column, state.sort.descending));
  const before = table.listed ?? passing;
  const same = passing.length === before.length
    && passing.every((run, index) => run === before[index]);
  Object.assign(table, { listed: passing, room: same ? table.room : ROOM });
  showRows();
  tellCount();
  for (const cell of table.frame.querySelectorAll("th[data-key]")) {
    const sortedBy = cell.dataset.key === state.sort.key;
    const order = state.sort.descending ? "descending" : "ascending";
    cell.setAttribute("aria-sort", sortedBy ? order : "none");
  }
}

/** Puts the first of the listed runs into the table, as many as there is room for. */
function showRows() {
  const { body, frame, listed, room } = table;
  frame.dataset.room = room;
  const rows = listed.slice(0, room).map(rowOf);
  if (rows.length !== body.rows.length || rows.some((row, index) => row !== body.rows[index])) {
    const held = document.activeElement; // moving a row takes the focus from it
    const first = rows.findIndex((row, index) => row !== body.rows[index]);
    if (first === body.rows.length) body.append(...rows.slice(first));
    else body.replaceChildren(...rows);
    if (body.contains(held)) held.focus({ preventScroll: true });
  }
  for (const row of rows) {
    const chosen = state.selected.includes(row.dataset.run);
    row.setAttribute("aria-selected", chosen);
    row.querySelector("input").checked = chosen;
  }
  keepTabStop(rows);
  body.parentElement.setAttribute("aria-rowcount", listed.length + 1);
  byId("more").hidden = rows.length === listed.length;
  byId("more").textContent = `Show more: ${rows.length} of ${listed.length} are listed`;
}

function showMore(count) {
  if (table.room >= table.listed.length) return;
  table.room += count;
  showRows();
}

function showMoreNearTheEnd() {
  const { scrollTop, clientHeight, scrollHeight } = table.frame;
  if (scrollTop + 2 * clientHeight > scrollHeight) showMore(ROOM);
}

/** Says how many runs are left, and how many of them are selected. */
function tellCount() {
  const shown = table.listed.length;
  const all = shown === runs.length;
  const hint = shown ? "" : ": take a filter back, or a word of the search";
  byId("count").textContent = all ? `${shown} runs` : `${shown} of ${runs.length} runs${hint}`;
  const chosen = state.selected.length;
  const most = chosen === MAX_COMPARED ? ", which is the most" : "";
  byId("chosen").textContent = chosen ? `${chosen} selected${most}` : "";
  byId("to-details").hidden = !chosen;
  byId("to-details").textContent = chosen > 1 ? `To the ${chosen} compared runs` : "To the selected run";
}

/** One row can always be reached with the tab key. */
function keepTabStop(rows) {
  const stop = rows.find((row) => row.tabIndex === 0) ?? rows[0];
  for (const row of rows) row.tabIndex = row === stop ? 0 : -1;
}
