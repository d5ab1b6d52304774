"""Features: what was known about an entity at a moment, by one definition, for training and for one online request."""
