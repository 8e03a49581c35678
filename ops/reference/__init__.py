"""Builds `docs/reference` from the code, for `conversations openapi`.

`openapi.py` builds the OpenAPI document from the handlers' declarations; `errors.py` adds the
errors. `pages.py` writes that document, and Markdown made from it.
"""
