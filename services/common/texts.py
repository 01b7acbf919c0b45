"""Texts in messages that no database keeps."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

NUL = "\0"


def fields_with_nul(message: Message, path: str = "") -> Iterator[str]:
    """Paths of the texts that hold the character NUL, which PostgreSQL refuses wherever text is kept."""
    if not _has_text(message.DESCRIPTOR):
        return
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            texts = (text for pair in value.items() for text in pair if isinstance(text, str))
            yield from (name for text in texts if NUL in text)
        elif inner is not None:
            for at, part in enumerate(value) if field.is_repeated else [(None, value)]:
                yield from fields_with_nul(part, f"{name}." if at is None else f"{name}[{at}].")
        elif field.type == FieldDescriptor.TYPE_STRING:
            values: Any = value if field.is_repeated else [value]
            yield from (name for text in values if NUL in text)


@cache
def _has_text(message: Descriptor) -> bool:
    return any(
        field.type == FieldDescriptor.TYPE_STRING or (field.message_type is not None and _has_text(field.message_type))
        for field in message.fields
    )
