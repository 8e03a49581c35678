// Deletes a conversation: node delete-conversation.mjs WORKSPACE USER ID CREATED_AT
// It leaves a tombstone, as docs/item-layout.md explains.
import { realpathSync } from "node:fs";
import { DynamoDBClient, GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { instant, itemKey } from "./put-conversation.mjs";

const DAY = 86_400_000; // milliseconds
// A tombstone that arrives long after its `deletedAt` is too late for sync.
const quickly = () => ({ abortSignal: AbortSignal.timeout(20_000) });

// Deletes the conversation. Returns false if there is none, or it is deleted already. Throws if an
// argument is malformed, or no tombstone can be newer than the item.
export async function remove(client, table, workspaceId, userId, id, createdAt) {
  const Key = itemKey(workspaceId, userId, id, createdAt);
  for (let attempt = 0; attempt < 10; attempt++) {
    const answer = await client.send(
      new GetItemCommand({
        TableName: table,
        Key,
        ProjectionExpression: "updatedKey, deletedAt, agentId, pathwayId",
        ConsistentRead: true,
        ReturnConsumedCapacity: "TOTAL",
      }),
      quickly(),
    );
    if (!answer.ConsumedCapacity) throw new Error("the answer was cut off: try again"); // there may be an item
    const item = answer.Item;
    if (!item || item.deletedAt) return false;
    const tombstone = { ...Key, ...tombstoneOf(item, id, Date.now()) };
    const write = new PutItemCommand({
      TableName: table,
      Item: tombstone,
      ConditionExpression:
        "attribute_exists(pk) AND (attribute_not_exists(updatedKey) OR updatedKey < :updatedKey)",
      ExpressionAttributeValues: { ":updatedKey": tombstone.updatedKey },
    });
    try {
      await client.send(write, quickly());
      return true;
    } catch (error) {
      if (error.name !== "ConditionalCheckFailedException") throw error; // it has changed
    }
  }
  throw new Error("the conversation keeps changing: try again");
}

// The attributes that replace those of the item.
function tombstoneOf({ agentId, pathwayId, updatedKey }, id, now) {
  const stored = updatedKey?.S ?? "";
  let deletedAt = new Date(now).toISOString();
  if (`${deletedAt}#${id}` <= stored) deletedAt = after(stored.split("#")[0]);
  if (`${deletedAt}#${id}` <= stored)
    throw new Error("no tombstone can be newer than the updatedKey: use DeleteItem");
  return {
    ...(agentId && { agentId }),
    ...(pathwayId && { pathwayId }),
    deletedAt: { S: deletedAt },
    updatedKey: { S: `${deletedAt}#${id}` },
    expiresAt: { N: String(Math.floor((now + 90 * DAY) / 1000)) },
  };
}

// The next millisecond; "" if the timestamp is malformed or the last one.
function after(timestamp) {
  try {
    const next = Date.parse(instant(timestamp, "updatedKey")) + 1;
    return instant(new Date(next).toISOString(), "updatedKey");
  } catch {
    return "";
  }
}

async function main() {
  const { AWS_REGION, AWS_DEFAULT_REGION, CONVERSATIONS_TABLE } = process.env;
  const [, , ...given] = process.argv;
  try {
    if (given.length !== 4)
      throw new Error("usage: node delete-conversation.mjs WORKSPACE USER ID CREATED_AT");
    if (!CONVERSATIONS_TABLE) throw new Error("CONVERSATIONS_TABLE is not set");
    const client = new DynamoDBClient({ region: AWS_REGION || AWS_DEFAULT_REGION });
    const deleted = await remove(client, CONVERSATIONS_TABLE, ...given);
    console.log(deleted ? "deleted" : "not deleted: no such conversation, or it is deleted already");
  } catch (error) {
    console.error(`error: ${error.message || error.code}`);
    process.exitCode = 1;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === import.meta.filename) await main();
