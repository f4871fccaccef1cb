"""Reports: what records and journal lines tell, as pages that people read."""
