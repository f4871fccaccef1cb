"""Every command meets every kind of odd file: whole commands, hundreds of times."""
