"""The settings that all environments share, one module for each subject; ``base`` gathers them."""
