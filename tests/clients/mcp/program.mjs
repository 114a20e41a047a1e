// Replicate's MCP server, asked as an assistant's program asks it.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const env = { ...process.env, REPLICATE_BASE_URL: `${process.env.REPLICATE_BASE_URL}/v1` };
const transport = new StdioClientTransport({
  command: process.execPath,
  args: ["node_modules/replicate-mcp/index.js", "--tools=all"],
  env,
});
const client = new Client({ name: "tests", version: "1" });
await client.connect(transport);
const call = async (name, args) => {
  let answer;
  try {
    answer = await client.callTool({ name, arguments: args });
  } catch (error) {
    return error.message;
  }
  const text = answer.content.map((one) => one.text).join("");
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};
const model = { model_owner: "easel", model_name: "emoji" };
const made = await call("create_models_predictions", { ...model, input: { prompt: "a red apple" }, Prefer: "wait=60" });
console.log(
  JSON.stringify({
    made: { status: made.status, output: made.output, error: made.error },
    again: (await call("get_predictions", { prediction_id: made.id })).status,
    found: await call("search_models", { body: "emoji" }),
    collection: await call("get_collections", { collection_slug: "none" }),
    trainings: await call("list_trainings", {}),
    readme: await call("get_models_readme", model),
    hardware: await call("list_hardware", {}),
  }),
);
await client.close();
