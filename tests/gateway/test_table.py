"""The table, and the document that is made of it."""

import importlib
import json
from pathlib import Path

import httpx
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import Default as default_pool

import protos
from services.gateway import json_forms, openapi
from services.gateway.comments import comments
from services.gateway.methods import methods
from services.gateway.table import LISTS, ROUTES

ROOT = Path(protos.__file__).parent


def test_every_call_of_the_contracts_is_reachable() -> None:
    missing = []
    for path in ROOT.rglob("lwmecps/**/*.proto"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        module = importlib.import_module(f"protos.{name}_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            known = ROUTES.get(service.full_name, {})
            missing += [method.full_name for method in service.methods if method.name not in known]
    assert not missing, "services/gateway/table.py has no row for these"


def test_no_two_calls_share_a_name_or_a_place() -> None:
    known = list(methods())
    assert len({m.name for m in known}) == len({(m.verb, m.path) for m in known}) == len(known)


@pytest.mark.parametrize("method", list(methods()), ids=lambda method: method.name)
def test_what_stands_in_a_path_or_a_query_is_a_plain_field(method) -> None:
    fields = method.request.fields_by_name
    assert set(method.in_path) <= set(fields)
    if not method.takes_body:
        assert all(field.message_type is None for field in fields.values())


def test_the_table_says_what_a_list_becomes_in_every_tensor_of_a_request() -> None:
    found: set[str] = set()
    seen: set[str] = set()

    def walk(descriptor: Descriptor) -> None:
        if descriptor.full_name in seen:
            return
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            inner = field.message_type.fields_by_name["value"] if json_forms.is_map(field) else field
            if inner.message_type is not None and inner.message_type.full_name == json_forms.TENSOR:
                found.add(field.full_name)
            elif inner.message_type is not None:
                walk(inner.message_type)

    for method in methods():
        walk(method.request)
    assert found == set(LISTS)
    assert all(default_pool().FindFieldByName(name) for name in LISTS)


def test_everything_in_the_document_is_explained_by_the_contracts() -> None:
    said = comments()
    unsaid = [
        f.full_name
        for m in methods()
        for kind in (m.request, m.response)
        for f in kind.fields
        if not said.get(f.full_name)
    ]
    assert not unsaid
    assert all(said[method.descriptor.full_name] for method in methods())


def test_the_document_names_only_schemas_that_it_holds(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    assert document == openapi.document()
    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named <= set(document["components"]["schemas"])
    task_id = document["paths"]["/v1/tasks/{task_id}"]["get"]["parameters"][0]
    assert task_id["schema"] == {"type": "string", "minLength": 1, "maxLength": 128}
    assert (
        document["components"]["schemas"]["registry.v1.Run"]["properties"]["step"]["description"] == "Steps done, ≥ 0."
    )
