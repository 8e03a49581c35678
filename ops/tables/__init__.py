"""The write side of both tables, for the console and the demo data.

`conversations.py` writes, reads and deletes many conversations at once; `api_keys.py` adds writing
to the key lookup of `storage`, which alone knows what a conversation's item looks like. `aws.py`
creates the clients, and retries for minutes; a function would give up after seconds.
"""
