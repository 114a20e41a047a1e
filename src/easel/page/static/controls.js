/**
 * One control for each kind of input. Each is {element, target, get, set}: `target` takes the focus and the label,
 * `get` gives the value or undefined when nothing is filled in, `set(undefined)` empties it. `change` is called after
 * every change by hand.
 */

import { button, diceIcon, make } from "./dom.js";

export function textControl(input, id, change) {
  const target = make("textarea", { id, rows: input.name.includes("prompt") ? 3 : 1, spellcheck: false, oninput: change });
  return {
    element: target,
    target,
    get: () => (target.value === "" ? undefined : target.value),
    set: (value) => (target.value = value ?? input.default ?? ""),
  };
}

export function secretControl(input, id, change) {
  const target = make("input", { id, type: "password", autocomplete: "off", spellcheck: false, oninput: change });
  target.placeholder = "not set";
  const show = button("Show", () => {
    const hidden = target.type === "text";
    target.type = hidden ? "password" : "text";
    show.textContent = hidden ? "Show" : "Hide";
    show.setAttribute("aria-pressed", String(!hidden));
  }, { "aria-pressed": "false", "aria-label": `Show ${input.name}` });
  return {
    element: make("div", { className: "row" }, target, show),
    target,
    secret: true,
    get: () => target.value || undefined,
    set: (value) => (target.value = value ?? ""),
  };
}

export function toggleControl(input, id, change) {
  const target = make("input", { id, type: "checkbox", role: "switch", onchange: change });
  return {
    element: target,
    target,
    get: () => target.checked,
    set: (value) => (target.checked = value ?? input.default ?? false),
  };
}

const FEW = 4; // So many choices are all in sight; more are a list.

export function choiceControl(input, id, change) {
  if (input.choices.length > FEW) return listOfChoices(input, id, change);
  const radios = input.choices.map((choice, k) =>
    make("input", { type: "radio", name: id, id: k ? `${id}-${k}` : id, value: choice, onchange: change }),
  );
  const labels = radios.map((radio, k) => make("label", {}, radio, make("span", { textContent: input.choices[k] })));
  const chosen = () => radios.findIndex((radio) => radio.checked);
  return {
    element: make("div", { className: "segments", role: "radiogroup" }, ...labels),
    target: radios[0],
    group: true,
    get: () => input.choices[chosen()],
    set: (value) => radios.forEach((radio, k) => (radio.checked = input.choices[k] === (value ?? input.default))),
  };
}

function listOfChoices(input, id, change) {
  const options = input.choices.map((choice, k) => make("option", { value: String(k), textContent: choice }));
  if (!input.required && input.default === undefined) options.unshift(make("option", { value: "", textContent: "not set" }));
  const target = make("select", { id, onchange: change }, ...options);
  return {
    element: target,
    target,
    get: () => input.choices[target.value === "" ? -1 : Number(target.value)],
    set: (value) => {
      const k = input.choices.indexOf(value ?? input.default);
      target.value = k < 0 ? "" : String(k);
    },
  };
}

/** What is no number is given as the text that it is, so that it is refused rather than dropped. */
function numberOf(text) {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

export function numberControl(input, id, change) {
  // Not type=number: that hides what it does not understand, and changes when the wheel turns above it.
  const target = make("input", { id, type: "text", inputMode: input.integer ? "numeric" : "decimal", className: "number" });
  target.autocomplete = "off";
  target.placeholder = input.default === undefined ? "not set" : String(input.default);
  const { minimum: low, maximum: high } = input;
  const sliding = low !== undefined && high !== undefined && input.kind !== "seed";
  const slider = sliding && make("input", { type: "range", min: low, max: high, "aria-label": `${input.name}, slider` });
  function follow() {
    if (!slider) return;
    const value = numberOf(target.value);
    slider.value = typeof value === "number" ? value : (input.default ?? low);
    slider.classList.toggle("unset", value === undefined && input.default === undefined);
  }
  if (slider) {
    slider.step = input.integer ? 1 : high - low > 5 ? 0.1 : 0.01;
    slider.oninput = () => {
      target.value = slider.value;
      follow();
      change();
    };
  }
  target.oninput = () => {
    follow();
    change();
  };
  target.onkeydown = (event) => {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const value = numberOf(target.value) ?? input.default ?? low ?? 0;
    if (!step || typeof value !== "number") return;
    event.preventDefault();
    const next = value + step * Number(slider ? slider.step : 1);
    target.value = String(Number(Math.min(high ?? next, Math.max(low ?? next, next)).toFixed(4)));
    target.oninput();
  };
  const set = (value) => {
    target.value = value ?? input.default ?? "";
    follow();
  };
  return { element: make("div", { className: "row" }, ...(slider ? [slider, target] : [target])), target, get: () => numberOf(target.value), set };
}

export function seedControl(input, id, change) {
  const control = numberControl(input, id, change);
  control.target.placeholder = "random";
  const dice = button("", () => {
    const [drawn] = crypto.getRandomValues(new Uint32Array(1));
    const low = input.minimum ?? 0;
    control.set(low + (drawn % ((input.maximum ?? 2 ** 32 - 1) - low + 1)));
    change();
  }, { className: "small dice", title: "Draw a seed", "aria-label": "Draw a seed" });
  dice.append(diceIcon());
  const empty = button("Random", () => {
    control.set(undefined);
    change();
  }, { title: "A new seed for each run" });
  control.element.append(dice, empty);
  return control;
}

/** Whatever has no control of its own, as JSON. */
export function jsonControl(input, id, change) {
  const target = make("textarea", { id, rows: 3, spellcheck: false, className: "code", placeholder: "JSON", oninput: change });
  return {
    element: target,
    target,
    get: () => {
      if (!target.value.trim()) return undefined;
      try {
        return JSON.parse(target.value);
      } catch {
        return target.value;
      }
    },
    set: (value) => {
      const shown = value ?? input.default;
      target.value = shown === undefined ? "" : JSON.stringify(shown, null, 2);
    },
  };
}
