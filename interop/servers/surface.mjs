// What both TypeScript servers offer: what our example has, as far as the SDK has it. They differ in what they bring:
//
//   kit.z, kit.completable, kit.ResourceTemplate
//   kit.argsSchema(shape)               the arguments of a prompt
//   kit.tell(context, notification)     send a notification that belongs to a request
//   kit.about(context)                  { signal, progressToken } of a request
//   kit.log(server, context, text)      a log message of level info

import { setTimeout as pause } from "node:timers/promises";

export function offer(server, { z, completable, ResourceTemplate, argsSchema, tell, about, log }) {
    const text = (value) => ({ content: [{ type: "text", text: value }] });

    server.registerTool(
        "add",
        {
            description: "Add two whole numbers.",
            inputSchema: z.object({ a: z.number().int(), b: z.number().int() }),
            outputSchema: z.object({ result: z.number() }),
        },
        ({ a, b }) => ({ ...text(String(a + b)), structuredContent: { result: a + b } }),
    );
    server.registerTool("fail", { description: "Say no." }, () => ({ ...text("No."), isError: true }));
    server.registerTool(
        "count",
        {
            description: "Count up, with progress and log messages.",
            inputSchema: z.object({ to: z.number().int(), pause: z.number().default(0) }),
        },
        async ({ to, pause: seconds }, context) => {
            const { signal, progressToken } = about(context);
            for (let step = 1; step <= to; step++) {
                const params = { progressToken, progress: step, total: to, message: `step ${step}` };
                if (progressToken !== undefined) await tell(context, { method: "notifications/progress", params });
                await log(server, context, `counted ${step}`);
                await pause(seconds * 1000, undefined, { signal });
            }
            return text(`counted to ${to}`);
        },
    );
    server.registerResource(
        "settings",
        "config://settings",
        { description: "Settings as JSON.", mimeType: "application/json" },
        (uri) => ({ contents: [{ uri: uri.href, mimeType: "application/json", text: '{"theme":"dark"}' }] }),
    );
    server.registerResource(
        "profile",
        new ResourceTemplate("users://{id}/profile", { list: undefined }),
        { description: "The profile of one user.", mimeType: "application/json" },
        (uri, { id }) => ({ contents: [{ uri: uri.href, mimeType: "application/json", text: `{"id":${id}}` }] }),
    );
    const known = (value) => ["python", "pascal", "ruby"].filter((name) => name.startsWith(value ?? ""));
    // Twice: one generation looks for the suggestions inside of what is optional, the other outside.
    const language = completable(completable(z.string(), known).optional(), known);
    server.registerPrompt(
        "review",
        { description: "Ask for a review of some code.", argsSchema: argsSchema({ code: z.string(), language }) },
        ({ code, language = "python" }) => ({
            messages: [
                { role: "user", content: { type: "text", text: `Please review this ${language} code: ${code}` } },
            ],
        }),
    );
    return server;
}
