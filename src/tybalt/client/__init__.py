"""The client: `Client`, its links to servers, its deadlines."""
