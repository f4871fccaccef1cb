"""A watch over tenants, one or thousands: two polls are compared, one digest goes to a receiver."""
