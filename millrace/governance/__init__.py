"""What can be shown about a model version: its card, made from the evidence and never from hope."""
