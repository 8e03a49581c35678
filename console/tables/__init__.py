"""Reads and writes both tables in bulk, for the console and the demo data.

`reading.py` reads many conversations at once, and `conversations.py` writes and deletes them.
`api_keys.py` adds writing to the key lookup of `storage`. `aws.py` creates the clients, and retries
for minutes; a function gives up after seconds.
"""
