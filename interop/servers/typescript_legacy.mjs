// A server written with `@modelcontextprotocol/sdk` 1.32, for our client to use; it shakes hands and knows no other era.

import { completable } from "@modelcontextprotocol/sdk/server/completable.js";
import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";
import { offer } from "./surface.mjs";

const kit = {
    z,
    completable,
    ResourceTemplate,
    argsSchema: (shape) => shape,
    about: ({ signal, _meta }) => ({ signal, progressToken: _meta?.progressToken }),
    tell: ({ sendNotification }, notification) => sendNotification(notification),
    log: (server, _context, data) => server.sendLoggingMessage({ level: "info", data }),
};

const options = { instructions: "A foreign server.", capabilities: { logging: {} } };
const server = offer(new McpServer({ name: "foreign", version: "1.0.0" }, options), kit);
await server.connect(new StdioServerTransport());
