// Loaded before the suite: its servers name no host, and would be reachable from other machines. So they are from this one alone.
// `_listen2` is where node has settled the address and has not yet used it; later than `listen`, whose host would be looked up, and
// the suite asks for its port before that is done.
const { Server } = require("node:net");

const listen = Server.prototype._listen2;

Server.prototype._listen2 = function (address, port, family, ...others) {
  const anywhere = address == null && port >= 0;
  return anywhere ? listen.call(this, "127.0.0.1", port, 4, ...others) : listen.call(this, address, port, family, ...others);
};
