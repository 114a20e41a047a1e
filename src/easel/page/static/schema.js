/** A model's OpenAPI document as the list of its inputs, in the order that their author gave them. */

const LONG_TEXT = 200;

/**
 * [{name, title, kind, description, default, required, minimum, maximum, choices, accept, item}] by `x-order`, of the
 * schema of this name: `TrainingInput` has a training's.
 */
export function readInputs(document, name = "Input") {
  const schemas = document?.components?.schemas ?? {};
  const input = schemas[name] ?? {};
  const required = new Set(input.required ?? []);
  return Object.entries(input.properties ?? {})
    .map(([name, property]) => describe(name, property, schemas, required.has(name)))
    .sort((one, other) => one.order - other.order);
}

/**
 * What a model's output is: `list`; `text` for one text, in parts or not; `files`, `texts` or `values`; `yields` if it
 * grows while the model runs.
 */
export function readOutput(document) {
  const schemas = document?.components?.schemas ?? {};
  const whole = resolve(schemas.Output ?? {}, schemas);
  const list = whole.type === "array";
  const one = list ? resolve(whole.items ?? {}, schemas) : whole;
  const words = one.type === "string" && one.format !== "uri";
  const text = words && (!list || whole["x-cog-array-display"] === "concatenate");
  const kind = text ? "text" : one.type !== "string" ? "values" : words ? "texts" : "files";
  return { list, text, kind, yields: whole["x-cog-array-type"] === "iterator" };
}

/** With what it names put in its place; what may be null as well counts as what it is otherwise. */
function resolve(property, schemas) {
  const one = (part) => (part.$ref ? schemas[part.$ref.split("/").pop()] : part) ?? {};
  const others = (property.anyOf ?? []).filter((part) => part.type !== "null");
  const parts = [...(property.allOf ?? []), ...(property.$ref ? [property] : []), ...(others.length === 1 ? others : [])];
  const whole = Object.assign({}, ...parts.map(one), property);
  if (Array.isArray(whole.type)) whole.type = whole.type.find((type) => type !== "null");
  return whole;
}

function describe(name, property, schemas, required) {
  const whole = resolve(property, schemas);
  return {
    name,
    title: name,
    kind: kindOf(name, whole),
    integer: whole.type === "integer",
    description: property.description ?? "",
    default: whole.default ?? undefined,
    required,
    minimum: whole.minimum,
    maximum: whole.maximum,
    maxLength: whole.maxLength,
    choices: whole.enum,
    accept: whole["x-cog-accept"], // what a file picker shows
    order: whole["x-order"] ?? Infinity,
    item: whole.type === "array" ? describe(name, resolve(whole.items ?? {}, schemas), schemas, false) : undefined,
  };
}

function kindOf(name, property) {
  if (property.enum) return "choice";
  if (property.format === "password" || property["x-cog-secret"]) return "secret";
  switch (property.type) {
    case "boolean":
      return "toggle";
    case "integer":
      return name === "seed" ? "seed" : "number";
    case "number":
      return "number";
    case "array":
      return "list";
    case "string":
      if (property.format === "uri") return name === "mask" ? "mask" : "file";
      return "text";
    default:
      return "json";
  }
}

/** Whether trainings of the version can be made. */
export const isTrainable = (document) => Boolean(document?.components?.schemas?.TrainingInput);

/** What is allowed and what holds when nothing is given, in words. */
export function limits(input) {
  const parts = [];
  const { minimum: low, maximum: high } = input;
  if (low !== undefined && high !== undefined) parts.push(`${low} to ${high}`);
  else if (low !== undefined) parts.push(`at least ${low}`);
  else if (high !== undefined) parts.push(`at most ${high}`);
  if (input.maxLength > LONG_TEXT) parts.push(`up to ${input.maxLength} characters`);
  if (input.default !== undefined && input.default !== "") parts.push(`default ${JSON.stringify(input.default).replaceAll('"', "")}`);
  return parts.join(" · ");
}
