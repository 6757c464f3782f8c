"""The rehearsal stage: a Linode API, a Harbor, a source registry and stand-in providers, on this machine.

For the demo and the tests only; nothing of the product imports it.
"""
