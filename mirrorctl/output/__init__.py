"""How reports are printed: text, JSON, an HTML page, metrics."""
