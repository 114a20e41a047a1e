/** A model's versions, newest first, each of which can be run. */

import { modelPath, versionPath } from "./address.js";
import { fetchPage } from "./api.js";
import { button, byId, make } from "./dom.js";

export function makeVersions(model, chosen, latest) {
  const list = make("ul", { className: "versions" });
  const note = make("p", { className: "muted", role: "status" });
  const more = button("Show more", () => load(), { hidden: true });
  byId("panel-versions").replaceChildren(list, note, more);
  let cursor;
  let asked = false;

  function row(version) {
    const when = version.created_at ? new Date(version.created_at).toLocaleString() : "";
    const cog = version.cog_version ? `Cog ${version.cog_version}` : "";
    const tags = [version.id === latest ? "newest" : "", version.id === chosen ? "in the form" : ""].filter(Boolean).join(", ");
    const facts = make("span", { className: "muted", textContent: [when, cog, tags].filter(Boolean).join(" · ") });
    const use = make("a", { className: "button small", textContent: "Use it", href: versionPath(model, version.id) });
    use.setAttribute("aria-label", `Use version ${version.id.slice(0, 12)}`);
    const text = make("span", { className: "run-text" }, make("code", { textContent: version.id }), facts);
    return make("li", {}, text, version.id === chosen ? null : use);
  }

  async function load() {
    note.textContent = "Loading";
    try {
      const page = await fetchPage(`/v1/models${modelPath(model)}/versions`, cursor);
      list.append(...page.results.map(row));
      cursor = page.cursor;
      note.textContent = list.childElementCount ? "" : "This model has no versions yet.";
      more.hidden = !cursor;
    } catch (problem) {
      note.textContent = problem.message;
      asked = false;
    }
  }

  /** When they are looked at for the first time. */
  return () => {
    if (!asked) load();
    asked = true;
  };
}
