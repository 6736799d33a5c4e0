"""The network: find sites by role, graft attention onto them, keep the stock weights."""
