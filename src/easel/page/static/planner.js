/** The Planner: what traffic costs on each platform, and how long it waits, while its sliders move. */

import { call } from "./api.js";
import { button, byId, make } from "./dom.js";
import { assumptions } from "./plannerassumed.js";
import { knobGroups, knobsOf, shownNumber } from "./plannerknobs.js";
import { resultTable } from "./plannerresult.js";
import { firstState, flat, levelsOf, office, questionOf, readFragment, usePreset, writeFragment } from "./plannerstate.js";
import { readTrace, rhythmOf } from "./plannertrace.js";
import { TRACE_DAYS, weekChart } from "./plannerweek.js";

const QUIET_MS = 100; // after a change, before it is asked
const AGAIN_MS = 400; // after another page's question came first
const SLOW_MS = 700; // an answer that takes longer is announced

export async function showPlanner() {
  document.title = "Planner – Easel";
  byId("main").hidden = byId("about").hidden = document.querySelector(".skip").hidden = true;
  document.querySelector('.top [href="/planner"]').setAttribute("aria-current", "page");
  byId("title").textContent = "Planner";
  byId("served").textContent = "what your traffic costs on each platform";
  const section = byId("planner");
  section.hidden = false;
  let shown;
  try {
    shown = await call("GET", "/page/planner.json");
  } catch (problem) {
    return section.replaceChildren(make("p", { className: "notice", textContent: problem.message }));
  }
  if (shown.missing) return section.replaceChildren(...missing(shown.missing));
  return new Planner(shown).begin(section);
}

function missing(name) {
  const command = make("code", { textContent: "pip install 'easel[plan]'" });
  return [make("p", { className: "notice" }, `The Planner needs the package ${name}, which is not installed. Stop the page, install the extra, and start it again: `, command)];
}

class Planner {
  constructor(shown) {
    this.shown = shown;
    this.knobList = knobsOf(shown);
    this.base = firstState(shown, this.knobList);
    for (const knob of this.knobList) knob.initial = this.base[knob.id];
    this.state = { ...this.base };
    this.knobs = knobGroups(this.knobList, (id, value) => this.change({ [id]: value }));
    this.week = weekChart((week) => this.drawn(week));
    this.result = resultTable();
    this.ready = shown.ready;
  }

  begin(section) {
    section.replaceChildren(this.controls(), this.result.element);
    this.result.element.append(assumptions(this.shown));
    window.ondragover = (event) => {
      event.preventDefault();
      this.zone.classList.add("over");
    };
    window.ondragleave = (event) => event.relatedTarget ?? this.zone.classList.remove("over");
    window.ondrop = (event) => {
      event.preventDefault();
      this.zone.classList.remove("over");
      this.take(event.dataTransfer.files);
    };
    window.onhashchange = () => this.open();
    this.open();
  }

  /** Take over what the address says. */
  open() {
    this.state = readFragment(location.hash, this.base, this.shown, this.knobList);
    this.render();
    this.schedule(0);
  }

  controls() {
    const { groups } = this.knobs;
    const cards = [...new Set(this.shown.platforms.flatMap((platform) => Object.keys(platform.cards)))].sort();
    this.card = make("select", { id: "card", onchange: () => this.change({ card: this.card.value }) }, ...cards.map((card) => make("option", { value: card, textContent: card.toUpperCase() })));
    const card = make("div", { className: "knob" }, make("div", { className: "head" }, make("label", { className: "label", for: "card", textContent: "Card" })), this.card, make("p", { className: "hint", textContent: this.cardHint() }));
    const group = (title, ...parts) => make("section", { className: "knobs", "aria-label": title }, make("h2", { textContent: title }), ...parts);
    const [wish] = groups.get("Your wish");
    return make(
      "form",
      { className: "controls", onsubmit: (event) => event.preventDefault() },
      group("Traffic", this.presets(), this.week.element, this.trace(), ...groups.get("Traffic")),
      group("Your wish", wish),
      group("Your model", card, ...groups.get("Your model")),
      group("Platforms", ...groups.get("Platforms")),
      button("All defaults", () => this.reset(), { className: "small", id: "defaults" }),
    );
  }

  cardHint() {
    const { profile } = this.shown;
    return profile ? `The defaults are those of ${profile.name}. With another card, move the seconds as well.` : "Another card has other seconds.";
  }

  presets() {
    const samples = this.shown.weeks.map((week) => [week.name, week.about, () => usePreset(this.state, week)]);
    const own = (preset, week) => () => Object.assign(this.state, { preset, week: week(), trace: undefined });
    const all = [...samples, ["flat", "The same in every hour.", own("flat", flat)], ["office", "Office hours, Monday to Friday.", own("office", office)]];
    this.buttons = all.map(([name, about, use]) =>
      button(`${name[0].toUpperCase()}${name.slice(1)}`, () => {
        use();
        this.render();
        this.schedule();
      }, { "data-preset": name, title: about }),
    );
    return make("div", { className: "presets row", role: "group", "aria-label": "Examples" }, ...this.buttons);
  }

  trace() {
    const picker = make("input", { type: "file", hidden: true, accept: ".csv,.txt,.parquet", id: "trace-file" });
    picker.onchange = () => {
      this.take(picker.files);
      picker.value = "";
    };
    const choose = button("Choose a file", () => picker.click());
    this.remove = button("Remove", () => {
      this.leaveTrace();
      choose.focus();
    }, { hidden: true, "aria-label": "Remove the trace" });
    this.caption = make("p", { className: "caption", id: "trace" });
    this.traceError = make("p", { className: "error", role: "alert", id: "trace-error", hidden: true });
    const row = make("div", { className: "row" }, choose, make("span", { className: "or muted", textContent: "or drop a trace here: .csv with a column seconds or time" }), this.remove);
    this.zone = make("div", { className: "drop" }, make("div", { className: "drop-parts" }, this.caption, row), picker);
    return make("div", { className: "knob" }, this.zone, this.traceError);
  }

  async take([file]) {
    if (!file) return;
    try {
      const trace = await readTrace(file, this.shown.most_arrivals);
      const requests = trace.arrivals.length / trace.days;
      Object.assign(this.state, { trace, week: levelsOf(rhythmOf(trace)), preset: "", requests, bursts: 0, uneven: 1 });
      this.render();
      this.schedule();
    } catch (error) {
      this.traceError.textContent = error.message;
      this.traceError.hidden = false;
    }
  }

  /** Go on with the week that the trace had, as one that can be drawn. */
  leaveTrace() {
    const mean = Math.min(Math.max(this.state.requests, 1), this.shown.most_requests_per_day);
    Object.assign(this.state, { trace: undefined, requests: Number(mean.toPrecision(3)), week: this.state.week.map(Math.round) });
    this.render();
    this.schedule();
  }

  drawn(week) {
    Object.assign(this.state, { week, preset: "" });
    if (this.state.trace) return this.leaveTrace();
    this.render();
    return this.schedule();
  }

  change(part) {
    Object.assign(this.state, part);
    this.render(false);
    this.schedule();
  }

  reset() {
    this.state = { ...this.base };
    this.render();
    this.schedule();
  }

  render(withKnobs = true) {
    const { state } = this;
    const { trace } = state;
    if (withKnobs) this.knobs.set(state);
    this.card.value = state.card;
    this.week.set(state.week, state.requests, trace ? TRACE_DAYS : undefined);
    for (const one of this.buttons) one.setAttribute("aria-pressed", String(one.dataset.preset === state.preset));
    this.traceError.hidden = true;
    this.remove.hidden = !trace;
    this.caption.textContent = trace ? `${trace.name}: ${shownNumber(trace.arrivals.length)} arrivals in ${trace.days} days. Not a part of the address, which has its week alone.` : "";
    for (const id of ["requests", "bursts", "uneven"]) byId(`knob-${id}`)?.closest(".knob").toggleAttribute("hidden", Boolean(trace));
  }

  /** Ask soon. While an answer is under way nothing else is asked: the newest state follows it at once. */
  schedule(wait = QUIET_MS) {
    this.changed = true;
    this.result.element.setAttribute("aria-busy", "true");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), wait);
  }

  async ask() {
    if (this.asking) return;
    this.asking = true;
    const slow = setTimeout(() => this.result.say(this.ready ? "Simulating" : "Compiling the simulation, which is done once and takes up to half a minute", true), this.ready ? SLOW_MS : 0);
    let pause = 0;
    try {
      this.changed = false;
      history.replaceState(null, "", `${location.pathname}${prefixed(writeFragment(this.state, this.base, this.shown, this.knobList))}`);
      const answer = await call("POST", "/page/planner", questionOf(this.state, this.shown));
      this.ready = true;
      this.result.show(answer, this.state, this.shown);
      this.noteColdStarts(answer);
    } catch (problem) {
      if (problem.status === 429) [this.changed, pause] = [true, AGAIN_MS];
      else this.result.say(problem.message);
    } finally {
      clearTimeout(slow);
      this.asking = false;
    }
    if (this.changed) this.schedule(pause);
    else this.result.element.setAttribute("aria-busy", "false");
  }

  noteColdStarts(answer) {
    const titles = Object.fromEntries(this.shown.platforms.filter((one) => !one.sized).map((one) => [one.name, one.title]));
    const seconds = new Map();
    for (const one of answer.settings) if (titles[one.platform] && !seconds.has(one.platform)) seconds.set(one.platform, one.cold_start_s);
    const words = [...seconds].map(([name, value]) => `${titles[name]} ${shownNumber(value)} s`).join(", ");
    this.knobs.note("setup", words && `With boot and the weights' fetch, on average: ${words}.`);
  }
}

const prefixed = (fragment) => (fragment ? `#${fragment}` : "");
