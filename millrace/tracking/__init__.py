"""Tracking: what ran, with which parameters, on which data and code, and what came out; found again in milliseconds."""
