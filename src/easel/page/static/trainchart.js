/** The loss of a training as a line, out of its log: tqdm's bars tell the step and the mean loss of the last ones. */

import { make } from "./dom.js";

const SPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, EDGE] = [560, 180, 66, 24, 8];
const MOST = 400; // points of the line
const BAR = /(\d+)\/(\d+) \[[^\]\n]*?\bloss[=:]\s*(\d[\d.e+-]*)/g;

/** {total, points: [[step, loss]]} by step; of a step that was done twice the later one. */
export function readLosses(logs) {
  const found = new Map();
  let total = 0;
  for (const [, step, all, loss] of (logs ?? "").matchAll(BAR)) {
    if (!Number.isFinite(Number(loss))) continue;
    found.set(Number(step), Number(loss));
    total = Number(all);
  }
  return { total, points: [...found].sort(([one], [other]) => one - other) };
}

/** {element, draw(logs)}: hidden until there are two points. */
export function lossChart() {
  const line = shape("polyline", { class: "line" });
  const frame = shape("path", { class: "axis", d: `M${LEFT} ${EDGE}V${HEIGHT - BOTTOM}H${WIDTH - EDGE}` });
  const high = shape("text", { x: LEFT - 6, y: EDGE + 9, "text-anchor": "end" });
  const low = shape("text", { x: LEFT - 6, y: HEIGHT - BOTTOM, "text-anchor": "end" });
  const last = shape("text", { x: WIDTH - EDGE, y: HEIGHT - 6, "text-anchor": "end" });
  const first = shape("text", { x: LEFT, y: HEIGHT - 6 });
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart" });
  svg.append(frame, line, high, low, first, last);
  const caption = make("figcaption", { className: "muted" });
  const element = make("figure", { className: "losses", hidden: true }, svg, caption);

  function draw(logs) {
    const { total, points } = readLosses(logs);
    element.hidden = points.length < 2;
    if (element.hidden) return;
    const values = points.map(([, loss]) => loss);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const across = (step) => LEFT + (step / Math.max(1, total)) * (WIDTH - EDGE - LEFT);
    const down = (loss) => HEIGHT - BOTTOM - 4 - ((loss - least) / (most - least || 1)) * (HEIGHT - BOTTOM - EDGE - 8);
    const every = Math.ceil(points.length / MOST);
    const shown = points.filter((_, k) => k % every === 0 || k === points.length - 1);
    line.setAttribute("points", shown.map(([step, loss]) => `${across(step).toFixed(1)},${down(loss).toFixed(1)}`).join(" "));
    high.textContent = most.toPrecision(3);
    low.textContent = least.toPrecision(3);
    first.textContent = "step 0";
    last.textContent = String(total);
    const [step, loss] = points.at(-1);
    caption.textContent = `Loss ${loss.toPrecision(3)} at step ${step} of ${total}; ${values[0].toPrecision(3)} at step ${points[0][0]}.`;
    svg.setAttribute("aria-label", caption.textContent);
  }
  return { element, draw };
}

function shape(tag, attributes) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
