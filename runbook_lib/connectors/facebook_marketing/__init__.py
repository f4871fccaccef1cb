"""The documented procedure for the Facebook Marketing API connector."""
