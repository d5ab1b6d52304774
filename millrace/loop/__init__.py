"""The circle closes here, and only here: a fact in the journal becomes calls of verbs, by rules that are data."""
