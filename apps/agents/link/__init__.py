"""The link to the agents-server: its messages, the outbox relay, the inbox, the lease and the socket."""
