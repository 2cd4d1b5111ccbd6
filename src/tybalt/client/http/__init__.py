"""A client's way to a server over HTTP: Streamable HTTP in both eras, and the HTTP+SSE of 2024-11-05."""
