"""Serving: endpoints that answer by an immutable routing table, and a log of every answer, written before it leaves."""
