"""One feature's column in PostgreSQL, and how its values come and go: Feast's protos, Arrow, psycopg."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, python_values_to_proto_values
from feast.types import FeastType

from recommender.errors import RecommenderError
from recommender.storage.copy_arrow import TIMESTAMP, postgres_type

_ARROW_TYPES = {
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "BOOL": pa.bool_(),
    "UNIX_TIMESTAMP": TIMESTAMP,
    # Feast keeps these as texts too
    "UUID": pa.string(),
    "TIME_UUID": pa.string(),
    "DECIMAL": pa.string(),
    "JSON": pa.string(),
}


@dataclass(frozen=True)
class OnlineColumn:
    """A feature: a scalar of Feast's, or a list or a set of them, which PostgreSQL both keeps as arrays.

    A missing number is NULL, NaN too. Inside a list Feast knows nothing missing: texts become empty, numbers NaN.
    Maps, structures and what else has no type of PostgreSQL's are kept as bytes: Feast's own message.
    """

    feature: str
    name: str
    """Of the column."""
    dtype: FeastType

    @cached_property
    def arrow_type(self) -> pa.DataType:
        if self._is_message:
            return pa.binary()
        element = _ARROW_TYPES[self._element]
        return pa.list_(element) if self._is_list else element

    @cached_property
    def postgres_type(self) -> str:
        return postgres_type(self.arrow_type)

    def to_postgres(self, proto: Value) -> Any:
        """What psycopg takes; None for a value that is not set and for NaN."""
        field = proto.WhichOneof("val")
        if field is None:
            return None
        if self._is_message:
            return proto.SerializeToString()
        value = getattr(proto, field)
        if self._is_list:
            return [_instant(element) for element in value.val] if self._is_instant else list(value.val)
        if self._is_instant:
            return _instant(value)
        return None if isinstance(value, float) and math.isnan(value) else value

    def to_proto(self, value: Any) -> Value:
        """From what psycopg gives."""
        if value is None:
            return Value()
        if self._is_message:
            message = Value()
            message.ParseFromString(value)
            return message
        if self._is_instant:
            value = [_seconds(element) for element in value] if self._is_list else _seconds(value)
        fields: dict[str, Any] = {self._field: {"val": value} if self._is_list else value}
        return Value(**fields)

    def to_arrow(self, column: pa.Array) -> pa.Array:
        """An offline store's column in `arrow_type`.

        Raises
        ------
        RecommenderError
            A value can't be one of this feature's type.
        """
        if pa.types.is_null(column.type):
            return pa.nulls(len(column), self.arrow_type)
        try:
            if self._is_message:
                return self._messages(column)
            if not self._is_list:
                return self._cast(column)
            elements = self._cast(column.flatten())
            if elements.null_count:
                elements = elements.fill_null(np.nan if pa.types.is_floating(elements.type) else "")
            lengths = pc.list_value_length(column)
            ends = np.cumsum(lengths.fill_null(0).to_numpy())
            missing = np.append(lengths.is_null().to_numpy(zero_copy_only=False), False)
            offsets = pa.array(np.concatenate([[0], ends]), pa.int32(), mask=missing)
            return pa.ListArray.from_arrays(offsets, elements)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, AttributeError, ValueError, TypeError):
            raise RecommenderError(
                f"{self.feature} is declared as {self.dtype}, but its {column.type} values don't all fit"
            ) from None

    def _cast(self, values: pa.Array) -> pa.Array:
        wanted = _ARROW_TYPES[self._element]
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), None, values)
        if pa.types.is_integer(values.type) and self._is_instant:
            values = values.cast(pa.timestamp("s"))
        # fractions of a microsecond, or digits past the type's precision, may go; whole numbers must stay whole
        return values.cast(wanted, safe=not (pa.types.is_floating(wanted) or self._is_instant))

    def _messages(self, column: pa.Array) -> pa.Array:
        values = column.to_pylist(maps_as_pydicts="lossy")
        protos = python_values_to_proto_values(values, self.dtype.to_value_type())
        return pa.array([self.to_postgres(proto) for proto in protos], pa.binary())

    @cached_property
    def _field(self) -> str:
        """The proto's member for this type."""
        return f"{self.dtype.to_value_type().name.lower()}_val"

    @cached_property
    def _element(self) -> str:
        return str(self.dtype.to_value_type().name).removesuffix("_LIST").removesuffix("_SET")

    @cached_property
    def _is_message(self) -> bool:
        return self._element not in _ARROW_TYPES

    @cached_property
    def _is_list(self) -> bool:
        return self._field.endswith(("_list_val", "_set_val"))

    @cached_property
    def _is_instant(self) -> bool:
        return self._element == "UNIX_TIMESTAMP"


def _seconds(instant: datetime | None) -> int:
    """Feast counts whole seconds."""
    return NULL_TIMESTAMP_INT_VALUE if instant is None else math.floor(instant.timestamp())


def _instant(seconds: int) -> datetime | None:
    return None if seconds == NULL_TIMESTAMP_INT_VALUE else datetime.fromtimestamp(seconds, UTC)
