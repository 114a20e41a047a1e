/** On a narrow screen what a run brings and the button that starts it come before the form, also for the keyboard. */

import { byId } from "./dom.js";

const NARROW = "(max-width: 900px)";

export const isNarrow = () => matchMedia(NARROW).matches;

export function arrange() {
  const media = matchMedia(NARROW);
  const place = () => {
    const [form, actions, result, main] = ["form", "actions", "result", "main"].map(byId);
    if (media.matches) main.prepend(result, actions);
    else {
      form.append(actions);
      main.append(result);
    }
  };
  media.onchange = place;
  place();
}
