/** A training that is watched: its state, progress, validation images, loss and logs, cancel, and what it made. */

import { runPath, versionPath } from "./address.js";
import { cancelTraining, fetchTraining } from "./api.js";
import { button, formatSeconds, make, shownAddress } from "./dom.js";
import { plainError } from "./errors.js";
import { readLogs } from "./logs.js";
import { isOver, Run } from "./run.js";
import { lossChart } from "./trainchart.js";
import { imageRow, readImages } from "./trainimages.js";
import { fileName } from "./values.js";

const CALLS = { fetch: fetchTraining, cancel: cancelTraining, pollMs: 1000 };
const WORDS = {
  sending: "Sending the images",
  starting: "Waiting for the trainer",
  processing: "Training",
  succeeded: "Done",
  failed: "Failed",
  refused: "Not started",
  canceled: "Canceled",
  aborted: "Canceled",
};

export class Watch {
  /** `api` is the API's address. */
  constructor(api) {
    this.api = api;
    this.alert = make("div", { role: "alert" });
    this.dot = make("span", { className: "dot", "aria-hidden": "true" });
    this.state = make("span", { role: "status", id: "training-state" });
    this.time = make("span", { className: "time" });
    this.progress = make("progress", { max: 100, "aria-label": "Progress" });
    this.steps = make("span");
    this.row = make("div", { className: "progress-row" }, this.progress, this.steps);
    this.stop = button("Cancel", () => this.cancel(), { className: "small danger", id: "training-cancel" });
    this.images = imageRow();
    this.chart = lossChart();
    this.log = make("pre", { tabIndex: 0, "aria-label": "Logs of the training" });
    this.logs = make("details", { className: "more", hidden: true }, make("summary", { textContent: "Logs" }), this.log);
    this.made = make("div", { className: "row made" });
    const line = make("div", { className: "run-state" }, this.dot, this.state, this.time, this.stop);
    this.element = make("section", { id: "training", className: "training", tabIndex: -1, "aria-label": "Training", hidden: true }, make("h2", { textContent: "Training" }), this.alert, line, this.row, this.made, this.images.element, this.chart.element, this.logs);
  }

  get busy() {
    return Boolean(this.run);
  }

  /** Begin with a training that is not there yet: `create` makes it. Resolves at its end; raises what `create` does. */
  async start(create, prompt) {
    this.begin(new Date(), prompt);
    this.show({ status: "sending" });
    let training;
    try {
      training = await create();
    } catch (problem) {
      this.end({ status: "refused" });
      throw problem;
    }
    history.replaceState({}, "", runPath(training.id)); // where it is found again
    await this.follow(training, prompt);
  }

  /** Show a training to its end. `prompt` is what the result is tried with. */
  async follow(training, prompt) {
    if (!this.run) this.begin(new Date(training.created_at ?? Date.now()), prompt);
    let last = training;
    try {
      last = await this.run.follow(training);
    } catch (problem) {
      this.fail(problem.message);
    }
    this.end(last, prompt);
  }

  begin(since, prompt) {
    this.prompt = prompt;
    this.run = new Run((training) => (training.problem ? this.fail(training.problem.message) : this.show(training)), CALLS);
    this.alert.replaceChildren();
    this.made.replaceChildren();
    this.element.hidden = this.row.hidden = this.stop.hidden = false;
    this.stop.removeAttribute("aria-disabled");
    this.stop.textContent = "Cancel";
    this.progress.removeAttribute("value");
    this.steps.textContent = this.state.textContent = "";
    this.logs.hidden = true;
    this.images.clear();
    this.chart.draw("");
    const tick = () => (this.time.textContent = formatSeconds(Math.max(0, Date.now() - since) / 1000));
    this.clock = setInterval(tick, 500);
    tick();
  }

  cancel() {
    this.run?.cancel();
    this.stop.setAttribute("aria-disabled", "true");
    this.stop.textContent = "Canceling";
  }

  show({ status, logs, metrics, input }) {
    const words = WORDS[status] ?? status;
    if (this.state.textContent !== words) this.state.textContent = words; // announced, so only when it changes
    this.dot.className = `dot ${status}`;
    const { text, progress } = readLogs(logs ?? "");
    if (progress) {
      this.progress.value = progress.percent;
      this.steps.textContent = `${progress.done} of ${progress.total}`;
    }
    this.images.show(readImages(metrics, this.api), progress?.total, input?.validation_prompt ?? this.prompt);
    this.chart.draw(logs);
    this.logs.hidden = !text;
    this.log.textContent = text;
  }

  end(training, prompt) {
    clearInterval(this.clock);
    this.run = undefined;
    const focused = document.activeElement === this.stop;
    this.row.hidden = this.stop.hidden = true;
    this.show(training);
    const taken = training.metrics?.predict_time ?? training.metrics?.total_time;
    if (isOver(training) && taken !== undefined) this.time.textContent = formatSeconds(taken);
    if (training.status === "failed") this.fail(plainError(training.error).text);
    if (training.status === "succeeded") this.showMade(training, prompt);
    if (focused) this.element.focus({ preventScroll: true });
  }

  fail(text) {
    this.alert.replaceChildren(make("p", { className: "error", textContent: text }));
  }

  showMade({ output }, prompt) {
    const [, model, id] = /^([^/:]+\/[^/:]+):(\w+)$/.exec(output?.version ?? "") ?? [];
    if (!id) return this.fail("The API does not say which version the training made. See the versions of its destination.");
    const fragment = prompt ? `#${new URLSearchParams({ prompt })}` : "";
    this.made.append(make("a", { className: "button primary", id: "try", href: versionPath(model, id) + fragment, textContent: "Try the result" }));
    const address = typeof output.weights === "string" && shownAddress(output.weights, this.api);
    if (address) this.made.append(make("a", { className: "button small", href: address, download: fileName(output.weights, 0), textContent: "Download the weights" }));
  }
}
