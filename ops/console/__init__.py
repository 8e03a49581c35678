"""The operator's commands: `conversations load`, `export`, `delete`, `find`, `get` and `keys`.

Each command is a file of its name, which `ops/cli.py` registers; `scan.py` holds those that read
the whole table (`find`, `users`, `workspaces`). All share `options.py`, which says which tables a
command works on, and `errors.py`, which explains what went wrong. These files import slow modules
late, so that `--help` is quick. `delete.py` leaves its work to `deleting.py`, and `load.py` to
`loading.py`: that reads each file (`records.py`), makes Extended JSON plain (`extended_json.py`),
hands valid conversations to `writer.py`, which stores them in batches, and writes the other records
to a rejects file (`rejects.py`). `progress.py` shows how far it is, and listens for Ctrl-C.
"""
