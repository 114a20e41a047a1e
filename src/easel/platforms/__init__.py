"""Which platform to choose: measure a target, simulate traffic on each, price it. Needs the extra `easel[plan]`."""
