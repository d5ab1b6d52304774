"""Who acts, in which workspace, and what they may: actors, roles, tokens. Deny by default."""
