"""Where pictures come from: the listing of a user's folder or text file, and the demo's generated drawings.

Decoding one picture is in `stages.method.decode`; packing and reading packed pictures are in `stages.artifacts`.
"""
