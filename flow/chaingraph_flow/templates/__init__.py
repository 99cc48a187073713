"""Templates in Jinja's language over JSON values: jinja2 parses, and the rest is here.

A flow's author is not the worker's owner. So a template is not compiled to Python, its values have no Python attributes
and methods, and whatever it does is paid for before it is done: see `budget`.
"""

from .rendering import rendered

__all__ = ["rendered"]
