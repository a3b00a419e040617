"""Putting artifacts on many Macs: a chain of plain HTTP range relays."""
