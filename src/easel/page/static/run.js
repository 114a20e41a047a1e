/** One prediction or training from the form to its end: created, polled, canceled when asked. */

import { cancelPrediction, createPrediction, fetchPrediction, Problem, sendFiles } from "./api.js";

const PREDICTION = { fetch: fetchPrediction, cancel: cancelPrediction, pollMs: 500 };
const FINAL = new Set(["succeeded", "failed", "canceled", "aborted"]);
const PATIENCE = 10; // so many polls in a row may go unanswered: a connection that comes back loses nothing

export const isOver = (prediction) => FINAL.has(prediction.status);

export class Run {
  /** `show` gets the prediction after every change, also {status: "sending"} before there is one; `calls` are its kind's. */
  constructor(show, calls = PREDICTION) {
    this.show = show;
    this.calls = calls;
    this.canceling = false;
    this.left = false;
  }

  /**
   * The prediction at its end. `created` is called with it as soon as there is one. Raises Problem when the API does
   * not take it, or is lost on the way.
   */
  async start(model, version, given, created) {
    this.show({ status: "sending" });
    const input = await sendFiles(given);
    if (this.canceling) return { status: "canceled", input };
    const prediction = await createPrediction(model, version, input);
    created(prediction);
    return this.follow(prediction);
  }

  /** The prediction at its end; undefined if it was left meanwhile, which it survives. */
  async follow(prediction) {
    this.id = prediction.id;
    if (this.canceling) this.askToCancel();
    let missed = 0;
    while (!isOver(prediction)) {
      if (this.left) return undefined;
      this.show(prediction);
      await new Promise((resolve) => setTimeout(resolve, this.calls.pollMs));
      try {
        prediction = await this.calls.fetch(this.id);
        missed = 0;
      } catch (problem) {
        const passing = problem instanceof Problem && (problem.status === 429 || problem.status === 0 || problem.status >= 500);
        if (this.left) return undefined;
        if (!passing || ++missed > PATIENCE) throw problem;
      }
    }
    if (this.left) return undefined;
    this.show(prediction);
    return prediction;
  }

  /** Ask no more; the prediction goes on. */
  leave() {
    this.left = true;
  }

  cancel() {
    if (this.canceling) return;
    this.canceling = true;
    if (this.id) this.askToCancel();
  }

  /** What it brings is seen by polling; one that fails because the prediction has just ended is no news. */
  askToCancel() {
    this.calls.cancel(this.id).catch((problem) => {
      this.canceling = false;
      if (problem.status !== 404) this.show({ problem });
    });
  }
}
