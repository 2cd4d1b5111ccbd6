// What is written with `@modelcontextprotocol/server` 2.4: a server in both eras, made anew for each connection or request.

import { McpServer, ResourceTemplate, completable } from "@modelcontextprotocol/server";
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

export function make() {
    const options = { instructions: "A foreign server.", capabilities: { logging: {} } };
    return offer(new McpServer({ name: "foreign", version: "1.0.0" }, options), kit);
}
