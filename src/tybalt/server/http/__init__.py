"""Serving over HTTP: the exchange between requests and sessions, and the faces that put it on a socket."""
