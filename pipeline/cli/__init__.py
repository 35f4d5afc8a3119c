"""The command line, by Typer: options in, lines and tables out.

The work is done by the modules below, which Python can call as well.
"""
