// Two runs beside each other: which settings differ, and from which layer on their numbers do.

const PART_FACTOR = 2; // beyond which two layers count as different

/** Says in which settings the runs differ. */
function settingsSentence(chosen) {
  const differing = study.settings.filter(({ name }) =>
    new Set(chosen.map((run) => run.settings[name])).size > 1);
  if (!differing.length) return "They have the same settings.";
  const told = differing.map(({ name }) =>
    `${name} (${[...new Set(chosen.map((run) => run.settings[name]))].join(" – ")})`);
  const alone = told.length === 1 ? " alone" : "";
  return `They differ in ${told.join(", ")}${alone}.`;
}

/** Walks through two runs' layers in pairs: from the last one back, or from the first one on. */
function layerPairs([a, b], back) {
  return Array.from({ length: Math.min(a.length, b.length) }, (_, step) => {
    const [i, j] = back ? [a.length - 1 - step, b.length - 1 - step] : [step, step];
    const known = finite(a[i]) && finite(b[j]);
    const size = !known || a[i] === b[j] ? 0 : Math.abs(Math.log(a[i] / b[j]));
    return { layers: [i + 1, j + 1], larger: a[i] > b[j] ? "first" : "second", known, size };
  }).filter(({ known }) => known);
}

/** Says where two lists of positive numbers, one of each run, part on the way of the signal. */
function partingSentence(title, columns, back) {
  const pairs = layerPairs(columns, back);
  if (!pairs.length) return `${title}: there is no layer with numbers of both.`;
  const parted = pairs.filter(({ size }) => size > Math.log(PART_FACTOR));
  if (!parted.length) return `${title}: within a factor of ${PART_FACTOR} in every layer.`;
  const most = parted.reduce((x, y) => (y.size > x.size ? y : x));
  const way = back ? "counted back from the last" : "counted from the first";
  const factor = most.size === Infinity ? "the other has 0"
    : `by a factor of ${Number(Math.exp(most.size).toPrecision(2))}`;
  return `${title}: they part at ${layerName(parted[0])}, ${way}; beyond a factor of ${PART_FACTOR} `
    + `in ${parted.length} of ${pairs.length} layers, most at ${layerName(most)}, where the `
    + `${most.larger} run's is larger (${factor}).`;
}

const layerName = ({ layers: [first, second] }) =>
  (first === second ? `layer ${first}` : `layer ${first} of the first and ${second} of the second`);

/** Returns the sentences about where two runs part, before training and at the end. */
function partings(pair, measurements) {
  const column = (name, place) => pair.map((run) =>
    measurements.matrix(run, name).rows.map((row) => row.at(place)));
  return [["before training", 0], ["at the end", -1]].flatMap(([when, place]) => [
    partingSentence(`Gradient norms ${when}`, column("grad_norm", place), true),
    partingSentence(`Spread of activations ${when}`, column("act_std", place), false),
  ]);
}

/** A map of how many decades the first run's gradients lie above the second's. */
function differenceMap(pair, measurements) {
  const [a, b] = pair.map((run) => measurements.matrix(run, "grad_norm"));
  const epochs = a.epochs.filter((epoch) => b.epochs.includes(epoch));
  if (a.layers.length !== b.layers.length || !a.layers.length || !epochs.length) return [];
  const at = (map, layer, epoch) => map.rows[layer][map.epochs.indexOf(epoch)];
  const rows = a.layers.map((_, layer) => epochs.map((epoch) =>
    Math.log10(at(a, layer, epoch) / at(b, layer, epoch))));
  return [{ title: "Where the gradients part", columns: 1, panels: [{
    title: "Gradient norm, first run over second", x: { label: "epoch" }, y: { label: "layer" },
    heat_map: { x: epochs, y: a.layers, z: rows, ...diverging(rows, 1), label: "decades" } }] }];
}
