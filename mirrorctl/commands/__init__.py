"""One module per command: it parses options, calls mirrorctl.live or mirrorctl.offline, and prints the report."""
