// How far each loss steps at its rate; shown where losses are compared.

const LOSS_COLUMNS = [
  ["loss", (row) => row.loss],
  ["classes", (row) => String(row.num_classes)],
  ["scale", (row) => short(toNumber(row.scale))],
  ["times cross entropy", (row) => short(toNumber(row.ratio))],
  ["optimizer", (row) => row.optimizer],
  ["rate", (row) => short(toNumber(row.lr))],
  ["rate x scale", (row) => short(toNumber(row.first_step))],
];
const TOLD_IF_MANY = ["classes", "optimizer"];

function buildLosses() {
  const { rows, sentence, note } = study.losses;
  byId("losses").hidden = !rows.length;
  byId("losses-sentence").textContent = sentence;
  byId("losses-note").textContent = note;
  const columns = LOSS_COLUMNS.filter(([title, text]) =>
    !TOLD_IF_MANY.includes(title) || new Set(rows.map(text)).size > 1);
  const head = columns.map(([title]) => element("th", { scope: "col" }, title));
  const body = rows.map((row) =>
    element("tr", {}, ...columns.map(([, text]) => element("td", {}, text(row)))));
  byId("losses-table").replaceChildren(element("table", { className: "facts" },
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
}
