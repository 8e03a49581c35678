// Calls the examples in Node: a JSON array with function and arguments a line, and a line back.
// Its twin for the examples in Python is `call_example.py`.
import { createInterface } from "node:readline";
import { remove } from "../../examples/delete-conversation.mjs";
import { instant, parse, put } from "../../examples/put-conversation.mjs";

// Resolved from examples/, where the SDK is installed.
const sdk = new URL("../../examples/node_modules/@aws-sdk/client-dynamodb/", import.meta.url);
const { DynamoDBClient } = (await import(new URL("dist-cjs/index.js", sdk))).default;
const client = new DynamoDBClient({ region: process.env.AWS_DEFAULT_REGION });
const table = process.env.CONVERSATIONS_TABLE;

// What a caller may pass, and JSON cannot say.
const VALUES = {
  "not a number": NaN,
  infinity: Infinity,
  nothing: undefined,
  "a time": new Date(0),
  bytes: new Uint8Array(1),
};

const functions = {
  instant: (text) => instant(text, "timestamp"),
  // The document is bytes in base64.
  put: (workspaceId, document) =>
    put(client, table, workspaceId, parse(Buffer.from(document, "base64"))),
  // With another value at a path in the conversation.
  put_with: (workspaceId, conversation, path, value) => {
    const [name, ...outer] = path.toReversed();
    outer.reduceRight((inner, step) => inner[step], conversation)[name] = VALUES[value];
    return put(client, table, workspaceId, conversation);
  },
  remove: (...given) => remove(client, table, ...given),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...given] = JSON.parse(line);
  let answer;
  try {
    answer = { returned: await functions[name](...given) };
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
}
