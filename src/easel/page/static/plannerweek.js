/** The week's rhythm: seven rows of 24 bars, drawn with the pointer or changed by the arrow keys. */

import { button, make } from "./dom.js";
import { HOURS, LEVELS } from "./plannerstate.js";

const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -24, PageDown: 24 };
const STEP = 3; // levels by which an arrow key changes an hour: 5 % of the highest

/** {element, set(levels, perDay, days)}. `change(levels)` is called after a change by hand. */
export function weekChart(change) {
  let levels = new Array(HOURS).fill(0);
  let perDay = 0;
  let names = DAYS;
  let at = 9; // the hour that the keyboard is at
  const bars = Array.from({ length: HOURS }, (_, hour) =>
    make("div", { className: "bar", role: "slider", tabIndex: -1, "data-hour": hour, "aria-valuemin": 0, "aria-valuemax": 100 }),
  );
  const labels = DAYS.map(() => make("span", { className: "day" }));
  const sums = DAYS.map(() => make("span", { className: "sum" }));
  const rows = DAYS.map((_, day) => {
    const strip = make("div", { className: "strip" }, ...bars.slice(day * 24, day * 24 + 24));
    drawOn(strip, day);
    return make("div", { className: "week-row" }, labels[day], strip, sums[day]);
  });
  const ticks = make("div", { className: "ticks", "aria-hidden": "true" }, ...[0, 6, 12, 18].map((hour) => make("span", { textContent: `${hour}:00` })));
  const told = make("span", { className: "muted" });
  const copy = button("", () => {
    const day = Math.floor(at / 24);
    const one = levels.slice(day * 24, day * 24 + 24);
    update(DAYS.flatMap(() => one));
  }, { id: "copy-day" });
  const hint = "Draw the bars. With the keyboard: ← → another hour, Page up and down another day, ↑ ↓ more or fewer requests, Home none, End the most.";
  const element = make(
    "div",
    { className: "week" },
    make("div", { role: "group", "aria-label": "Requests in each hour of the week", "aria-describedby": "week-hint" }, ...rows),
    ticks,
    make("div", { className: "row week-foot" }, told, copy),
    make("p", { className: "hint", id: "week-hint", textContent: hint }),
  );

  /** Levels between the last and this point as well: a fast pointer skips some bars. */
  function drawOn(strip, day) {
    let last;
    const draw = (event) => {
      const box = strip.getBoundingClientRect();
      const hour = clamp(Math.floor(((event.clientX - box.left) / box.width) * 24), 0, 23);
      const level = clamp(Math.round(((box.bottom - event.clientY) / box.height) * LEVELS), 0, LEVELS);
      const from = last ?? { hour, level };
      const drawn = levels.map(Math.round);
      const steps = Math.abs(hour - from.hour);
      for (let k = 0; k <= steps; k += 1) {
        const part = steps ? k / steps : 1;
        drawn[day * 24 + from.hour + k * Math.sign(hour - from.hour)] = Math.round(from.level + (level - from.level) * part);
      }
      last = { hour, level };
      move(day * 24 + hour);
      update(drawn);
    };
    strip.onpointerdown = (event) => {
      if (event.button) return;
      strip.setPointerCapture(event.pointerId);
      last = undefined;
      draw(event);
    };
    strip.onpointermove = (event) => {
      if (strip.hasPointerCapture(event.pointerId)) draw(event);
      else tell(hourOf(event, day));
    };
    strip.onpointerleave = () => tell(at);
  }
  const hourOf = (event, day) => {
    const hour = Number(event.target.dataset.hour ?? NaN);
    return Number.isNaN(hour) ? day * 24 : hour;
  };

  element.onkeydown = (event) => {
    if (!event.target.dataset.hour) return;
    const level = { ArrowUp: levels[at] + STEP, ArrowDown: levels[at] - STEP, Home: 0, End: LEVELS }[event.key];
    if (level === undefined && !(event.key in KEYS)) return;
    event.preventDefault();
    if (level !== undefined) {
      const drawn = levels.map(Math.round);
      drawn[at] = clamp(Math.round(level), 0, LEVELS);
      return update(drawn);
    }
    move((at + KEYS[event.key] + HOURS) % HOURS);
    return bars[at].focus();
  };

  function move(hour) {
    bars[at].tabIndex = -1;
    at = hour;
    bars[at].tabIndex = 0;
    copy.textContent = `Every day like ${names[Math.floor(at / 24)]}`;
    tell(at);
  }
  const anHour = (hour) => {
    const total = levels.reduce((sum, level) => sum + level, 0);
    return total ? (levels[hour] / total) * perDay * 7 : 0;
  };
  const inWords = (hour) => `${amount(anHour(hour))} requests an hour`;
  const tell = (hour) => (told.textContent = `${names[Math.floor(hour / 24)]}, ${hour % 24}:00: ${inWords(hour)}`);

  function update(drawn) {
    if (!drawn.some((level) => level > 0)) drawn[at] = 1; // a week without a request cannot be simulated
    set(drawn, perDay, DAYS);
    change(drawn);
  }
  function set(given, requestsPerDay, days = DAYS) {
    [levels, perDay, names] = [given, requestsPerDay, days];
    for (const [hour, bar] of bars.entries()) {
      bar.style.setProperty("--level", levels[hour] / LEVELS);
      bar.setAttribute("aria-valuenow", Math.round((levels[hour] / LEVELS) * 100));
      bar.setAttribute("aria-valuetext", inWords(hour));
      bar.setAttribute("aria-label", `${names[Math.floor(hour / 24)]}, ${hour % 24}:00`);
    }
    for (const [day, sum] of sums.entries()) {
      labels[day].textContent = names[day].startsWith("Day") ? names[day] : names[day].slice(0, 3);
      let requests = 0;
      for (let hour = day * 24; hour < day * 24 + 24; hour += 1) requests += anHour(hour);
      sum.textContent = amount(requests);
    }
    move(at);
  }
  return { element, set };
}

export const TRACE_DAYS = DAYS.map((_, day) => `Day ${day + 1}`);

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const amount = (value) => value.toLocaleString("en", value < 10 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 0 });
