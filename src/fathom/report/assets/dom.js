// Elements and texts. Whatever comes from a study enters the page as text, never as markup.

const UNSEEN = /[\u061C\u200B-\u200F\u202A-\u202E\u2060-\u2069\uFEFF]/gu;

/** Writes out characters that would turn the direction of a text around or hide in it. */
const visible = (text) => text.replace(UNSEEN, (mark) =>
  `⟨U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

/** Makes an element; children are elements or texts. Properties with a dash are attributes. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "for") made.setAttribute(key, value);
    else if (key === "style") Object.assign(made.style, value);
    else made[key] = value;
  }
  children = children.map((child) => (typeof child === "string" ? visible(child) : child));
  made.append(...children);
  return made;
}

const byId = (id) => document.getElementById(id);

const percent = (share) => (Number.isFinite(share) ? `${(100 * share).toFixed(2)} %` : "–");

/** Writes a span of gradients in decades: a sign always, an arrow where training is in danger. */
function decades(span) {
  if (Number.isNaN(span)) return "–";
  const text = Number.isFinite(span) ? Math.abs(span).toFixed(1) : "∞";
  const sign = span < 0 ? "−" : "+";
  return `${sign}${text}${span <= -3 ? " ▼" : span >= 3 ? " ▲" : ""}`;
}

/** Writes a predicted span with two standard deviations. */
function predictedDecades(run) {
  const { span_predicted: span, span_predicted_sd: sd } = run;
  if (!Number.isFinite(span) || !(sd > 0)) return decades(span);
  return `${decades(span).split(" ")[0]} ± ${(2 * sd).toFixed(1)}`;
}

function seconds(time) {
  if (!Number.isFinite(time)) return "–";
  if (time < 60) return `${time.toPrecision(2)} s`;
  const minutes = Math.floor(time / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(time % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Writes any number in few characters. */
function short(value) {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e4 || size < 1e-3 ? value.toExponential(2) : String(+value.toPrecision(4));
}

/** Makes an entry of a definition list. */
const definition = ([name, value]) =>
  element("div", {}, element("dt", {}, name), element("dd", {}, value));

/** Says how a run ended, in words. */
function outcomeText(run) {
  if (run.outcome === "diverged") return `diverged at step ${run.diverged_step}`;
  if (run.outcome === "stopped_early") return `stopped early, epoch ${run.epochs_run}`;
  return run.outcome;
}

/** Says at which epoch a run converged. */
const convergedText = (run) =>
  (Number.isNaN(run.converged_epoch) ? "–" : `epoch ${run.converged_epoch}`);

// When a verdict is given, and what it is called.
const VERDICTS = [["predicted", "verdict, predicted"], ["start", "verdict, before training"],
  ["end", "verdict, at the end"]];

const OUTCOME_SIGNS = new Map([["completed", "✓"], ["stopped_early", "◼"], ["diverged", "✕"]]);

const VERDICT_SIGNS = new Map([["healthy", "✓"], ["borderline", "≈"], ["exploding", "▲"],
  ["vanishing", "▼"], ["collapsed", "⇉"], ["dying", "◌"], ["saturated", "▬"], ["stalled", "‖"],
  ["diverged", "✕"], ["unknown", "?"]]);

/** Writes a verdict with its sign, so that it is not told by colour alone. */
function verdictText(verdict) {
  const sign = VERDICT_SIGNS.get(verdict);
  return sign ? `${sign} ${verdict}` : verdict;
}

const outcomeLabel = (outcome) =>
  [OUTCOME_SIGNS.get(outcome), outcome.replace("_", " ")].filter(Boolean).join(" ");

/** Makes a labelled select; `choose` is called with the chosen value. */
function chooser(label, options, chosen, choose) {
  const select = element("select", { onchange: () => choose(select.value) });
  for (const [value, text] of options) select.append(element("option", { value }, text));
  select.value = chosen;
  return element("label", {}, `${label} `, select);
}

/** Lets the arrow keys move through `cells`, of which one at a time is a tab stop. */
function rove(container, selector, step) {
  container.addEventListener("keydown", (event) => {
    const cells = [...container.querySelectorAll(selector)];
    const at = cells.indexOf(event.target);
    const move = { Home: -at, End: cells.length - 1 - at, ...step(cells, at) }[event.key];
    if (at < 0 || move === undefined) return;
    event.preventDefault();
    focusCell(cells, cells[Math.min(cells.length - 1, Math.max(0, at + move))]);
  }, { signal: closing.signal });
}

function focusCell(cells, target) {
  for (const cell of cells) cell.tabIndex = cell === target ? 0 : -1;
  target.focus();
}
