/** The Planner's answer: a sentence, and each setting with its bill and its 95th percentile as bars. */

import { make, plural } from "./dom.js";

const STAGES = ["setup", "idle", "active"];
const LEAST_S = 0.5; // where the axis of the 95th percentile begins

/** {element, show(answer, state, shown), say(text, keep)}. Rows stay the same elements, so that nothing flickers. */
export function resultTable() {
  const said = make("p", { className: "said", id: "planner-answer", role: "status" });
  const status = make("p", { className: "muted planner-status", id: "planner-status", role: "status" });
  const body = make("tbody");
  const heads = ["Setting", "A month", "95th percentile", "Met a cold start"].map((textContent) => make("th", { scope: "col", textContent }));
  const table = make("table", { className: "plans", hidden: true }, make("thead", {}, make("tr", {}, ...heads)), body);
  const key = make("p", { className: "key muted", hidden: true }, "The bill is for ", ...STAGES.flatMap((stage) => [make("span", { className: `swatch ${stage}` }), `${WORDS[stage]}  `]));
  const drawn = make("p", { className: "muted", id: "planner-drawn" });
  const answer = make("div", { className: "planner-answer" }, said, status);
  const element = make("section", { className: "planner-result", "aria-label": "Answer" }, answer, make("div", { className: "plans-card" }, key, table, drawn));
  const rows = new Map();

  return {
    element,
    say(text, working = false) {
      status.textContent = text;
      status.classList.toggle("working", working);
    },
    show(found, state, shown) {
      status.textContent = "";
      status.classList.remove("working");
      table.hidden = key.hidden = false;
      said.replaceChildren(...sentence(found, state.p95));
      const sorted = [...found.settings].sort((a, b) => b.keeps_up - a.keeps_up || a.usd_per_month - b.usd_per_month);
      const fit = sorted.filter((one) => one.keeps_up);
      const most = Math.max(...(fit.length ? fit : sorted).map((one) => one.usd_per_month), 0.01);
      const longest = Math.max(...sorted.map((one) => one.p95_s), state.p95 * 1.5, 10);
      const shownRows = sorted.map((one) => {
        if (!rows.has(one.name)) rows.set(one.name, makeRow(one.name));
        const row = rows.get(one.name);
        row.fill(one, { most, longest, wish: state.p95, best: one.name === found.cheapest });
        return row.element;
      });
      if (shownRows.some((row, k) => body.children[k] !== row) || body.children.length !== shownRows.length) body.replaceChildren(...shownRows);
      drawn.textContent = `${whole(found.facts)}. ${without(found, shown)}Not run on any platform.`;
    },
  };
}

const WORDS = { setup: "set-up", idle: "idle time", active: "runs" };
const whole = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;

function without(found, shown) {
  if (!found.without_card.length) return shown.profile ? "" : "There is no sample profile here: the defaults are assumed. ";
  return `${found.without_card.join(" and ")} ${found.without_card.length === 1 ? "has" : "have"} no such card. `;
}

function sentence(found, wish) {
  const best = found.settings.find((one) => one.name === found.cheapest);
  if (best) {
    const image = best.usd_per_image === null ? "" : `${price(best.usd_per_image)} an image, `;
    return [make("strong", { textContent: best.name }), ` is the cheapest with a 95th percentile within ${seconds(wish)}: `, make("strong", { textContent: `${usd(best.usd_per_month)} a month` }), `, ${image}95th percentile ${seconds(best.p95_s)}.`];
  }
  const fit = found.settings.filter((one) => one.keeps_up);
  if (!fit.length) return [make("strong", { textContent: "No setting can do this work." }), " Fewer requests or faster images would help."];
  const fastest = fit.reduce((a, b) => (b.p95_s < a.p95_s ? b : a));
  return [make("strong", { textContent: `No setting has a 95th percentile of at most ${seconds(wish)}.` }), ` The fastest is ${fastest.name} with ${seconds(fastest.p95_s)}, for ${usd(fastest.usd_per_month)} a month.`];
}

function makeRow(name) {
  const badge = make("span", { className: "badge", hidden: true });
  const facts = make("span", { className: "facts muted" });
  const cost = make("span", { className: "figure" });
  const parts = Object.fromEntries(STAGES.map((stage) => [stage, make("span", { className: stage })]));
  const p95 = make("span", { className: "figure" });
  const [wait, mark] = [make("span", { className: "wait" }), make("span", { className: "wish" })];
  const cold = make("td", { className: "cold" });
  const bars = (...inside) => make("span", { className: "bars", "aria-hidden": "true" }, ...inside);
  const element = make(
    "tr",
    { "data-name": name },
    make("th", { scope: "row" }, make("span", { textContent: name }), " ", badge, facts),
    make("td", { className: "cost" }, cost, bars(...Object.values(parts))),
    make("td", { className: "p95" }, p95, bars(wait, mark)),
    cold,
  );
  function fill(one, { most, longest, wish, best }) {
    element.classList.toggle("best", best);
    element.classList.toggle("unfit", !one.keeps_up);
    badge.hidden = !best;
    badge.textContent = `cheapest within ${seconds(wish)}`;
    const image = one.usd_per_image === null ? "" : `${price(one.usd_per_image)} an image · `;
    facts.textContent = one.keeps_up ? `${image}p50\u00a0${seconds(one.p50_s)} · p99\u00a0${seconds(one.p99_s)} · GPU\u00a0used\u00a0${share(one.utilisation)}` : "cannot do this work: its queue grows or is full";
    cost.textContent = usd(one.usd_per_month);
    for (const stage of STAGES) {
      const dollars = one.usd_by_stage[stage] ?? 0;
      parts[stage].style.width = `${Math.min((dollars / most) * 100, 100)}%`;
      parts[stage].title = `${WORDS[stage]}: ${usd(dollars)}`;
    }
    p95.textContent = seconds(one.p95_s);
    const place = (value) => `${Math.min(Math.max(Math.log(value / LEAST_S) / Math.log(longest / LEAST_S), 0.01), 1) * 100}%`;
    wait.style.width = place(one.p95_s);
    mark.style.left = place(wish);
    element.classList.toggle("late", one.keeps_up && one.p95_s > wish);
    cold.textContent = share(one.cold_share);
    cold.title = `${plural(one.instances_started, "instance")} started`;
  }
  return { element, fill };
}

export const usd = (value) => `$${value.toLocaleString("en", value < 1000 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumFractionDigits: 0 })}`;
const price = (value) => `$${value.toLocaleString("en", { maximumSignificantDigits: 2, maximumFractionDigits: 8 })}`;
const share = (value) => `${(value * 100).toLocaleString("en", { maximumFractionDigits: value < 0.1 ? 1 : 0 })}\u00a0%`;

function seconds(value) {
  if (value < 100) return `${value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 })}\u00a0s`;
  return value < 7200 ? `${Math.round(value / 60)}\u00a0min` : `${(value / 3600).toLocaleString("en", { maximumFractionDigits: 0 })}\u00a0h`;
}
