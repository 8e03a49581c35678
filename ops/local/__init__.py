"""The local API behind `make run`, and the single event behind `make invoke`.

`make run` calls `server.running`, which does four things. It reads the routes, functions, tables
and gateway responses from `template.yaml` (`template.py`; `cloudformation.py` resolves `!Ref` and
its like). It starts a DynamoDB in this process with the demo data (`dynamodb.py`, `demo.py`), and
keeps the variables that lead boto3 there (`environment.py`). It listens on a port (`ports.py`).
Then, for each request, it asks `gateway.py`, which does what API Gateway does: it makes an event
(`events.py`) for the authorizer, and if that allows the request, one for the route's function.
`functions.py` does what Lambda does: it imports the handler from `src/`, anew after an edit, and
calls it. In there, `debugger.py` lets `breakpoint()` reach the terminal. `docs_site.py` serves the
reference beside the API.

`make invoke` plays one event on the same data, but in Lambda's own runtime client, in another
process (`runtime.py`).
"""
