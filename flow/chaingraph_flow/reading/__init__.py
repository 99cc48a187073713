"""Reading what comes from outside: bytes of some charset into texts, and texts of JSON into values."""

from chaingraph_flow.reading.charsets import encoded, text_of_body
from chaingraph_flow.reading.json_text import NUMBERS, NUMBERS_HELP, parsed

__all__ = ["NUMBERS", "NUMBERS_HELP", "encoded", "parsed", "text_of_body"]
