/** What an image says of itself, verified by this page's server. */

import { make } from "./dom.js";

const TRUST = {
  trusted: "trusted",
  "this machine": "self-made certificate of this machine",
  "self-made": "self-made certificate",
  unknown: "unknown certificate",
};

/** An empty line that tells of the signature of the image at `address`, of this page's origin or a data URL, once it is known. */
export function signatureLine(address) {
  const line = make("span", { className: "signature muted" });
  ask(address).then((report) => {
    if (!report) return;
    const { state, signer, trust, made_at: made } = report;
    line.textContent = words(report);
    line.classList.toggle("wrong", state === "invalid");
    if (signer) line.title = [signer, made && `made at ${made}`, TRUST[trust]].filter(Boolean).join(", ");
  });
  return line;
}

function words({ state, reason, signer, trust }) {
  if (state === "valid") return `Signed by ${signer.split(" / ")[0] || "an unnamed signer"}: valid, ${TRUST[trust]}`;
  if (state === "unsigned") return "Not signed";
  return state === "invalid" ? `Its signature does not hold: ${reason}` : "";
}

async function ask(address) {
  if (!/^(\/|data:)/.test(address)) return undefined; // of another site, whose files this page may show and not read
  try {
    const body = address.startsWith("data:") ? decode(address) : await (await fetch(address)).blob();
    const answer = await fetch("/page/signature", { method: "POST", body });
    return answer.ok ? await answer.json() : undefined;
  } catch {
    return undefined; // an image that is gone has no line
  }
}

/** `fetch` would need a wider policy for this. */
function decode(url) {
  const text = atob(url.slice(url.indexOf(",") + 1));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}
