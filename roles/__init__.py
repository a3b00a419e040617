"""Roles: one module for each thing that a Mac must have."""
