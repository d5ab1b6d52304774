"""The platform over HTTP: the native API derived from the op table, foreign protocols in `speaks/`, and the page."""
