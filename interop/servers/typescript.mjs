// A server written with `@modelcontextprotocol/server` 2.4, for our client to use over stdio, in both eras.

import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { make } from "./typescript_server.mjs";

serveStdio(make);
