"""The network: its sites found by role, attention grafted onto them, stock weights kept."""
