"""Keeps watch over tenants: fleets, open items, the page, the watch, customers."""
