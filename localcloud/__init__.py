"""Simulators of Linode, Harbor and registries, and stand-in providers: a cloud on this machine for demo and tests.

The product does not import it, and it does not import the product.
"""
