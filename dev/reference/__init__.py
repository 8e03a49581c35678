"""Builds `docs/reference` from the code, for `make openapi`.

`openapi.py` builds the OpenAPI document from the handlers' declarations; `errors.py` adds the
errors. `pages.py` writes that document, and Markdown made from it.
"""
