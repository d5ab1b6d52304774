"""Protocols that other tools speak. Each module translates: foreign request, op, foreign answer. Nothing else."""
