// What the page holds: the study's table as JSON, its measurements as packed matrices.
// The packing is undone here; report/pack.py does it.

const study = JSON.parse(document.getElementById("study").textContent);

const SENTINELS = new Map([[-32768, NaN], [-32767, 0], [-32766, -Infinity], [32767, Infinity]]);

/** Numbers that JSON lacks are written as null, "inf" and "-inf". */
function toNumber(value) {
  if (value === null) return NaN;
  if (value === "inf") return Infinity;
  return value === "-inf" ? -Infinity : value;
}

const NUMBER_COLUMNS = [
  "epochs_run", "diverged_step", "elapsed_s", "span_start", "span_end", "span_predicted",
  "span_predicted_sd", "leaves_band_layer", "scale_leaves_band_layer",
  "best_epoch", "best_epoch_test_accuracy", "best_epoch_test_loss", ...Object.keys(study.scored),
  "converged_epoch", ...Object.keys(study.packed.metrics),
  ...Object.keys(study.packed.metrics).map((name) => `mean_${name}`),
];

/** The runs as one object each; `index` is the place in the packed measurements. */
const runs = study.runs.run_id.map((id, index) => {
  const run = { id, index, settings: Object.create(null) };
  for (const [column, values] of Object.entries(study.runs)) {
    if (column.startsWith("settings.")) run.settings[column.slice(9)] = values[index];
    else run[column] = NUMBER_COLUMNS.includes(column) ? toNumber(values[index]) : values[index];
  }
  return run;
});

for (const run of runs) run.num_layers = study.packed.num_layers[run.index];

const runById = new Map(runs.map((run) => [run.id, run]));

/** Whether a validation part chose an epoch before the last one, and whether scores are there. */
const hasBestEpoch = runs.some((run) => run.best_epoch < run.epochs_run);
const hasScores = runs.some((run) => Number.isFinite(run.scored_accuracy));

/** Whether there are networks whose layers are not a setting, which have no depth then. */
const hasOtherNetworks = runs.some((run) => run.settings.depth === "–");

/** Settings with two or more values; the rest is the same for all runs. */
const varying = study.settings.filter((setting) => setting.values.length > 1);

/** Names a run by what sets it apart; by its own name where nothing does. */
function runLabel(run) {
  const parts = varying.map(({ name, numeric }) =>
    numeric ? `${name} ${run.settings[name]}` : run.settings[name]);
  return parts.join(", ") || run.name;
}

/** Reads an embedded gzip file. */
async function inflate(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

const inflateJson = async (id) => JSON.parse(new TextDecoder().decode(await inflate(id)));

/** Brings an integer into 16 bits with a sign, as sums modulo 2^16 need. */
const wrapped = (integer) => (integer << 16) >> 16;

/** Turns a packed integer into the number that it stands for. */
function decode(integer, [kind, step]) {
  if (SENTINELS.has(integer)) return SENTINELS.get(integer);
  if (kind === "linear") return integer / step;
  if (kind === "log") return 10 ** (integer / step);
  return Math.sign(integer) * 1e-6 * (10 ** (Math.abs(integer) / step) - 1);
}

/** The packed measurements of all runs; a matrix is unpacked when it is asked for. */
class Measurements {
  constructor(buffer) {
    const bytes = new Uint8Array(buffer);
    const half = bytes.length / 2;
    this.low = bytes.subarray(0, half);
    this.high = bytes.subarray(half);
    this.starts = new Map();
    let place = 0;
    const { metrics, layer_quantities: layers, epochs, map_epochs: mapEpochs } = study.packed;
    for (const [names, lists, rows] of [[metrics, epochs, () => 1],
      [layers, mapEpochs, (index) => study.packed.num_layers[index]]]) {
      for (const name of Object.keys(names)) {
        this.starts.set(name, runs.map(({ index }) => {
          const start = place;
          place += rows(index) * study.packed.epoch_lists[lists[index]].length;
          return start;
        }));
      }
    }
  }

  /** Returns the epochs and values of a metric such as `train_loss`. */
  metric(run, name) {
    const epochs = study.packed.epoch_lists[study.packed.epochs[run.index]];
    const [values] = this.unpack(run, name, 1, epochs.length, study.packed.metrics[name]);
    return { epochs, values };
  }

  /** Returns the epochs, the layers and one row of values for each layer. */
  matrix(run, name) {
    const epochs = study.packed.epoch_lists[study.packed.map_epochs[run.index]];
    const count = study.packed.num_layers[run.index];
    const codec = study.packed.layer_quantities[name];
    const layers = Array.from({ length: count }, (_, index) => index + 1);
    return { epochs, layers, rows: this.unpack(run, name, count, epochs.length, codec) };
  }

  unpack(run, name, numRows, numColumns, codec) {
    const integers = this.integers(run, name, numRows, numColumns);
    const beside = codec[2] && this.integers(run, codec[2], numRows, numColumns);
    return integers.map((row, y) => row.map((integer, x) =>
      decode(beside ? wrapped(integer + beside[y][x]) : integer, codec)));
  }

  integers(run, name, numRows, numColumns) {
    let place = this.starts.get(name)[run.index];
    let first = 0; // of the row, from which the next row's first is counted
    const rows = [];
    for (let row = 0; row < numRows; row += 1) {
      let integer = first;
      const values = [];
      for (let column = 0; column < numColumns; column += 1, place += 1) {
        const packed = this.low[place] + 256 * this.high[place];
        const difference = (packed >> 1) ^ -(packed & 1); // the last bit is the sign
        integer = wrapped(integer + difference);
        if (column === 0) first = integer;
        values.push(integer);
      }
      rows.push(values);
    }
    return rows;
  }
}
