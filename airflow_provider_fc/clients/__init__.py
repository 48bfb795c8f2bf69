"""Drives the core: the only package that touches the network or sleeps."""
