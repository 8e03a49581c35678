"""The operator's commands: `conversations load`, `export`, `delete`, `get` and `keys`.

Each command is a file of its name, which `ops/cli.py` registers. All share `options.py`: it says
which tables a command works on, and explains what DynamoDB refuses. Only `load.py` has helpers:
`loading.py` reads each file (`records.py`), makes Extended JSON plain (`extended_json.py`), hands
valid conversations to `ops/tables` in batches, and writes the other records to a rejects file
(`rejects.py`), while `progress.py` shows how far it is and listens for Ctrl-C.
"""
