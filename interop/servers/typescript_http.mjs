// The same over HTTP, in both eras, without sessions: `node typescript_http.mjs posted.txt`.
//
// What is posted to it is written down in that file, a line each; it says on stderr where it listens.

import { appendFileSync } from "node:fs";
import { serve } from "@hono/node-server";
import { createMcpHandler } from "@modelcontextprotocol/server";
import { make } from "./typescript_server.mjs";

const record = process.argv[2];
const handler = createMcpHandler(make);

async function overheard(request) {
    if (request.method === "POST") appendFileSync(record, `> ${await request.clone().text()}\n`);
    return handler.fetch(request);
}

appendFileSync(record, "");
serve({ fetch: overheard, hostname: "127.0.0.1", port: 0 }, ({ port }) => console.error(`http://127.0.0.1:${port}`));
