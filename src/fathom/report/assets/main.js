// Puts the page together: texts and table at once, charts when the plotting library is unpacked.

function buildHeader() {
  byId("title").textContent = visible(study.title);
  const counts = new Map();
  for (const run of runs) counts.set(run.outcome, (counts.get(run.outcome) ?? 0) + 1);
  const outcomes = [...counts].map(([outcome, count]) => `${count} ${outcome.replace("_", " ")}`);
  const total = `${runs.length} run${runs.length === 1 ? "" : "s"}`;
  byId("summary").textContent = `${total}: ${outcomes.join(", ")}`;
  byId("forecast").textContent = visible(study.forecast.sentence);
  byId("forecast-note").textContent = study.forecast.note;
  const fixed = study.settings.filter(({ values }) => values.length === 1)
    .map(({ name, values }) => [name, values[0].label]);
  const swept = varying.map(({ name, values }) => [`${name} (${values.length})`,
    values.slice(0, 8).map(({ label }) => label).join(", ") + (values.length > 8 ? ", …" : "")]);
  byId("facts").replaceChildren(...[...swept, ...fixed, ...study.facts].map(definition));
  byId("yaml").textContent = study.yaml;
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = false;
}

/** Unpacks the plotting library and runs it; the page's policy knows its hash. */
async function loadLibrary() {
  if (typeof Plotly !== "undefined") return;
  const source = new TextDecoder().decode(await inflate("library"));
  document.head.append(element("script", { textContent: source }));
  if (typeof Plotly === "undefined") throw new Error("the plotting library did not start");
}

/** Gives every run the sentences of its verdicts, which come compressed. */
function tellSentences(sentences) {
  for (const run of runs) {
    for (const [when] of VERDICTS) run[`sentence_${when}`] = sentences[when][run.index];
  }
  updateHints();
  updateSelected();
}

async function buildCharts() {
  if (typeof DecompressionStream === "undefined") {
    notice("The charts need a newer browser, any from 2023 on; the table and the images do not.");
    return;
  }
  const [measurements, figures, predictions, scored, units] = await Promise.all([
    inflate("measurements").then((buffer) => new Measurements(buffer)),
    inflateJson("charts"),
    inflateJson("predictions"),
    inflateJson("scored"),
    inflateJson("units"),
    loadLibrary(),
  ]);
  if (closing.signal.aborted) return;
  buildLeftOut(figures);
  tellSentences(predictions.sentences);
  const draw = () => {
    updatePanels(measurements, predictions.overlays, scored, units);
    updateFigure(figures);
  };
  onChange(draw);
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    byId("panels").dataset.drawn = drawnFigure = "";
    draw();
  }, { signal: closing.signal });
}

function start() {
  defaults = { ...matrixDefaults(), figure: "" };
  readState();
  buildHeader();
  buildFilters();
  buildTable();
  buildLosses();
  buildMatrix();
  byId("clear").onclick = () => select([]);
  document.querySelector(".skip").onclick = (event) => {
    event.preventDefault(); // the address holds what was chosen
    byId("table-title").focus();
  };
  const refresh = () => {
    updateFilters();
    updateTable();
    updateMatrix();
    updateSelected();
  };
  onChange(refresh);
  refresh();
  addEventListener("hashchange", followAddress, { signal: closing.signal });
  addEventListener("newdata", () => {
    closing.abort();
    buildPage();
  }, { signal: closing.signal });
  buildCharts()
    .catch((error) => notice(`The charts could not be drawn: ${error.message}`))
    .finally(() => document.documentElement.setAttribute("data-ready", ""));
}

start();
