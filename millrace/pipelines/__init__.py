"""Pipelines: plain functions become steps that run once for the same code, inputs, parameters and environment."""
