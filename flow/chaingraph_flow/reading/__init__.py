"""Read external data: bytes of a charset into texts, and JSON texts into values."""

from chaingraph_flow.reading.charsets import encoded, text_of_body
from chaingraph_flow.reading.json_text import NUMBERS, NUMBERS_HELP, parsed

__all__ = ["NUMBERS", "NUMBERS_HELP", "encoded", "parsed", "text_of_body"]
