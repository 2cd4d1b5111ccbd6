"""The protocol with no I/O in it: framing, codec, connections of both sides. See docs/protocol.md."""
