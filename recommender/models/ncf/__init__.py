"""Neural collaborative filtering: a network, not a dot product, says how well a user and an item fit."""
