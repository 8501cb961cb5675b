"""Operations: health, the demo, upkeep, checks of the configuration."""
