"""How a version comes to serve: gate, shadow, canary, promotion, and the way back, each step by a verdict."""
