// Stores a conversation from stdin: node put-conversation.mjs WORKSPACE < conversation.json
// The layout it follows is explained in docs/item-layout.md.
import { text } from "node:stream/consumers";
import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";

const instant = (timestamp) => new Date(timestamp).toISOString(); // UTC, milliseconds, Z

export async function put(client, table, workspaceId, conversation) {
  const { _id, userId, agentId, pathwayId, createdAt, updatedAt } = conversation;
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(workspaceId)) throw new Error("malformed workspace id");
  for (const id of [_id, userId])
    if (!/^[ -"$-~]{1,128}$/.test(id)) throw new Error("malformed _id or userId");
  const item = {
    pk: { S: `${workspaceId}#${userId}` },
    sk: { S: `${instant(createdAt)}#${_id}` },
    updatedKey: { S: `${instant(updatedAt)}#${_id}` },
    agentId: { S: agentId },
    pathwayId: { S: pathwayId },
    document: { S: JSON.stringify(conversation) },
  };
  try {
    await client.send(
      new PutItemCommand({
        TableName: table,
        Item: item,
        ConditionExpression: "attribute_not_exists(pk) OR updatedKey < :updatedKey",
        ExpressionAttributeValues: { ":updatedKey": item.updatedKey },
      }),
    );
    return true;
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") return false; // as new, or newer, is there
    throw error;
  }
}

const conversation = JSON.parse(await text(process.stdin));
// Credentials and, for a DynamoDB on this machine, its address come from the environment.
const region = process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION;
const client = new DynamoDBClient({ region });
const stored = await put(client, process.env.CONVERSATIONS_TABLE, process.argv[2], conversation);
console.log(stored ? "stored" : "not stored: the same or a newer state is there");
