"""One module per command of mirrorctl."""
