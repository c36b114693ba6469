// The columns of the table of runs: first what a run is and how it went, then everything else.

const partColumns = (key, title, text, help, more = {}) => [...PARTS].reverse()
  .map((part) => ({ key: key(part), title: title(part), numeric: true,
    text: (run) => text(run[key(part)]), help: help(part), ...more }))
  .filter((column) => runs.some((run) => Number.isFinite(run[column.key])));

const VERDICT_COLUMNS = [...VERDICTS].reverse().map(([when]) => ({
  key: `verdict_${when}`, title: `verdict ${when}`,
  text: (run) => verdictText(run[`verdict_${when}`]), hint: (run) => run[`sentence_${when}`] ?? "",
  help: "By fixed rules on the numbers of the layers; point at a cell to read why" }));

const ACCURACY_COLUMNS = partColumns((part) => `${part}_accuracy`, (part) => `${part} acc.`,
  percent, (part) => `Accuracy on the ${part} data at the last epoch`, { share: true });

const SPAN_HELP = "log10 of rms dL/dh in the first hidden layer over the last, in decades; "
  + "0 is ideal, ▼ vanishes, ▲ explodes";

const BEST_COLUMNS = [
  { key: "best_epoch", title: "best epoch", numeric: true, text: (run) => run.best_epoch || "–",
    help: study.best_note },
  { key: "best_epoch_test_accuracy", title: "test acc., best epoch", numeric: true, share: true,
    text: (run) => percent(run.best_epoch_test_accuracy),
    help: `Accuracy on the test data at the best epoch. ${study.best_note}` },
  { key: "best_epoch_test_loss", title: "test loss, best epoch", numeric: true,
    text: (run) => short(run.best_epoch_test_loss),
    help: `Loss on the test data at the best epoch, in nats. ${study.best_note}` },
];

const COLUMNS = [
  { key: "name", title: "run", text: (run) => run.name, hint: (run) => run.name },
  ...varying.map(({ name, numeric }) => ({ key: `settings.${name}`, title: name, numeric,
    text: (run) => run.settings[name], hint: (run) => run.settings[name],
    sort: (run) => (numeric ? Number(run.settings[name]) : run.settings[name]) })),
  ...(hasOtherNetworks ? [{ key: "num_layers", title: "layers", numeric: true,
    text: (run) => String(run.num_layers), help: "Layers that were measured, the last included" }]
    : []),
  { key: "outcome", title: "outcome",
    text: (run) => `${OUTCOME_SIGNS.get(run.outcome) ?? ""} ${outcomeText(run)}`,
    sort: (run) => run.outcome, hint: (run) => run.reason },
  VERDICT_COLUMNS[0],
  { key: "span_start", title: "gradient first / last, start", numeric: true,
    text: (run) => decades(run.span_start), help: `Before training: ${SPAN_HELP}` },
  { key: "span_end", title: "gradient first / last, end", numeric: true,
    text: (run) => decades(run.span_end), help: `At the last epoch: ${SPAN_HELP}` },
  ...ACCURACY_COLUMNS.slice(0, 1),
  { key: "elapsed_s", title: "time", numeric: true, text: (run) => seconds(run.elapsed_s) },
  ...VERDICT_COLUMNS.slice(1),
  { key: "span_predicted", title: "gradient first / last, predicted", numeric: true, known: true,
    text: predictedDecades,
    help: `What theory says of it before training, with two standard deviations. ${SPAN_HELP}` },
  ...ACCURACY_COLUMNS.slice(1),
  ...(hasBestEpoch ? BEST_COLUMNS : []),
  ...(hasScores ? Object.entries(study.scored).map(([key, title]) => ({ key,
    title: `${title}, best weights`, numeric: true, share: true, text: (run) => percent(run[key]),
    help: study.scored_note })) : []),
  ...partColumns((part) => `mean_${part}_accuracy`, (part) => `${part} acc., mean`, percent,
    (part) => `Accuracy on the ${part} data, mean over all epochs`),
  ...partColumns((part) => `${part}_loss`, (part) => `${part} loss`, short,
    (part) => `Loss on the ${part} data at the last epoch, in nats`),
  ...partColumns((part) => `mean_${part}_loss`, (part) => `${part} loss, mean`, short,
    (part) => `Loss on the ${part} data, mean over all epochs, in nats`),
  { key: "converged_epoch", title: "converged", numeric: true, text: convergedText,
    help: study.converged_note },
].filter(({ key, known }) => !known || runs.some((run) => Number.isFinite(run[key])));
