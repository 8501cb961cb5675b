"""What the demo agents can do: one module for each kind of brief; ``catalogue`` finds the one for a text."""
