"""The registry: models, their versions with all they were made from, and names moved by recorded decisions."""
