"""Where pictures come from: a user's folder or list, sets for evaluation as they lie, and what is drawn for the demo.

Decoding one picture is in `stages.method.decode`; packing and reading packed pictures are in `stages.artifacts`.
"""
