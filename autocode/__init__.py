"""The composition root: settings, URLs and the ASGI application. It may import everything; nothing imports it."""
