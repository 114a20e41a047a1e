/** The Planner's sliders: what each means, its range and default, and the control that it becomes. */

import { make } from "./dom.js";

const STEPS = 240; // of a slider, over its whole range

const TRAFFIC = "Traffic";
const MODEL = "Your model";
const PRICES = "Platforms";

/** All sliders, by group. `shown` is /page/planner.json, with the defaults and their sources. */
export function knobsOf(shown) {
  const median = (name, otherwise) => shown.profile?.[name]?.median ?? otherwise;
  const bytes = shown.profile?.weights_bytes?.value ?? 20e9;
  const run = median("run_seconds", 2.4);
  return [
    { id: "requests", group: TRAFFIC, label: "Requests a day", low: 1, high: shown.most_requests_per_day, log: true, initial: 1000, about: "The mean over the week, without bursts." },
    { id: "bursts", group: TRAFFIC, label: "Bursts a day", low: 0, high: 24, initial: 0, digits: 0, about: "At random times. Each is 10 times the rate for 8 minutes, where a sample does not say otherwise." },
    { id: "uneven", group: TRAFFIC, label: "Unevenness", low: 0.5, high: 5, log: true, initial: 1, about: "Of the gaps between requests, their coefficient of variation. 1: independent people (Poisson); more: requests come in clusters." },
    { id: "run", group: MODEL, label: "GPU seconds an image", unit: "s", low: 0.1, high: 120, log: true, initial: run, about: "Median of a run on a warm card." },
    { id: "setup", group: MODEL, label: "Cold start: set-up", unit: "s", low: 0.5, high: 600, log: true, initial: median("setup_seconds", 15), about: "Median from the process's start until it is ready, weights on a local disk." },
    { id: "first", group: MODEL, label: "Cold start: slower first run", unit: "s", low: 0, high: 30, initial: round(median("first_run_seconds", run) - run, 2), digits: 1, about: "So much longer than the others." },
    { id: "weights", group: MODEL, label: "Cold start: weights", unit: "GB", low: 0.1, high: 200, log: true, initial: round(bytes / 1e9, 3), about: "What a new machine fetches first." },
    ...shown.platforms.flatMap(platformKnobs),
    { id: "p95", group: "Your wish", label: "95th percentile at most", unit: "s", low: 0.5, high: 600, log: true, initial: 10, about: "19 of 20 requests are to be answered within this time." },
  ];
}

function platformKnobs({ name, title, sized, idle_seconds: idle }) {
  const price = { id: `price-${name}`, group: PRICES, label: `${title}: price`, unit: "×", low: 0.25, high: 4, log: true, initial: 1, about: "A factor on the list price of a second." };
  if (sized) return [{ ...price, about: "A factor on the assumed rent, which is the figure that varies most." }];
  const range = idle.low === null ? "" : ` It is not known exactly: ${idle.low} to ${idle.high} s.`;
  const about = `How long an instance without a request is kept.${range}`;
  return [price, { id: `idle-${name}`, group: PRICES, label: `${title}: idle window`, unit: "s", low: 2, high: 1200, log: true, initial: idle.value, about }];
}

/** {element, set, disable}: a slider with a number beside it. `change(value)` is called after a change by hand. */
export function knobControl(knob, change) {
  const { id, low, high, unit = "" } = knob;
  const number = make("input", { type: "text", inputMode: "decimal", className: "number", id: `knob-${id}`, autocomplete: "off" });
  const slider = make("input", { type: "range", min: 0, max: STEPS, step: 1, id: `slider-${id}`, "aria-label": `${knob.label}, slider` });
  if (!knob.log) Object.assign(slider, { min: low, max: high, step: 10 ** -knob.digits });
  const error = make("p", { className: "error", id: `knob-${id}-error`, role: "status", hidden: true });
  const hint = make("p", { className: "hint", id: `knob-${id}-hint`, textContent: knob.about });
  const more = make("p", { className: "hint", hidden: true });
  const limits = make("span", { className: "limits", textContent: `${shownNumber(low)} to ${shownNumber(high)}${unit && ` ${unit}`}, default ${shownNumber(knob.initial)}` });
  const head = make("div", { className: "head" }, make("label", { className: "label", for: number.id, textContent: knob.label }), limits);
  const row = make("div", { className: "row" }, slider, number, make("span", { className: "unit muted", textContent: unit }));
  const element = make("div", { className: "knob" }, head, row, error, hint, more);
  number.setAttribute("aria-describedby", `${error.id} ${hint.id}`);

  const place = (value) => (knob.log ? (Math.log(value / low) / Math.log(high / low)) * STEPS : value);
  function follow(value) {
    slider.value = place(value);
    slider.setAttribute("aria-valuetext", `${shownNumber(value)} ${unit}`.trim());
  }
  function refuse(text) {
    error.hidden = !text;
    error.textContent = text;
    element.classList.toggle("wrong", Boolean(text));
    number.setAttribute("aria-invalid", String(Boolean(text)));
  }
  slider.oninput = () => {
    const at = Number(slider.value);
    const exact = knob.log ? low * (high / low) ** (at / STEPS) : at;
    const value = Math.min(Math.max(Number(exact.toPrecision(exact >= 100 ? 3 : 2)), low), high);
    number.value = shownNumber(value);
    slider.setAttribute("aria-valuetext", `${number.value} ${unit}`.trim());
    refuse("");
    change(value);
  };
  number.oninput = () => {
    const value = Number(number.value.replaceAll(",", "") || NaN);
    if (!(value >= low && value <= high)) return refuse(`It must be a number from ${shownNumber(low)} to ${shownNumber(high)}.`);
    refuse("");
    follow(value);
    return change(value);
  };
  return {
    element,
    set(value) {
      refuse("");
      number.value = shownNumber(value);
      follow(value);
    },
    note(text) {
      more.hidden = !text;
      more.textContent = text;
    },
  };
}

/** All sliders under their groups: {elements by group's name, set(state), note(id, text)}. */
export function knobGroups(knobs, change) {
  const controls = new Map(knobs.map((knob) => [knob.id, knobControl(knob, (value) => change(knob.id, value))]));
  const groups = new Map();
  for (const knob of knobs) groups.set(knob.group, [...(groups.get(knob.group) ?? []), controls.get(knob.id).element]);
  return {
    groups,
    set: (state) => controls.forEach((control, id) => control.set(state[id])),
    note: (id, text) => controls.get(id).note(text),
  };
}

const round = (value, digits) => Number(value.toPrecision(digits));

export const shownNumber = (value) => value.toLocaleString("en", { maximumSignificantDigits: value >= 1000 ? 6 : 3 });
