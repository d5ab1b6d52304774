"""Bedrock: ids, clocks, errors, names, configuration and the `Op` record.

Everything else stands on this package, so it imports only the standard library and msgspec.
"""
