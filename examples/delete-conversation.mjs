// Deletes a conversation: node delete-conversation.mjs WORKSPACE USER ID CREATED_AT
// It leaves a tombstone, as docs/item-layout.md explains.
import { DynamoDBClient, GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";

const DAY = 86_400; // seconds

export async function remove(client, table, workspaceId, userId, id, createdAt) {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(workspaceId ?? "")) throw new Error("malformed workspace id");
  for (const text of [userId, id])
    if (!/^[ -"$-~]{1,128}$/.test(text ?? "")) throw new Error("malformed _id or userId");
  const Key = {
    pk: { S: `${workspaceId}#${userId}` },
    sk: { S: `${new Date(createdAt).toISOString()}#${id}` }, // milliseconds, Z
  };
  const read = new GetItemCommand({
    TableName: table,
    Key,
    ProjectionExpression: "updatedKey, deletedAt, agentId, pathwayId",
    ConsistentRead: true,
  });
  for (;;) {
    const { Item: item } = await client.send(read);
    if (!item || item.deletedAt) return; // nothing to delete, or deleted already
    const updatedAt = Date.parse(item.updatedKey?.S.split("#")[0] ?? "1970-01-01");
    const now = Date.now(); // read again for each attempt: sync clients look back one minute only
    const deletedAt = new Date(Math.max(now, updatedAt + 1)).toISOString();
    const { agentId, pathwayId } = item;
    const tombstone = {
      ...Key,
      ...(agentId && { agentId }),
      ...(pathwayId && { pathwayId }),
      deletedAt: { S: deletedAt },
      updatedKey: { S: `${deletedAt}#${id}` },
      expiresAt: { N: String(Math.floor(now / 1000) + 90 * DAY) },
    };
    const write = new PutItemCommand({
      TableName: table,
      Item: tombstone,
      ConditionExpression:
        "attribute_exists(pk) AND (attribute_not_exists(updatedKey) OR updatedKey < :updatedKey)",
      ExpressionAttributeValues: { ":updatedKey": tombstone.updatedKey },
    });
    try {
      // Give up after 20 seconds. The whole deletion can be repeated.
      await client.send(write, { abortSignal: AbortSignal.timeout(20_000) });
      return;
    } catch (error) {
      if (error.name !== "ConditionalCheckFailedException") throw error; // it changed: try again
    }
  }
}

const [workspaceId, userId, id, createdAt] = process.argv.slice(2);
const region = process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION;
const client = new DynamoDBClient({ region });
await remove(client, process.env.CONVERSATIONS_TABLE, workspaceId, userId, id, createdAt);
console.log("deleted");
