/** The list of models, and what stands above a model's form. */

import { modelPath } from "./address.js";
import { fetchPage } from "./api.js";
import { button, byId, make, plural, shownAddress } from "./dom.js";
import { isImage } from "./values.js";

export async function showModels(api) {
  document.title = "Models – Easel";
  byId("main").hidden = byId("about").hidden = true;
  document.querySelector(".skip").hidden = document.querySelector('.top [href="/models"]').hidden = true;
  byId("title").textContent = "Models";
  const list = make("ul", { className: "model-list" });
  const note = make("p", { className: "muted", role: "status" });
  const more = button("Show more", () => load(), { hidden: true });
  byId("models").replaceChildren(list, note, more);
  byId("models").hidden = false;
  let cursor;
  async function load() {
    note.textContent = "Loading";
    try {
      const page = await fetchPage("/v1/models", cursor);
      list.append(...page.results.map((model) => modelCard(model, api)));
      cursor = page.cursor;
      note.textContent = list.childElementCount ? "" : "This API has no models yet.";
      more.hidden = !cursor;
    } catch (problem) {
      note.textContent = problem.message;
    }
  }
  await load();
}

function modelCard(model, api) {
  const address = model.cover_image_url ?? [model.default_example?.output ?? []].flat().find(isImage);
  const cover = address && shownAddress(address, api);
  const name = `${model.owner}/${model.name}`;
  const image = cover ? make("img", { src: cover, alt: "", loading: "lazy", className: "thumbnail" }) : make("span", { className: "thumbnail words" });
  if (cover) image.onerror = () => image.replaceWith(make("span", { className: "thumbnail words" }));
  const facts = [runs(model), model.latest_version ? "" : "no version yet"].filter(Boolean).join(" · ");
  const text = make(
    "span",
    { className: "run-text" },
    make("span", { className: "title", textContent: name }),
    make("span", { textContent: model.description ?? "" }),
    make("span", { className: "muted", textContent: facts }),
  );
  return make("li", {}, make("a", { href: modelPath(name), className: "run" }, image, text));
}

const runs = ({ run_count: count }) => (Number.isInteger(count) ? plural(count, "run").replace(/^\d+/, count.toLocaleString("en")) : "");

/** Description, run count, licence and sources: what the API tells of the model. */
export function showAbout(model) {
  byId("description").textContent = model.description ?? "";
  const links = [["License", model.license_url], ["GitHub", model.github_url], ["Paper", model.paper_url]]
    .filter(([, url]) => /^https?:\/\//.test(url ?? ""))
    .map(([text, href]) => make("a", { href, textContent: text, target: "_blank", rel: "noopener noreferrer" }));
  const words = [runs(model), model.visibility === "private" ? "private" : ""].filter(Boolean);
  byId("facts").replaceChildren(...words.map((textContent) => make("span", { textContent })), ...links);
}
