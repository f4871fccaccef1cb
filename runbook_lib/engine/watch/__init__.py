"""A watch over tenants, one or thousands: looks, changes, messages, and rounds of them."""
