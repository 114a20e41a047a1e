/** What an address of the page stands for. */

/** {models} | {planner} | {run} | {model, version, train}, all of them missing for `/`. */
export function readAddress(path) {
  const parts = path.split("/").filter(Boolean).map(decode);
  if (parts[0] === "models" && parts.length === 1) return { models: true };
  if (parts[0] === "planner" && parts.length === 1) return { planner: true };
  if (parts[0] === "p" && parts.length === 2) return { run: parts[1] };
  if (parts.length < 2) return {};
  const versioned = parts[2] === "versions";
  return { model: `${parts[0]}/${parts[1]}`, version: versioned ? parts[3] : undefined, train: parts[versioned ? 4 : 2] === "train" };
}

export const runPath = (id) => `/p/${encodeURIComponent(id)}`;
export const modelPath = (model) => `/${model.split("/").map(encodeURIComponent).join("/")}`;
export const trainPath = (model, version) => `${version ? versionPath(model, version) : modelPath(model)}/train`;
export const versionPath = (model, id) => `${modelPath(model)}/versions/${encodeURIComponent(id)}`;

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
