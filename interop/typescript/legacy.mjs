// `@modelcontextprotocol/sdk` 1.32, legacy only: `node legacy.mjs '{"version": …, "everything": […], "changing": […]}'`.
//
// It always asks for the newest legacy revision and takes any other as an answer. `version` is put into what it asks on
// the way out.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
    LoggingMessageNotificationSchema,
    ResourceUpdatedNotificationSchema,
    ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { useEverything, watchChanges } from "./conversation.mjs";

const SCHEMAS = {
    "notifications/message": LoggingMessageNotificationSchema,
    "notifications/resources/updated": ResourceUpdatedNotificationSchema,
    "notifications/tools/list_changed": ToolListChangedNotificationSchema,
};
const { version, everything, changing } = JSON.parse(process.argv[2]);

const peer = {
    async connect(target) {
        const client = new Client({ name: "typescript", version: "1" });
        await client.connect(asking(version, transportTo(target)));
        return client;
    },
    call: (client, params, options) => client.callTool(params, undefined, options),
    hear: (client, method, handler) => client.setNotificationHandler(SCHEMAS[method], ({ params }) => handler(params)),
    async level(client, level) {
        await client.setLoggingLevel(level);
        return {};
    },
    async subscribe(client) {
        const uri = "counter://value";
        await client.subscribeResource({ uri });
        return { honoured: null, close: () => client.unsubscribeResource({ uri }) };
    },
};

/** A target is a command, or the address of a server. */
function transportTo(target) {
    if (typeof target === "string") return new StreamableHTTPClientTransport(new URL(target));
    const [command, ...args] = target;
    return new StdioClientTransport({ command, args });
}

function asking(protocolVersion, transport) {
    const send = transport.send.bind(transport);
    transport.send = (message, options) => {
        const params = message.method === "initialize" ? { ...message.params, protocolVersion } : message.params;
        return send({ ...message, params }, options);
    };
    return transport;
}

const report = { everything: await useEverything(peer, everything), changing: await watchChanges(peer, changing) };
console.log(JSON.stringify(report));
