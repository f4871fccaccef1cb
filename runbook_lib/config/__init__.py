"""The operator's input: settings, credentials, attestations, and the places of files."""
