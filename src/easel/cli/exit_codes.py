"""What the commands end with: 0 is done, 128 + n stopped by signal n."""

FAILED = 1
REFUSED = 2  # the request cannot be sent as it is
