"""What schemathesis needs so that its cases get past 404: real ids for random ones.

Knows no endpoint. It walks every GET of the document from the lists at its roots, takes the ids that it sees for
those of real objects (story.ts has made some of each kind), and puts them in where a generated id is as good as any:
one that has the form of an id and that no answer ever named. What is generated to break the schema is left alone.
"""

import os
import re
import zlib
from functools import cache

import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

URL, KEY = os.environ["PILLARBOX_URL"], os.environ["PILLARBOX_KEY"]
ID = re.compile(r"\b([a-z]{3})_[0-9a-f]{32}\b")
# The one in the document.
EXAMPLE = "019a2f3c5d7e7abc8def0123456789ab"
session = requests.Session()
session.trust_env = False
session.headers["Authorization"] = f"Bearer {KEY}"

paths = {}
# Every id that an answer named, with the path parameters of the request that first showed it.
seen = {}
# Those ids that were there before the first case: replacements come from these alone, so that a case can be repeated.
real = {}
# Objects to be deleted, which no other case may count on.
spare = set()


@cache
def get(path):
    answer = session.get(URL + path, timeout=30)
    return answer.json() if answer.ok and "json" in answer.headers["Content-Type"] else None


def look(template, context):
    """What GET answers, with its ids noted."""
    if "get" not in paths.get(template, {}):
        return None
    body = get(template.format(**context))
    for found in ID.finditer(str(body)):
        seen.setdefault(found.group(), context)
    return body


def objects(template):
    """The path parameters with which a path names something."""
    at = template.rfind("{")
    if at < 0:
        return [{}]
    parent, name = template[: at - 1], template[at + 1 : template.index("}", at)]
    listed, guessed = [], []
    for context in objects(parent):
        page = look(parent, context) or {}
        for item in page.get("data") or page.get("Resources") or []:
            listed.append({**context, name: item.get("id") or item.get(name)})
        guessed += [{**context, name: other} for other in of_kind(kind(template, name), context, seen)]
    # No list shows them: whatever some other answer named.
    return listed or [one for one in guessed if look(template[: template.index("}", at) + 1], one)]


def kind(template, name):
    """The prefix of a path parameter's ids."""
    for operation in paths[template].values():
        for parameter in operation.get("parameters", []) if isinstance(operation, dict) else []:
            if parameter["name"] == name and parameter["in"] == "path":
                schema = parameter["schema"]
                schema = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
                return schema.get("pattern", "")[1:4]
    return ""


def of_kind(prefix, context, ids):
    """Ids with a prefix, of those that belong to the context."""
    return [one for one, where in ids.items() if one[:3] == prefix and where.items() <= {**where, **context}.items()]


@schemathesis.hook
def after_load_schema(context, schema):
    global schemas
    schemas = schema.raw_schema["components"]["schemas"]
    paths.update(schema.raw_schema["paths"])
    # Twice, since the second time there are ids from everywhere for what is in no list.
    for _ in range(2):
        for template in sorted(paths, key=len):
            for found in objects(template):
                look(template, found)
    real.update(seen)
    for template in sorted(paths, key=len):
        if "delete" in paths[template]:
            here = [one for one in known(template) if not spare & set(one.values())]
            spare.update(list(one.values())[-1] for one in here[-(len(here) // 3) :] if len(here) > 1)
    known.cache_clear()
    reached = [template for template in paths if known(template)]
    print(f"fuzz: {len(real)} real ids, for {len(reached)} of {len(paths)} paths")
    for template in paths.keys() - set(reached):
        print(f"fuzz: NO REAL OBJECT for {template}: let story.ts make one")


@cache
def known(template, deleting=False):
    """The real objects of a path, without those that are to be deleted; or, for a deletion, these alone."""
    all = objects(template)
    kept = [one for one in all if not spare & set(one.values())]
    return [one for one in all if one not in kept] if deleting else kept or all


def pick(choices, value):
    """One of the choices, the same for the same value; none for one value in eight."""
    number = zlib.crc32(repr(value).encode())
    spared = number % 8 == 0 and EXAMPLE not in repr(value)
    return choices[number // 8 % len(choices)] if choices and not spared else None


@schemathesis.serializer("message/rfc822")
def message(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.deserializer("message/rfc822")
def text(context, response):
    return response.content.decode("latin-1")


def stands(case):
    """Whether the path's ids are to be left: answers named each for the others, or a story of schemathesis' own did."""
    names = case.path_parameters or {}
    if case.meta and case.meta.phase.name == TestPhase.STATEFUL:
        return any(value in seen for value in names.values())
    return all(value in seen and seen[value].items() <= {**seen[value], **names}.items() for value in names.values())


@schemathesis.hook
def before_call(context, case, kwargs):
    names = case.path_parameters or {}
    if all(ID.fullmatch(str(value)) for value in names.values()) and not stands(case):
        names.update(pick(known(case.operation.path, case.method == "DELETE"), names) or {})
    for part in (case.query, case.body):
        for name, value in list(part.items()) if isinstance(part, dict) else []:
            if isinstance(value, str) and ID.fullmatch(value) and value not in seen:
                kin = of_kind(value[:3], names, real) or of_kind(value[:3], names, seen)
                part[name] = pick(kin, value) or value
    if case.operation.definition.raw.get("security") == [{}] and case.headers:
        case.headers.pop("Authorization", None)
    if case.meta and case.meta.generation.mode == GenerationMode.POSITIVE:
        plausible(case)


def plausible(case):
    """Values that no schema can describe, for most of the cases that mean well."""
    label, context = case.operation.label, case.path_parameters or {}
    mark = f"{zlib.crc32(repr((label, context, case.query, case.body)).encode()):08x}"
    key = (case.headers or {}).get("Idempotency-Key")
    if key:
        # Another request, another key; as long as it was.
        case.headers["Idempotency-Key"] = key[: -len(mark)] + mark
    if (case.query or {}).get("cursor"):
        page = get(f"{case.operation.path.format(**context)}?limit=1") or {}
        case.query["cursor"] = pick([page.get("next_cursor")], mark) or case.query["cursor"]
    if not isinstance(case.body, dict) or not pick([True], mark):
        return
    if label == "POST /v1/auth/token":
        client_id = KEY.split("_")[1]
        case.body.update(grant_type="client_credentials", client_id=f"key_{client_id}", client_secret=KEY, scope="")
    if label.endswith("/domains"):
        case.body["name"] = f"{mark}.example"
    if "address" in case.body and "tenant_id" in context:
        page = look("/v1/tenants/{tenant_id}/domains", context) or {}
        names = [item["name"] for item in page.get("data", [])]
        case.body["address"] = f"{mark}@{pick(names, mark) or 'nowhere.example'}"


# What a request that keeps to its schema may still be refused for (422), and why no schema can say so.
BEYOND = {
    "/address": "in a domain of the tenant",
    "/aliases/*": "in a domain of the tenant",
    "/as_of": "not after the tenant's present day",
    "/expires_at": "in the future",
    "/now": "after the test clock's present time",
    "/price_book_id": "a book of the tenant's reseller",
    "/reseller_id": "named by an operator, and only by one",
    "/scope": "the reseller or tenant of the path",
    "/term_months": "a multiple of another member",
    "/time_zone": "an IANA name",
    "cursor": "made by the server",
}
STATES = {"idempotency_key_reuse", "quota_exceeded"}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Refusals of what keeps to its schema are faults, but for those; and every sequence of bytes is a message."""
    if isinstance(failure, AcceptedNegativeData) and case.media_type == "message/rfc822":
        return False
    # What is deleted can be seen as deleted.
    if isinstance(failure, UseAfterFree) and '"status":"deleted"' in response.text:
        return False
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 422:
        return True
    problem = response.json()
    rules = {re.sub(r"/\d+", "/*", error.get("pointer") or error.get("parameter", "")) for error in problem.get("errors", [])}
    return problem["code"] not in STATES and not (rules and rules <= BEYOND.keys())


@schemathesis.hook
def after_call(context, case, response):
    for found in ID.finditer(response.text if "json" in response.headers.get("content-type", [""])[0] else ""):
        seen.setdefault(found.group(), case.path_parameters or {})
