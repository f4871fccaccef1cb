"""Each check, against the bodies that Facebook and Cyclr are known to send."""
