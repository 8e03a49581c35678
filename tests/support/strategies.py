"""Conversations as hypothesis makes them up."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

ids = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="#"),
    min_size=1,
    max_size=128,
)
# What UTF-8, and so JSON, can carry: everything but lone surrogates.
texts = st.text(st.characters(codec="utf-8"), max_size=40)
timestamps = st.builds(
    lambda moment, fraction, zone: moment.isoformat(timespec="seconds")[:19] + fraction + zone,
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.from_regex(r"(\.[0-9]{1,9})?", fullmatch=True),
    st.sampled_from(["Z", "+00:00", "+02:00", "-11:30"]),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
_MESSAGE_FIELDS = {
    "direction": texts,
    "sent": st.booleans(),
    "message": texts,
    "status": texts,
    "_id": texts,
    "createdAt": timestamps,
    "updatedAt": timestamps,
}
messages = st.builds(
    lambda known, further: known | {k: v for k, v in further.items() if k not in known},
    st.fixed_dictionaries(_MESSAGE_FIELDS),
    st.dictionaries(texts, json_values, max_size=3),
)
conversations = st.fixed_dictionaries(
    {
        "_id": ids,
        "userId": ids,
        "pathwayId": texts,
        "agentId": texts,
        "customer": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("name", "email", "phone"), texts)
        ),
        "messages": st.lists(messages, max_size=4),
        "createdAt": timestamps,
        "updatedAt": timestamps,
    }
)
