"""How results are shown: text, JSON reports, pages."""
