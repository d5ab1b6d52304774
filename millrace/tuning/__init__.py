"""Tuning: a search over parameters. Its trials are runs, so everything a run has, a trial has.

A study stores its definition and, for each trial, one row with the parameters and the run; the value is the run's own
metric. A search that was cut short goes on where it was, and the default configuration is always tried first.
"""
