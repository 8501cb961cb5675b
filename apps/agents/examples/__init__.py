"""Programs to start from; nothing of the application imports them."""
