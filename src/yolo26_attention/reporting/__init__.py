"""What `python -m src.report` is made of: a study's records in, tables, pictures and a page out."""
