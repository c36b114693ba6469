// The selected runs: what they are, and their charts.

function updateSelected() {
  const chosen = state.selected.map((id) => runById.get(id));
  byId("clear").hidden = !chosen.length;
  byId("details-title").textContent =
    chosen.length > 1 ? `Compared: ${chosen.length} runs` : "Selected run";
  byId("differences").textContent = chosen.length > 1 ? visible(settingsSentence(chosen)) : "";
  if (!chosen.length) {
    byId("selected").replaceChildren(element("p", { className: "hint" }, "No run is selected."));
    return;
  }
  byId("selected").replaceChildren(chosen.length > 1 ? comparison(chosen)
    : element("dl", { className: "facts" },
      ...RUN_FACTS.map(([title, text]) => definition([title, text(chosen[0])]))));
}

const RUN_FACTS = [
  ["run", (run) => run.name],
  ...study.settings.map(({ name }) => [name, (run) => run.settings[name]]),
  ...(hasOtherNetworks ? [["layers", (run) => String(run.num_layers)]] : []),
  ["outcome", outcomeText],
  ["reason", (run) => run.reason || "–"],
  ...PARTS.flatMap((part) => [
    [`final ${part} accuracy`, (run) => percent(run[`${part}_accuracy`])],
    [`mean ${part} accuracy`, (run) => percent(run[`mean_${part}_accuracy`])]]),
  ...PARTS.flatMap((part) => [
    [`final ${part} loss [nats]`, (run) => short(run[`${part}_loss`])],
    [`mean ${part} loss [nats]`, (run) => short(run[`mean_${part}_loss`])]]),
  ...(hasBestEpoch ? [
    ["best epoch", (run) => String(run.best_epoch || "–")],
    ["test accuracy, best epoch", (run) => percent(run.best_epoch_test_accuracy)],
    ["test loss, best epoch [nats]", (run) => short(run.best_epoch_test_loss)]] : []),
  ...(hasScores ? Object.entries(study.scored).map(([key, title]) =>
    [`${title}, best weights`, (run) => percent(run[key])]) : []),
  ["converged", convergedText],
  ["gradient first / last [decades]", (run) => `${decades(run.span_start)} → ${decades(run.span_end)}`],
  ["trained", (run) => ({ true: "yes", false: "no" })[run.trained] ?? "–"],
  ["gradient first / last, predicted", predictedDecades],
  ...VERDICTS.map(([when, title]) => [title, 
    (run) => run[`sentence_${when}`] ?? verdictText(run[`verdict_${when}`])]),
  ["gradient leaves the predicted band", (run) => bandExit(run, "leaves_band_layer")],
  ["scale leaves the predicted band", (run) => bandExit(run, "scale_leaves_band_layer")],
  ["time", (run) => seconds(run.elapsed_s)],
];

/** Says in which layer a run leaves its band first, on the signal's way. */
function bandExit(run, key) {
  if (run.verdict_predicted === "no prediction") return "–";
  const way = key === "leaves_band_layer" ? "back from the last" : "from the first";
  return Number.isNaN(run[key]) ? "nowhere" : `at layer ${run[key]}, ${way}`;
}

/** A table with a column for each run; what differs is bold. */
function comparison(chosen) {
  const rows = RUN_FACTS.map(([title, text]) => {
    const texts = chosen.map(text);
    const className = new Set(texts).size > 1 ? "differs" : "";
    const cells = texts.map((value, index) => (title === "run"
      ? element("td", { className: "keyed", style: { borderColor: COLOURS[index] } }, value)
      : element("td", {}, value)));
    return element("tr", { className }, element("th", { scope: "row" }, title), ...cells);
  });
  return element("div", { className: "scroll" }, element("table",
    { className: "facts compared", style: { minWidth: `${7 + 8 * chosen.length}rem` } }, ...rows));
}

/** Draws the selected runs' charts, but only when the selection or a run's label changed. */
function updatePanels(measurements, overlays, scored, units) {
  const wanted = state.selected.map((id) => `${id} ${runLabel(runById.get(id))}`).join("\n");
  const target = byId("panels");
  if (wanted === (target.dataset.drawn ?? "")) return;
  target.dataset.drawn = wanted;
  for (const old of target.querySelectorAll(".chart")) Plotly.purge(old);
  const chosen = state.selected.map((id) => runById.get(id));
  byId("partings").replaceChildren(...(chosen.length === 2
    ? partings(chosen, measurements).map((sentence) => element("li", {}, sentence)) : []));
  if (!wanted) {
    target.replaceChildren();
    return;
  }
  const charts = chartsOf(chosen, measurements, overlays, scored.runs);
  const places = charts.map((chart) => element("div", {
    className: chart.columns === 1 || chart.panels.length === 1 ? "chart half" : "chart" }));
  target.replaceChildren(...charts.flatMap(({ note }, index) => (note
    ? [places[index], element("p", { className: "hint note" }, note)] : [places[index]])));
  charts.forEach((chart, index) => drawChart(places[index], chart,
    chart.height ? { panelHeight: chart.height } : {}));
  target.append(...unitTables(chosen, units));
  if (chosen.length === 1 && scored.runs[chosen[0].id]) {
    target.append(classTable(scored.runs[chosen[0].id], scored.note));
  }
}

const CLASS_HEADS = ["class", "precision", "recall", "F1", "average precision", "test samples"];

/** A table with a row for each class of a run that recorded scores. */
function classTable({ classes }, note) {
  const heads = CLASS_HEADS.map((head, index) =>
    element("th", { scope: "col", className: index ? "number" : "" }, head));
  const rows = classes.map(([name, ...numbers]) => element("tr", {},
    element("th", { scope: "row" }, name), ...numbers.map((number, index) =>
      element("td", { className: "number" }, index < 4 ? percent(number) : String(number)))));
  return element("div", { className: "note" },
    element("details", { open: classes.length <= 20 },
      element("summary", {}, "Class by class"), element("p", { className: "hint" }, note),
      element("div", { className: "scroll" }, element("table", { className: "classes" },
        element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows)))));
}

let drawnFigure = "";

/** Draws the chosen comparison of all runs. */
function updateFigure(figures) {
  const chosen = figures.find(({ name }) => name === state.figure) ?? figures[0];
  if (!chosen || drawnFigure === chosen.name) return;
  drawnFigure = chosen.name;
  const options = figures.map(({ name, chart }) => [name, chart.title]);
  byId("figure-choice").replaceChildren(
    chooser("figure", options, chosen.name, (figure) => update({ figure })));
  byId("figure-files").replaceChildren(`${chosen.description} ${chosen.chart.note ?? ""} `,
    ...fileLinks(chosen.name));
  const wide = chosen.chart.columns > 4;
  const isCloud = chosen.chart.panels.length === 1 && chosen.chart.panels[0].points;
  const target = element("div", { className: "chart" });
  for (const old of byId("figure").querySelectorAll(".chart")) Plotly.purge(old);
  byId("figure").replaceChildren(target);
  drawChart(target, chosen.chart, { panelHeight: isCloud ? 400 : wide ? 150 : 240 });
}

function fileLinks(name) {
  const files = study.files[name] ?? [];
  return files.flatMap((path) => [element("a", { href: path }, path.split("/").pop()), " "]);
}

/** Lists the image files of single runs, and the figures that are missing with the reason. */
function buildLeftOut(figures) {
  const shown = new Set(figures.map(({ name }) => name));
  const others = Object.keys(study.files)
    .filter((name) => !shown.has(name) && study.files[name].length);
  const parts = [];
  if (others.length) {
    const links = others.map((name) =>
      element("p", { className: "hint" }, `${name}: `, ...fileLinks(name)));
    parts.push(element("details", {},
      element("summary", {}, "Image files of single runs"), ...links));
  }
  if (study.left_out.length) {
    parts.push(element("details", {}, element("summary", {}, "Figures left out, and why"),
      element("ul", {}, ...study.left_out.map(([, reason]) => element("li", {}, reason)))));
  }
  byId("left-out").replaceChildren(...parts);
}
