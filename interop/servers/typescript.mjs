// A server written with `@modelcontextprotocol/server` 2.4, for our client to use, in both eras.

import { McpServer, ResourceTemplate, completable } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";
import { offer } from "./surface.mjs";

const kit = {
    z,
    completable,
    ResourceTemplate,
    argsSchema: (shape) => z.object(shape),
    about: ({ mcpReq }) => ({ signal: mcpReq.signal, progressToken: mcpReq._meta?.progressToken }),
    tell: ({ mcpReq }, notification) => mcpReq.notify(notification),
    log: (_server, { mcpReq }, data) => mcpReq.log("info", data),
};

serveStdio(() => {
    const options = { instructions: "A foreign server.", capabilities: { logging: {} } };
    return offer(new McpServer({ name: "foreign", version: "1.0.0" }, options), kit);
});
