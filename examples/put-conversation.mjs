// Stores a conversation from stdin: node put-conversation.mjs WORKSPACE < conversation.json
// docs/item-layout.md explains the layout.
import { realpathSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";

const WORKSPACE_ID = /^[A-Za-z0-9_-]{1,64}$/;
const ID = /^[ -"$-~]{1,128}$/;
const TIMESTAMP =
  /^((?!0000)\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

// Names what is malformed; never shows it.
function refuseUnless(holds, name) {
  if (!holds) throw new Error(`malformed ${name}`);
}

const isString = (value) => typeof value === "string";
// Not an array, and not a Date, which JSON would turn into a text.
const isObject = (value) => Object.prototype.toString.call(value) === "[object Object]";
const matches = (pattern, value) => isString(value) && pattern.test(value);

// The timestamp in UTC, cut to milliseconds.
export function instant(timestamp, name) {
  refuseUnless(matches(TIMESTAMP, timestamp), name);
  const [, local, fraction = "", offset] = TIMESTAMP.exec(timestamp.toUpperCase());
  const clock = `${local}.${fraction.slice(0, 3).padEnd(3, "0")}`;
  const utc = new Date(clock + offset).toJSON();
  // Date takes November 31 for December 1, and has years before 1 and after 9999.
  refuseUnless(new Date(`${clock}Z`).toJSON() === `${clock}Z`, name);
  refuseUnless(matches(/^(?!0000)\d{4}-/, utc), name);
  return utc;
}

// The primary key of a conversation's item.
export function itemKey(workspaceId, userId, _id, createdAt) {
  refuseUnless(matches(WORKSPACE_ID, workspaceId), "workspace id");
  refuseUnless(matches(ID, userId), "userId");
  refuseUnless(matches(ID, _id), "_id");
  const sortKey = `${instant(createdAt, "createdAt")}#${_id}`;
  return { pk: { S: `${workspaceId}#${userId}` }, sk: { S: sortKey } };
}

// Refuses what the endpoint cannot read: one such item fails the user's whole list.
function check(conversation) {
  for (const name of ["pathwayId", "agentId"]) refuseUnless(isString(conversation[name]), name);
  const { customer, messages } = conversation;
  refuseUnless(isObject(customer), "customer");
  for (const name of ["name", "email", "phone"])
    refuseUnless(isString(customer[name] ?? ""), `customer.${name}`);
  refuseUnless(Array.isArray(messages), "messages");
  for (const [number, message] of messages.entries()) {
    const where = `messages[${number}]`;
    refuseUnless(isObject(message), where);
    for (const name of ["direction", "message", "status", "_id"])
      refuseUnless(isString(message[name]), `${where}.${name}`);
    refuseUnless(typeof message.sent === "boolean", `${where}.sent`);
    for (const name of ["createdAt", "updatedAt"]) instant(message[name], `${where}.${name}`);
  }
  checkValues(conversation);
}

// Refuses NaN, infinity, numbers beyond a double and nesting beyond 100 levels.
function checkValues(value, depth = 1) {
  if (typeof value === "number") refuseUnless(Number.isFinite(value), "number");
  if (typeof value !== "object" || value === null) return;
  if (depth > 100) throw new Error("nested too deep");
  for (const part of Object.values(value)) checkValues(part, depth + 1);
}

// Stores the conversation. Returns false if the same or a newer state is stored already. Throws if
// the endpoint could not read it; the message names what is malformed.
export async function put(client, table, workspaceId, conversation) {
  refuseUnless(isObject(conversation), "conversation");
  const { _id, userId, agentId, pathwayId, createdAt, updatedAt } = conversation;
  const key = itemKey(workspaceId, userId, _id, createdAt);
  const updatedKey = { S: `${instant(updatedAt, "updatedAt")}#${_id}` };
  check(conversation);
  try {
    await client.send(
      new PutItemCommand({
        TableName: table,
        Item: {
          ...key,
          updatedKey,
          agentId: { S: agentId.toWellFormed() }, // U+FFFD in place of lone surrogates
          pathwayId: { S: pathwayId.toWellFormed() },
          document: { S: JSON.stringify(conversation) },
        },
        ConditionExpression: "attribute_not_exists(updatedKey) OR updatedKey < :updatedKey",
        ExpressionAttributeValues: { ":updatedKey": updatedKey },
      }),
    );
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") return false;
    throw error;
  }
  return true;
}

// The value of a JSON text.
export function parse(bytes) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Error("not JSON in UTF-8"); // the message of JSON.parse quotes the text
  }
}

async function main() {
  // Credentials and, for a DynamoDB on this machine, its address come from the environment.
  const { AWS_REGION, AWS_DEFAULT_REGION, CONVERSATIONS_TABLE } = process.env;
  const [, , ...given] = process.argv;
  try {
    if (given.length !== 1) throw new Error("usage: node put-conversation.mjs WORKSPACE");
    if (!CONVERSATIONS_TABLE) throw new Error("CONVERSATIONS_TABLE is not set");
    const conversation = parse(await buffer(process.stdin));
    const client = new DynamoDBClient({ region: AWS_REGION || AWS_DEFAULT_REGION });
    const stored = await put(client, CONVERSATIONS_TABLE, given[0], conversation);
    console.log(stored ? "stored" : "not stored: the same or a newer state is stored already");
  } catch (error) {
    console.error(`error: ${error.message || error.code}`);
    process.exitCode = 1;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === import.meta.filename) await main();
