"""Who people, agents and the system are, and how they prove it."""
