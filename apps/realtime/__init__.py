"""The wire: sockets, rooms, and what their clients see."""
