"""What the operator gave: settings, credentials, attestations, and where things are stored."""
