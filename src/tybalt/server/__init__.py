"""The server: what it offers, how handlers are compiled, and how connections are served."""
