"""The catalog: current state in tables, and every change as one fact of a hash-chained journal, in one transaction.

Two engines stand behind it, SQLite and PostgreSQL, with the same promises (`millrace.testing.catalog_suite`).
"""
