"""Studies: a file that asks one question, the runs it stands for, and how far they are."""
