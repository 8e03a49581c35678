// Peer: AWS SDK v3 document client and zod.
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, paginateQuery } from "@aws-sdk/lib-dynamodb";
import { z } from "zod";

const Customer = z.object({
  name: z.string().optional(),
  email: z.string().optional(),
  phone: z.string().optional(),
});
const Message = z.object({
  direction: z.string(),
  sent: z.boolean(),
  message: z.string(),
  status: z.string(),
  _id: z.string(),
  createdAt: z.string(),
  updatedAt: z.string(),
});
const Conversations = z.array(
  z.object({
    _id: z.string(),
    userId: z.string(),
    pathwayId: z.string(),
    agentId: z.string(),
    customer: Customer,
    messages: z.array(Message),
    createdAt: z.string(),
    updatedAt: z.string(),
  }),
);
const Headers = z.object({ "x-workspace-id": z.string() });

const compress = promisify(gzip);
const client = DynamoDBDocumentClient.from(new DynamoDBClient({}));

export async function handler(event) {
  const headers = Object.fromEntries(
    Object.entries(event.headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const { "x-workspace-id": workspaceId } = Headers.parse(headers);
  const pages = paginateQuery(
    { client },
    {
      TableName: process.env.TABLE_NAME,
      KeyConditionExpression: "pk = :pk",
      ExpressionAttributeValues: { ":pk": `${workspaceId}#${event.requestContext.authorizer.userId}` },
      ScanIndexForward: false,
    },
  );
  const items = [];
  for await (const page of pages) items.push(...page.Items);
  const body = JSON.stringify(Conversations.parse(items));
  const contentType = { "Content-Type": "application/json" };
  if (!(headers["accept-encoding"] ?? "").includes("gzip")) {
    return { statusCode: 200, headers: contentType, body, isBase64Encoded: false };
  }
  return {
    statusCode: 200,
    headers: { ...contentType, "Content-Encoding": "gzip" },
    body: (await compress(body)).toString("base64"),
    isBase64Encoded: true,
  };
}
