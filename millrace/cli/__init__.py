"""The command line: `millrace <noun> <verb>`, derived from the op table; stdout is data, stderr is progress."""
