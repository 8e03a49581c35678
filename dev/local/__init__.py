"""The local API behind `make run`, and the single event behind `make invoke`.

`make run` calls `server.running`, which starts, in this process:

- the API as `template.yaml` describes it: `template.py` reads the routes, functions, tables and
  gateway responses, and `cloudformation.py` resolves `!Ref` and the other intrinsic functions;
- a DynamoDB with the demo data (`dynamodb.py`, `dynamodb_port.py`, `demo.py`), and the environment
  variables that direct boto3 to it (`environment.py`);
- an HTTP server (`server.py`), on the port asked for or the next free one (`ports.py`).

Both ports answer only requests that name this machine (`addresses.py`), since any web page that
someone visits can send requests to 127.0.0.1.

`gateway.py` plays API Gateway. For each request it builds an event (`events.py`) for the authorizer
and, if that allows the request, one for the route's function. `functions.py` plays Lambda: it
imports the handlers from `src/`, again after each edit, and calls them. `debugger.py` lets a
`breakpoint()` in them reach the terminal. `docs_site.py` serves the reference beside the API.

`make invoke` runs one event on demo data of its own, in Lambda's own runtime client, in another
process (`runtime.py`).
"""
