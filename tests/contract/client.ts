// A client as its author would write it, with the types that openapi-typescript makes of the
// OpenAPI document. It lists and pages through the demo data, and prints what it found.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Conversation = components["schemas"]["Conversation"];
type Tombstone = components["schemas"]["Tombstone"];
const PATH = "/v1/api/conversations";
const [baseUrl, key] = process.argv.slice(2);
if (!baseUrl || !key) throw new Error("usage: client.js ADDRESS KEY");
const client = createClient<paths>({ baseUrl, headers: { "x-api-key": key } });
const header = { "x-workspace-id": "demo-busy" };

function isConversation(listed: Conversation | Tombstone): listed is Conversation {
  return !("deletedAt" in listed);
}

async function all(): Promise<Conversation[]> {
  const { data, error } = await client.GET(PATH, { params: { header } });
  if (error) throw new Error(error.error.message);
  if (!data.every(isConversation)) throw new Error("a tombstone that nobody asked for");
  return data;
}

async function deleted(): Promise<Tombstone[]> {
  const query = { deleted: "include" } as const;
  const { data, error } = await client.GET(PATH, { params: { header, query } });
  if (error) throw new Error(error.error.message);
  const found: Tombstone[] = [];
  for (const listed of data) {
    if ("deletedAt" in listed) found.push(listed);
    else listed.messages.length; // compiles, since it is a conversation
  }
  return found;
}

async function* pages(limit: number): AsyncGenerator<Conversation[]> {
  let cursor: string | undefined;
  do {
    const query = cursor ? { limit, cursor } : { limit };
    const { data, error, response } = await client.GET(PATH, { params: { header, query } });
    if (error) throw new Error(error.error.message);
    yield data.filter(isConversation);
    const next = /<([^>]*)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
    cursor = next && (new URL(next).searchParams.get("cursor") ?? undefined);
  } while (cursor);
}

async function refused(): Promise<string> {
  const { error } = await client.GET(PATH, {
    params: { header, query: { createdAtGe: "2025-01-01T00:00:00Z", createdAtLt: "2024-01-01T00:00:00Z" } },
  });
  if (!error) throw new Error("a range that ends before it begins was accepted");
  // @ts-expect-error there is no such code
  if (error.error.code === "invalid_range") throw new Error("unheard of");
  return error.error.code;
}

async function unchanged(): Promise<number> {
  const { response } = await client.GET(PATH, { params: { header } });
  const tag = response.headers.get("ETag") ?? "";
  const again = await client.GET(PATH, { params: { header: { ...header, "If-None-Match": tag } } });
  return again.response.status;
}

// What must not compile.
export const wrong = () => [
  // @ts-expect-error the workspace is required
  client.GET(PATH, { params: { header: {} } }),
  // @ts-expect-error a limit is a number
  client.GET(PATH, { params: { header, query: { limit: "ten" } } }),
  // @ts-expect-error there is no such parameter
  client.GET(PATH, { params: { header, query: { agentID: "a" } } }),
  // @ts-expect-error there is no such order
  client.GET(PATH, { params: { header, query: { sort: "name" } } }),
  // @ts-expect-error there is no such field
  async () => (await all())[0]?.workspaceId,
  // @ts-expect-error a tombstone has no messages
  async () => (await deleted())[0]?.messages,
  // @ts-expect-error what is listed may be a tombstone
  async () => (await client.GET(PATH, { params: { header } })).data?.[0]?.messages,
  // @ts-expect-error there is no such value
  client.GET(PATH, { params: { header, query: { deleted: "only" } } }),
];

const whole = await all();
const paged: Conversation[] = [];
const sizes: number[] = [];
for await (const page of pages(200)) {
  sizes.push(page.length);
  paged.push(...page);
}
console.log(
  JSON.stringify({
    count: whole.length,
    sizes,
    same: JSON.stringify(paged) === JSON.stringify(whole),
    newest: whole[0]?.createdAt,
    messages: whole.flatMap((conversation) => conversation.messages).length,
    deleted: await deleted(),
    refused: await refused(),
    unchanged: await unchanged(),
  }),
);
