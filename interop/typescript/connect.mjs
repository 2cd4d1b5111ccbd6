// `@modelcontextprotocol/client` 2.4, one call and no more: `node connect.mjs '{"mode": …, "command": […]}'`.

import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const { mode, command } = JSON.parse(process.argv[2]);
const client = new Client({ name: "typescript", version: "1" }, { versionNegotiation: { mode } });
const [program, ...args] = command;
try {
    await client.connect(new StdioClientTransport({ command: program, args }));
    const sum = await client.callTool({ name: "add", arguments: { a: 5, b: 3 } });
    console.log(JSON.stringify({ version: client.getNegotiatedProtocolVersion(), text: sum.content[0].text }));
} catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
} finally {
    await client.close();
}
