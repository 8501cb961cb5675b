"""The applications of AutoCode; ``apps/README.md`` is the map. Imports among them point downward only."""
