/** What the Planner's controls hold, as the page's fragment and as a question to the server. */

export const HOURS = 168;
export const LEVELS = 63; // a drawn hour is one of 64 levels: one character each in the address
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BURSTS = { per_day: 0, factor: 10, minutes: 8 };

export const flat = () => new Array(HOURS).fill(LEVELS);
export const office = () => Array.from({ length: HOURS }, (_, hour) => (hour < 120 && hour % 24 >= 8 && hour % 24 < 18 ? LEVELS : 3));

/** Weights of any scale as levels; the largest is the highest. Exact for what is not drawn. */
export function levelsOf(weights) {
  const most = Math.max(...weights);
  return most > 0 ? weights.map((weight) => (weight / most) * LEVELS) : flat();
}

/** The state that the Planner begins with; `shown` is /page/planner.json. */
export function firstState(shown, knobs) {
  const state = { card: shown.profile?.hardware ?? "l40s", preset: "flat", week: flat(), burst: BURSTS, trace: undefined };
  for (const knob of knobs) state[knob.id] = knob.initial;
  const first = shown.weeks.find((week) => week.name === "shop") ?? shown.weeks[0];
  if (first) usePreset(state, first);
  return state;
}

/** Take over a sample's week, with its volume, bursts and unevenness. */
export function usePreset(state, week) {
  const bursts = week.bursts ?? BURSTS;
  Object.assign(state, { preset: week.name, week: levelsOf(week.week), trace: undefined });
  Object.assign(state, { requests: week.requests_per_day, uneven: week.variation, bursts: bursts.per_day, burst: bursts });
}

/** The fragment without #: what differs from `base`. A trace is not in it, only its week. */
export function writeFragment(state, base, shown, knobs) {
  const parts = new URLSearchParams();
  if (state.card !== base.card) parts.set("card", state.card);
  if (!state.preset) parts.set("week", state.week.map((level) => LETTERS[Math.round(level)]).join(""));
  else if (state.preset !== base.preset) parts.set("preset", state.preset);
  const read = readFragment(parts.toString(), base, shown, knobs);
  for (const { id } of knobs) if (state[id] !== read[id]) parts.set(id, String(state[id]));
  return parts.toString();
}

/** A copy of `base` with what the fragment says. What cannot be is left out. */
export function readFragment(text, base, shown, knobs) {
  const state = { ...base };
  const parts = new URLSearchParams(text.replace(/^#/, ""));
  const card = parts.get("card");
  if (shown.platforms.some((platform) => card in platform.cards)) state.card = card;
  const preset = shown.weeks.find((week) => week.name === parts.get("preset"));
  if (preset) usePreset(state, preset);
  else if (parts.get("preset") === "flat") Object.assign(state, { preset: "flat", week: flat() });
  else if (parts.get("preset") === "office") Object.assign(state, { preset: "office", week: office() });
  const week = parts.get("week");
  if (week?.length === HOURS && [...week].every((letter) => LETTERS.includes(letter))) {
    Object.assign(state, { preset: "", week: [...week].map((letter) => LETTERS.indexOf(letter)) });
  }
  for (const { id, low, high } of knobs) {
    const value = Number(parts.get(id) ?? NaN);
    if (value >= low && value <= high) state[id] = value;
    else if (!preset) state[id] = base[id];
  }
  return state;
}

/** The body of POST /page/planner. */
export function questionOf(state, shown) {
  const spread = ratios(shown.profile);
  const seconds = (median, ratio) => ({ median, p95: median * ratio });
  const platforms = shown.platforms.map(({ name, sized }) => {
    const change = { price: state[`price-${name}`] };
    if (!sized) change.idle_seconds = state[`idle-${name}`];
    return [name, change];
  });
  return {
    ...(state.trace ? { trace: state.trace.arrivals } : { drawn: weekOf(state) }),
    card: state.card,
    run_seconds: seconds(state.run, spread.run),
    first_run_seconds: seconds(state.run + state.first, spread.first),
    setup_seconds: seconds(state.setup, spread.setup),
    weights_bytes: state.weights * 1e9,
    platforms: Object.fromEntries(platforms),
    p95_seconds: state.p95,
  };
}

function weekOf(state) {
  const week = { week: state.week, requests_per_day: state.requests, variation: state.uneven };
  return state.bursts ? { ...week, bursts: { ...state.burst, per_day: state.bursts } } : week;
}

/** 95th percentile by median of each time: the sliders move the median, and keep how wide the times are spread. */
export function ratios(profile) {
  const of = (figure, otherwise) => (figure?.median ? figure.p95 / figure.median : otherwise);
  return { run: of(profile?.run_seconds, 1.2), first: of(profile?.first_run_seconds, 2), setup: of(profile?.setup_seconds, 2) };
}
