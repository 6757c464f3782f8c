"""Resource hooks: they gate creations and explain errors."""
