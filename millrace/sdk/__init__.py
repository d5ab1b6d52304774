"""The Python side of a user: one client, embedded or remote, and handles named after the platform's nouns."""
