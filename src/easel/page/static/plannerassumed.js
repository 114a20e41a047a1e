/** What the Planner assumes: every figure with its range, source and date, as the data files have them. */

import { make } from "./dom.js";

const FIGURES = {
  host_usd_per_second: "processor and memory, USD a second",
  usd_per_month: "fee, USD a month",
  credit_usd_per_month: "credit, USD a month",
  idle_seconds: "idle window, s",
  boot_seconds: "boot, s",
  fetch_bytes_per_second: "weights' fetch, bytes a second",
  waiting_per_slot: "waiting requests that ask for one more instance",
  losses_per_day: "losses of an instance, a day",
};
const TIMES = { setup_seconds: "set-up, s", first_run_seconds: "first run, s", run_seconds: "run, s", weights_bytes: "weights, bytes" };

export function assumptions(shown) {
  const profile = shown.profile && part(shown.profile.name, Object.entries(TIMES).map(([name, label]) => ofProfile(label, shown.profile[name])), []);
  return make(
    "details",
    { className: "more assumed", id: "assumed" },
    make("summary", { textContent: "What is assumed, from where and of which date" }),
    make("ul", {}, ...shown.rules.map((textContent) => make("li", { textContent }))),
    make("p", { className: "hint", textContent: "The sliders replace what they name. Each setting is simulated once, with the likely figures; easel simulate also moves the unknown ones over their ranges." }),
    profile,
    ...shown.platforms.map((platform) => part(platform.title, ofPlatform(platform), [...platform.notes, ...ownStarts(platform)])),
  );
}

function part(title, figures, notes) {
  const list = make("dl", {}, ...figures.flatMap(([label, value, source]) => [make("dt", {}, label), make("dd", {}, make("b", { textContent: value }), ` ${source}`)]));
  return make("section", {}, make("h3", { textContent: title }), list, make("ul", {}, ...notes.map((textContent) => make("li", { textContent }))));
}

function ofProfile(label, { value, median, p95, mean, samples, origin, source }) {
  const words = median ? `median ${number(median)}, 95th percentile ${number(p95)}` : mean ? `mean ${number(mean)}` : samples ? `${samples.length} samples` : number(value ?? 0);
  return [label, words, `${origin}: ${source}`];
}

function ofPlatform(platform) {
  const cards = Object.entries(platform.cards).map(([card, figure]) => [`${card}, USD a second`, figure]);
  const others = Object.entries(FIGURES).map(([name, label]) => [label, platform[name]]);
  return [...cards, ...others].map(([label, { value, low, high, source, date }]) => [
    label,
    `${number(value)}${low === null ? "" : ` (${number(low)} to ${number(high)})`}`,
    `${source}; ${date}`,
  ]);
}

function ownStarts(platform) {
  return platform.settings
    .filter((setting) => setting.setup_seconds)
    .map(({ name, setup_seconds: one }) => `${name}: starts in ${number(one.median ?? one.value)} s (95th percentile ${number(one.p95 ?? one.value)} s) whatever the sliders say; ${one.origin}: ${one.source}`);
}

const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 6 });
