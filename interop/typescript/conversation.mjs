// What either TypeScript client says to our two servers, and what it hears: one report, which test_typescript.py judges.
//
// The two generations of the SDK differ in how one connects, calls a tool and hears notifications; `modern.mjs` and
// `legacy.mjs` each bring a `peer` that does these. Everything else is the same in both.
//
//   peer.connect(command)               a connected client
//   peer.call(client, params, options)  tools/call
//   peer.hear(client, method, handler)  handler(params) for each notification of that method
//   peer.level(client, level)           the `_meta` that calls need for log messages of that level, after asking for it

/** Use all that the example has. */
export async function useEverything(peer, command) {
    const client = await peer.connect(command);
    const call = (name, args = {}, options = undefined) => peer.call(client, { name, arguments: args }, options);
    const report = {
        ...introduction(client),
        tools: (await client.listTools()).tools,
        resources: (await client.listResources()).resources,
        templates: (await client.listResourceTemplates()).resourceTemplates,
        prompts: (await client.listPrompts()).prompts,
        add: await call("add", { a: 5, b: 3 }),
        weather: await call("weather", { city: "Verona" }),
        pixel: await call("pixel"),
        divide: await call("divide", { a: 1, b: 0 }),
        crash: await call("crash"),
        badArguments: await outcome(call("add", { a: "five", b: 3 })),
        unknownTool: await outcome(call("subtract")),
        settings: await client.readResource({ uri: "config://settings" }),
        profile: await client.readResource({ uri: "users://7/profile" }),
        unknownResource: await outcome(client.readResource({ uri: "config://nothing" })),
        review: await client.getPrompt({ name: "review", arguments: { code: "print(1)" } }),
        unknownPrompt: await outcome(client.getPrompt({ name: "poem" })),
        languages: await client.complete({
            ref: { type: "ref/prompt", name: "review" },
            argument: { name: "language", value: "p" },
        }),
        ids: await client.complete({
            ref: { type: "ref/resource", uri: "users://{id}/profile" },
            argument: { name: "id", value: "" },
        }),
        ping: await outcome(client.ping()),
        ...(await countAndListen(peer, client)),
        ...(await cancel(call)),
    };
    await client.close();
    return report;
}

/** Look on while the lists change, in whichever way the era has. */
export async function watchChanges(peer, command) {
    const client = await peer.connect(command);
    const call = (name) => peer.call(client, { name, arguments: {} });
    const heard = [];
    const told = { tools: gate(), resource: gate() };
    peer.hear(client, "notifications/tools/list_changed", () => {
        heard.push("tools");
        told.tools.open();
    });
    peer.hear(client, "notifications/resources/updated", ({ uri }) => {
        heard.push(uri);
        told.resource.open();
    });
    const subscription = await peer.subscribe(client);
    const before = (await client.listTools()).tools.map((tool) => tool.name);
    await call("grow");
    await told.tools.opened;
    const after = (await client.listTools()).tools.map((tool) => tool.name);
    await call("touch");
    await told.resource.opened;
    await subscription.close();
    await call("touch");
    const report = { honoured: subscription.honoured, before, after, heard };
    await client.close();
    return report;
}

function introduction(client) {
    return {
        server: client.getServerVersion(),
        capabilities: client.getServerCapabilities(),
        instructions: client.getInstructions(),
    };
}

/** Progress of one call; log messages of another, and of a third that must have none. */
async function countAndListen(peer, client) {
    const progress = [];
    const onprogress = (step) => progress.push(step);
    const counting = { name: "count", arguments: { to: 5, pause: 0.05 } };
    const counted = await peer.call(client, counting, { onprogress });
    const logs = [];
    peer.hear(client, "notifications/message", ({ level, data }) => logs.push([level, data]));
    const info = await peer.level(client, "info");
    await peer.call(client, { name: "count", arguments: { to: 2 }, ...info });
    const warning = await peer.level(client, "warning");
    await peer.call(client, { name: "count", arguments: { to: 3 }, ...warning });
    return { counted, progress, logs };
}

/** Give up a call once it has begun, and show that the server is there. */
async function cancel(call) {
    const giveUp = new AbortController();
    const options = { signal: giveUp.signal, onprogress: () => giveUp.abort("enough") };
    const cancelled = await outcome(call("count", { to: 60, pause: 1 }, options));
    return { cancelled, afterwards: await call("add", { a: 1, b: 1 }) };
}

/** What became of a promise: `{ result }` or `{ error }` with its code. */
async function outcome(promise) {
    try {
        return { result: await promise };
    } catch (error) {
        return { error: String(error), code: error?.code };
    }
}

/** Something to wait for. */
function gate() {
    let open;
    const opened = new Promise((resolve) => {
        open = resolve;
    });
    return { open, opened };
}
