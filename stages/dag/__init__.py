"""What stages there are, where each stands, and what it reads, writes and is tuned by.

`declared` holds one declaration each, found by walking that package; `graph` puts them at the places of a run.
"""
