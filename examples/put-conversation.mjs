// Stores a conversation from stdin: node put-conversation.mjs WORKSPACE < conversation.json
// The layout it follows is explained in docs/item-layout.md.
import { text } from "node:stream/consumers";
import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";

const RFC_3339 = /^(?!0000)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:[0-5]\d)$/;

function instant(timestamp) {
  const utc = new Date(timestamp).toISOString(); // milliseconds, Z
  const clock = RFC_3339.exec(timestamp)?.[1];
  // Date reads February 30 as March 1, and accepts years after 9999.
  if (!RFC_3339.test(utc) || new Date(`${clock}Z`).toISOString().slice(0, 19) !== clock)
    throw new Error("malformed timestamp");
  return utc;
}

function texts(object, ...names) {
  for (const name of names)
    if (typeof object?.[name] !== "string") throw new Error(`malformed ${name}`);
}

function limits(value, depth = 1) {
  if (typeof value === "number" && !Number.isFinite(value)) throw new Error("number too large");
  if (typeof value !== "object" || value === null) return;
  if (depth > 100) throw new Error("nested too deep");
  for (const part of Object.values(value)) limits(part, depth + 1);
}

// One conversation that the endpoint cannot read fails the user's whole list.
function check(conversation) {
  texts(conversation, "_id", "userId", "pathwayId", "agentId", "createdAt", "updatedAt");
  const { customer, messages } = conversation;
  if (typeof customer !== "object" || customer === null || Array.isArray(customer))
    throw new Error("malformed customer");
  texts({ name: "", email: "", phone: "", ...customer }, "name", "email", "phone");
  if (!Array.isArray(messages)) throw new Error("malformed messages");
  for (const message of messages) {
    texts(message, "direction", "message", "status", "_id", "createdAt", "updatedAt");
    if (typeof message.sent !== "boolean") throw new Error("malformed sent");
    for (const timestamp of [message.createdAt, message.updatedAt]) instant(timestamp);
  }
  limits(conversation);
}

export async function put(client, table, workspaceId, conversation) {
  check(conversation);
  const { _id, userId, agentId, pathwayId, createdAt, updatedAt } = conversation;
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(workspaceId ?? "")) throw new Error("malformed workspace id");
  for (const id of [_id, userId])
    if (!/^[ -"$-~]{1,128}$/.test(id)) throw new Error("malformed _id or userId");
  const item = {
    pk: { S: `${workspaceId}#${userId}` },
    sk: { S: `${instant(createdAt)}#${_id}` },
    updatedKey: { S: `${instant(updatedAt)}#${_id}` },
    agentId: { S: agentId.toWellFormed() },
    pathwayId: { S: pathwayId.toWellFormed() },
    document: { S: JSON.stringify(conversation) },
  };
  try {
    await client.send(
      new PutItemCommand({
        TableName: table,
        Item: item,
        ConditionExpression: "attribute_not_exists(updatedKey) OR updatedKey < :updatedKey",
        ExpressionAttributeValues: { ":updatedKey": item.updatedKey },
      }),
    );
    return true;
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") return false; // the same or a newer state is stored
    throw error;
  }
}

const conversation = JSON.parse(await text(process.stdin));
// Credentials and, for a DynamoDB on this machine, its address come from the environment.
const region = process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION;
const client = new DynamoDBClient({ region });
const stored = await put(client, process.env.CONVERSATIONS_TABLE, process.argv[2], conversation);
console.log(stored ? "stored" : "not stored: the same or a newer state is stored already");
