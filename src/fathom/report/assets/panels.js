// Turns the measurements of one run, or of several side by side, into charts.

const PARTS = ["train", "validation", "test"];
const PART_DASHES = ["solid", "dashed", "dotted"];
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const VIRIDIS = ["#471365", "#443983", "#34618d", "#26828e", "#1f9e89", "#4ec36b", "#a0da39"];
const GRADIENT_LABELS = {
  grad_norm: ["Gradient norm", "L2 norm of dL/dW [nats]"],
  grad_mean_abs: ["Mean absolute gradient", "mean |dL/dW| [nats]"],
};

/** Returns the colour at place `index` of `count` ordered values, dark first. */
const ordered = (index, count) =>
  VIRIDIS[count > 1 ? Math.round((index / (count - 1)) * (VIRIDIS.length - 1)) : 0];

/** Chooses up to `most` places of `count`, evenly, the first and the last among them. */
function spread(count, most) {
  const chosen = Math.min(count, most);
  const step = chosen > 1 ? (count - 1) / (chosen - 1) : 0;
  return Array.from({ length: chosen }, (_, index) => Math.round(index * step));
}

/** All charts of the chosen runs, in the order in which they are shown. */
function chartsOf(chosen, measurements, overlays, scored) {
  const maps = [...predictedMaps(chosen, measurements, overlays),
    ...Object.keys(GRADIENT_LABELS).map((name) => heatMaps(chosen, measurements, name)),
    ...(chosen.length === 2 ? differenceMap(chosen, measurements) : [])];
  const profiles = chosen.length > 1
    ? comparedProfiles(chosen, measurements) : singleProfiles(chosen[0], measurements);
  return [curves(chosen, measurements), ...overlaid(chosen, overlays), ...maps, ...profiles,
    ...ofClasses(chosen, scored)];
}

/** Precision over recall and confusion, one panel for each run that recorded scores. */
function ofClasses(chosen, scored) {
  const byTitle = new Map();
  for (const chart of chosen.flatMap((run) => scored[run.id]?.charts ?? [])) {
    byTitle.set(chart.title, [...(byTitle.get(chart.title) ?? []), chart]);
  }
  return [...byTitle.values()].map((charts) => ({ ...charts[0],
    note: [...new Set(charts.map((chart) => chart.note))].join(" "),
    columns: Math.min(charts.length, 3), height: 320, panels: charts.flatMap((chart) => chart.panels) }));
}

/** Prediction and measurement by layer, one row for each run that has them. */
function overlaid(chosen, overlays) {
  const found = chosen.map((run) => overlays[run.id]).filter(Boolean);
  return found.length ? [{ ...found[0], panels: found.flatMap((chart) => chart.panels) }] : [];
}

/** Loss and accuracy over epochs; colours tell parts apart, or runs where there are several. */
function curves(chosen, measurements) {
  const several = chosen.length > 1;
  const panel = (metric, unit) => {
    const lines = chosen.flatMap((run, index) => PARTS.map((part, place) => {
      const { epochs, values } = measurements.metric(run, `${part}_${metric}`);
      return { name: several ? runLabel(run) : part, x: epochs, y: values,
        colour: COLOURS[several ? index : place], dash: PART_DASHES[several ? place : 0],
        markers: epochs.length === 1 };
    })).filter((line) => line.y.some(finite));
    const title = several ? `${metric}: train solid, validation dashed, test dotted` : metric;
    const range = metric === "loss" ? lossRange(lines) : {};
    return { title, x: { label: "epoch" }, y: { label: `${metric} [${unit}]`, ...range }, lines };
  };
  return { title: "Loss and accuracy", columns: 2,
    panels: [panel("loss", "nats"), panel("accuracy", "share")] };
}

/** Cuts off what is above ten times the middle first loss, so that a diverging run hides nobody. */
function lossRange(lines) {
  const values = lines.flatMap((line) => line.y).filter(finite);
  const limit = 10 * median(lines.map((line) => line.y[0]).filter(finite));
  const shown = values.filter((value) => value <= limit);
  if (!shown.length) return {};
  const scale = curveScale([{ y: shown }]);
  return shown.length < values.length ? { scale, high: 1.1 * Math.max(...shown) } : { scale };
}

/** Chooses logarithmic spacing for positive values that span a factor of 30 or more. */
function curveScale(lines) {
  const values = lines.flatMap((line) => line.y).filter(finite);
  const low = Math.min(...values);
  return low > 0 && Math.max(...values) / low >= 30 ? "log" : "linear";
}

/** One heat-map for each run, with one scale of colours. */
function heatMaps(chosen, measurements, quantity) {
  const [title, label] = GRADIENT_LABELS[quantity];
  const found = chosen.map((run) => measurements.matrix(run, quantity));
  const values = found.flatMap((map) => map.rows.flat()).filter((v) => finite(v) && v > 0);
  const high = values.length ? Math.max(...values) : 1;
  const low = Math.max(values.length ? Math.min(...values) : 0.1, high * 1e-16);
  const panels = found.map((map, index) => ({
    title: chosen.length > 1 ? runLabel(chosen[index]) : title,
    x: { label: "epoch" }, y: { label: "layer" },
    heat_map: { x: map.epochs, y: map.layers, z: map.rows, label, scale: "log",
      low: low < high ? low : high / 10, high },
  }));
  return { title, columns: Math.min(chosen.length, 3), panels };
}

/** Describes colours that are pale at 0 and end `least` decades or more on both sides. */
function diverging(rows, least) {
  const sizes = rows.flat().filter(finite).map(Math.abs);
  const high = Math.min(MAX_SPAN, Math.max(least, ...sizes));
  const stops = PURPLE_ORANGE.map((colour, index) => [index / (PURPLE_ORANGE.length - 1), colour]);
  return { scale: "linear", low: -high, high, stops };
}

/** Each run's gradient relative to the last hidden layer, with the prediction in front. */
function predictedMaps(chosen, measurements, overlays) {
  const found = chosen.map((run) => ({ run, ...relativeGradient(run, measurements),
    predicted: predictedGradient(overlays[run.id]) }));
  if (!found.some(({ rows }) => rows.length > 1 && rows.flat().some(finite))) return [];
  const strips = found.map(({ layers, predicted }) =>
    predicted && { name: "theory", values: layers.map((layer) => interpolate(predicted, layer)) });
  const colours = diverging([...found.flatMap(({ rows }) => rows),
    ...strips.map((strip) => strip?.values ?? [])], 1);
  const panels = found.map(({ run, epochs, layers, rows }, index) => ({
    title: chosen.length > 1 ? runLabel(run) : "Gradient over the last hidden layer's",
    x: { label: "epoch" }, y: { label: "hidden layer" },
    heat_map: { x: epochs, y: layers, z: rows, ...colours, strip: strips[index],
      label: "rms dL/dh, decades" } }));
  return [{ title: "Gradient over the last hidden layer's", columns: Math.min(chosen.length, 3),
    panels, note: strips.some(Boolean) ? STRIP_NOTE : "" }];
}

const STRIP_NOTE = "Gradient over the last hidden layer's: left of each map what theory predicts "
  + "before training, in the same colours. Training that starts as predicted goes on from there.";

/** log10 of the rms of dL/dh in each hidden layer over that in the last one, over the epochs. */
function relativeGradient(run, measurements) {
  const { epochs, layers, rows } = measurements.matrix(run, "grad_pre_rms");
  const hidden = rows.slice(0, Math.max(1, rows.length - 1)).slice(0, layers.length);
  const last = hidden.at(-1) ?? [];
  return { epochs, layers: layers.slice(0, hidden.length),
    rows: hidden.map((row) => row.map((value, column) => Math.log10(value / last[column]))) };
}

/** The predicted line of the gradient in a run's overlay, if there is one. */
function predictedGradient(overlay) {
  const line = overlay?.panels[0].lines?.find(({ colour, y }) => colour && y.some(finite));
  return line && { x: line.x, y: line.y };
}

/** Reads a line between its points. */
function interpolate({ x, y }, at) {
  const right = x.findIndex((place) => place >= at);
  if (right < 0) return NaN;
  if (x[right] === at || right === 0) return x[right] === at ? y[right] : NaN;
  const share = (at - x[right - 1]) / (x[right] - x[right - 1]);
  return y[right - 1] + share * (y[right] - y[right - 1]);
}

/** Gradient by layer at chosen epochs, and activations of chosen layers over the epochs. */
function singleProfiles(run, measurements) {
  const gradient = measurements.matrix(run, "grad_norm");
  const places = spread(gradient.epochs.length, 5);
  const lines = places.map((place, index) => ({ name: `epoch ${gradient.epochs[place]}`,
    x: gradient.layers, y: gradient.rows.map((row) => row[place]), dash: "solid",
    colour: ordered(index, places.length), markers: gradient.layers.length <= 12 }));
  const byLayer = { title: "Gradient norm by layer", columns: 1, panels: [{
    title: "Gradient norm by layer", x: { label: "layer" },
    y: { label: "L2 norm of dL/dW [nats]", scale: "log" }, lines }] };
  return [byLayer, activationsOverEpochs(run, measurements)];
}

function activationsOverEpochs(run, measurements) {
  const quantities = [["act_mean", "mean activation"], ["act_std", "std of activation"]];
  const panels = quantities.map(([name, label]) => {
    const { epochs, layers, rows } = measurements.matrix(run, name);
    const hidden = layers.map((_, index) => index).filter((index) => rows[index].some(finite));
    const shown = spread(hidden.length, 6).map((place) => hidden[place]);
    const lines = shown.map((row, index) => ({ name: `layer ${layers[row]}`,
      x: epochs, y: rows[row], colour: ordered(index, shown.length), dash: "solid",
      markers: epochs.length === 1 }));
    const scale = name === "act_std" ? curveScale(lines) : "linear";
    return { title: label, x: { label: "epoch" }, y: { label, scale }, lines };
  });
  return { title: "Activations over epochs", columns: 2, panels };
}

/** Gradient and activations by layer, before training and at the end, a line for each run. */
function comparedProfiles(chosen, measurements) {
  const panel = (name, label, scale, title, pick) => ({
    title, x: { label: "layer" }, y: { label, scale },
    lines: chosen.map((run, index) => {
      const { layers, rows } = measurements.matrix(run, name);
      return { name: runLabel(run), x: layers, y: rows.map(pick), colour: COLOURS[index],
        dash: "solid", markers: layers.length <= 12 };
    }),
  });
  const first = (row) => row[0];
  const last = (row) => row.at(-1);
  const gradient = [["before training", first], ["at the end", last]].map(([title, pick]) =>
    panel("grad_norm", "L2 norm of dL/dW [nats]", "log", `gradient norm, ${title}`, pick));
  const activation = [
    panel("act_mean", "mean activation", "linear", "mean activation, at the end", last),
    panel("act_std", "std of activation", "log", "std of activation, at the end", last),
  ];
  return [
    { title: "Gradient norm by layer", columns: 2, panels: gradient },
    { title: "Activations by layer", columns: 2, panels: activation },
  ];
}
