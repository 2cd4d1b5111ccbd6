// `@modelcontextprotocol/client` 2.4: `node modern.mjs '{"mode": …, "versions": …, "everything": […], "changing": […]}'`.
//
// `mode` is the client's own word for how it finds the era; `versions` are those it may speak, all of them if null. A
// server is a command or an address; it is told to end at last, unless it `stays`.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { useEverything, watchChanges } from "./conversation.mjs";

const LOG_LEVEL = "io.modelcontextprotocol/logLevel";
const { mode, versions, everything, changing, stays } = JSON.parse(process.argv[2]);
const eras = [];

const peer = {
    async connect(target) {
        const options = { versionNegotiation: { mode }, ...(versions && { supportedProtocolVersions: versions }) };
        const client = new Client({ name: "typescript", version: "1" }, options);
        await client.connect(transportTo(target));
        eras.push([client.getProtocolEra(), client.getNegotiatedProtocolVersion()]);
        return client;
    },
    call: (client, params, options) => client.callTool(params, options),
    hear: (client, method, handler) => client.setNotificationHandler(method, ({ params }) => handler(params)),
    async level(client, level) {
        if (client.getProtocolEra() === "modern") return { _meta: { [LOG_LEVEL]: level } };
        await client.setLoggingLevel(level);
        return {};
    },
    async subscribe(client) {
        const uri = "counter://value";
        if (client.getProtocolEra() === "modern") {
            const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: [uri] });
            return { honoured: subscription.honoredFilter, close: () => subscription.close() };
        }
        await client.subscribeResource({ uri });
        return { honoured: null, close: () => client.unsubscribeResource({ uri }) };
    },
};

const report = { everything: await useEverything(peer, everything), changing: await watchChanges(peer, changing), eras };
if (eras[0][0] === "modern" && !stays) report.end = await outliveTheServer();
console.log(JSON.stringify(report));

/** A target is a command, or the address of a server. */
function transportTo(target) {
    if (typeof target === "string") return new StreamableHTTPClientTransport(new URL(target));
    const [command, ...args] = target;
    return new StdioClientTransport({ command, args });
}

/** Hear from the server that it ends, while listening. */
async function outliveTheServer() {
    const client = await peer.connect(changing);
    const subscription = await client.listen({ toolsListChanged: true });
    const goodbye = await client.callTool({ name: "leave", arguments: {} });
    const closed = await subscription.closed;
    await client.close();
    return { goodbye, closed };
}
