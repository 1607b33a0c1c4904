"""What schemathesis needs so that its cases get past 404: real ids for random ones.

It knows no endpoint for that. It walks every GET of the document from the lists at its roots, takes the ids that it
sees for those of real objects (story.ts has made some of each kind), and puts them in where a generated id is as good
as any: one that has the form of an id and that no answer ever named. What is generated to break the schema is left
alone. What no schema can say is at the end: values to go on with (`plausible`), refusals to expect (`BEYOND`).
"""

import os
import re
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import urlencode

import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData, UseAfterFree

URL, KEY = os.environ["PILLARBOX_URL"], os.environ["PILLARBOX_KEY"]
ID = re.compile(r"\b([a-z]{3})_[0-9a-f]{32}\b")
# The one in the document.
EXAMPLE = "019a2f3c5d7e7abc8def0123456789ab"
session = requests.Session()
session.trust_env = False
session.headers["Authorization"] = f"Bearer {KEY}"

document, paths = {}, {}
# Every id that an answer named, with the path parameters of the request that first showed it.
seen = {}
# Those ids that were there before the first case: replacements come from these alone, so that a case can be repeated.
real = {}
# Objects to be deleted, which no other case may count on.
spare = set()


def get(path):
    answer = session.get(URL + path, timeout=30)
    return answer.json() if answer.ok and "json" in answer.headers["Content-Type"] else None


def look(template, context, query=""):
    """What GET answers, with its ids noted."""
    if "get" not in paths.get(template, {}):
        return None
    body = get(template.format(**context) + query)
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
        for query in queries(parent):
            page = look(parent, context, query) or {}
            for item in page.get("data") or page.get("Resources") or []:
                listed.append({**context, name: item.get("id") or item.get(name)})
        guessed += [{**context, name: other} for other in of_kind(kind(template, name), context, seen)]
    # No list shows them: whatever some other answer named. SCIM has nothing at the tenant itself, only below it.
    itself = template[: template.index("}", at) + 1]
    return listed or [one for one in guessed if look(itself if itself in paths else template, one)]


def queries(template):
    """Queries that show all of a list: without parameters, and with each value of those that are enumerations."""
    yield "?limit=200" if any(one["name"] == "limit" for one in parameters(template, "query")) else ""
    for parameter in parameters(template, "query"):
        for value in resolved(parameter["schema"]).get("enum", []):
            yield f"?{parameter['name']}={value}"


def parameters(template, place):
    operation = paths.get(template, {}).get("get") or next(iter(paths.get(template, {}).values()), {})
    return [one for one in operation.get("parameters", []) if one["in"] == place]


def resolved(schema):
    return document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)


def kind(template, name):
    """The prefix of a path parameter's ids."""
    return "".join(resolved(one["schema"]).get("pattern", "")[1:4] for one in parameters(template, "path") if one["name"] == name)


def of_kind(prefix, context, ids):
    """Ids with a prefix, of those that belong to the context."""
    return [one for one, where in ids.items() if one[:3] == prefix and where.items() <= {**where, **context}.items()]


@schemathesis.hook
def after_load_schema(context, schema):
    document.update(schema.raw_schema)
    paths.update(document["paths"])
    # Twice, since the second time there are ids from everywhere for what is in no list.
    for _ in range(2):
        for template in sorted(paths, key=len):
            for found in objects(template):
                look(template, found)
    real.update(seen)
    for template in sorted(paths, key=len):
        if "delete" in paths[template]:
            here = [one for one in known(template) if not spare & set(one.values())]
            spare.update(list(one.values())[-1] for one in here[len(here) - max(1, len(here) // 3) :] if len(here) > 1)
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


def fits(value, names):
    """Whether an answer named the id, and did so beside these others: a message in its mailbox, not in any."""
    return value in seen and seen[value].items() <= {**seen[value], **names}.items()


def in_a_story(case):
    return case.meta and case.meta.phase.name == TestPhase.STATEFUL


@schemathesis.hook
def before_call(context, case, kwargs):
    names = case.path_parameters or {}
    if in_a_story(case):
        # What it has made itself, it means.
        stands = any(value in seen for value in names.values())
        # What it has made is there, and what it has deleted is gone.
        tries = (case.query or {}).get("dry_run")
        if tries is True or tries == "true":
            del case.query["dry_run"]
    else:
        stands = all(fits(value, names) for value in names.values())
    if not stands and all(ID.fullmatch(str(value)) for value in names.values()):
        names.update(pick(known(case.operation.path, case.method == "DELETE"), names) or {})
    for part in (case.query, case.body):
        for name, value in list(part.items()) if isinstance(part, dict) else []:
            if isinstance(value, str) and ID.fullmatch(value) and not fits(value, names):
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
        # Another request, another key, as long as it was. A story wants nothing replayed: it may be gone by now.
        key_mark = f"{zlib.crc32(case.id.encode()):08x}" if in_a_story(case) else mark
        case.headers["Idempotency-Key"] = key[: -len(key_mark)] + key_mark
    if (case.query or {}).get("cursor"):
        # One of the list that is asked for: it is good for that alone.
        filters = {name: value for name, value in case.query.items() if name != "cursor"} | {"limit": 1}
        page = get(f"{case.operation.path.format(**context)}?{urlencode(filters)}") or {}
        case.query["cursor"] = pick([page.get("next_cursor")], mark) or case.query["cursor"]
    if not isinstance(case.body, dict) or not pick([True], mark):
        return
    if label == "POST /v1/auth/token":
        client_id = KEY.split("_")[1]
        case.body.update(grant_type="client_credentials", client_id=f"key_{client_id}", client_secret=KEY, scope="")
    if label.endswith("/test-clock"):
        clock = (look("/v1/tenants/{tenant_id}", context) or {}).get("test_clock")
        if clock:
            case.body["now"] = f"{datetime.fromisoformat(clock) + timedelta(hours=int(mark, 16) % 999):%Y-%m-%dT%H:%M:%SZ}"
    if label.endswith("/restores"):
        case.body["at"] = f"{datetime.now(UTC) - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    if label.endswith("/domains"):
        case.body["name"] = f"{mark}.example"
    if "address" in case.body and "tenant_id" in context:
        page = look("/v1/tenants/{tenant_id}/domains", context) or {}
        names = [item["name"] for item in page.get("data", [])]
        case.body["address"] = f"{mark}@{pick(names, mark) or 'nowhere.example'}"


# What a request that keeps to its schema may still be refused for (422), and why no schema can say so.
BEYOND = {
    "aliases": "one mailbox or one group, of the tenant",
    "{user_id}": "nobody is a delegate of their own mailbox",
    "/parent_id": "a folder that does not lie below it",
    "/members/*": "a mailbox or group of the tenant",
    "/catch_all_mailbox_id": "a mailbox of the tenant",
    "/actions": "of those that the role allows",
    "/address": "in a domain of the tenant",
    "/aliases/*": "in a domain of the tenant",
    "/users/*/address": "in a domain of the tenant",
    "/users/*/aliases/*": "in a domain of the tenant",
    "quota/block_send_bytes": "not below warn_bytes",
    "quota/quota_bytes": "not below block_send_bytes",
    "restores/at": "not in the future, nor before the journal begins",
    "restores/message_id": "not together with a folder",
    "/as_of": "not after the tenant's present day",
    "/expires_at": "in the future",
    "/trial_ends_at": "in the future",
    "/release_seat": "not kept without a mailbox",
    "/now": "after the test clock's present time",
    "/price_book_id": "a book of the tenant's reseller, or of the operator's with prices that exclude tax",
    "/reseller_id": "named by an operator, and only by one",
    "/scope": "the reseller or tenant of the path",
    "/term_months": "a multiple of another member",
    "/payment_schedule": "monthly of a year only",
    "/time_zone": "an IANA name",
    "/anchor_date": "in the years 2000 to 2200",
    "/valid_from": "in the years 2000 to 2200, and of a country that has a rate: not begun yet",
    "/address/country": "one that there is",
    "/country": "one that there is",
    "/vat_id": "of the address's country, with right check digits; of who charges tax",
    "/iban": "with right check digits",
    "/bic": "of an existing country",
    "/draft_days": "0 of the operator's",
    "/logo": "a PNG or SVG of at most 32 KiB, in base64",
    "/contact_email": "an address, as users have it",
    "/starts_on": "in the years 2000 to 2200",
    "messagessince": "in the years 0 to 9999 of UTC",
    "q": "with a word in it, and not too many",
    "from": "in the years 2000 to 2200",
    "to": "in the years 2000 to 2200",
    "If-Match": "an ETag that was given out, in its quotes",
    "/url": "https, to a public address and no port of mail",
    "/networks/*": "in CIDR notation",
    "domains/name": "a domain's name, in any script",
    "/prices/*/currency": "the same in all prices of a book",
    "/prices/*/unit_price": "of a flat price, and only of that",
    "/prices/*/tiers": "of a price by tiers, in the order of their limits",
    "/prices/*/grace_days": "of a lock, and only of that",
    "/prices/*/interval": "at most one price for an item and interval, and one of a mailbox for each",
    "/prices/*/removal_policy": "of what is counted, and only of that",
    "/prices/*/suspension_policy": "of what is counted, and only of that; and a pause of a reseller's price alone",
    "/prices/*/included_bytes": "of storage, and only of that",
    "discounts/percentage": "above 0, and instead of an amount",
    "discounts/amount/currency": "the subscription's",
    "discounts/starts_on": "not billed",
    "/ends_on": "after starts_on, or after the present day",
    "/bill_on": "in the years 2000 to 2200",
    "/prices/*/setup_price": "of a reseller's price, and only of that",
    "/prices/*/changes_billed": "of a reseller's price for a mailbox, and only of that",
    "one-off-items/unit_amount/currency": "the subscription's",
    "payments/amount/currency": "the one that the customer is billed in",
    "payments/invoice_id": "an invoice of the customer's",
    "/subscription/price_book_id": "as when it is put",
    "/subscription/term_months": "as when it is put",
    "/subscription/payment_schedule": "as when it is put",
    "/subscription/anchor_date": "as when it is put",
    "/subscription/trial_ends_on": "as when it is put",
    "refund/amount/currency": "the payment's",
    "/remind_after_days": "ascending",
    "/suspend_capabilities": "named exactly when there is a day for them",
    "/cancel_after_days": "not before the suspension",
    "/received_on": "not after the customer's present day",
    "cursor": "made by the server",
}
STATES = {"folder_limit_reached", "idempotency_key_reuse", "keyword_limit_reached", "quota_exceeded"}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """What is a fault, and what only looks like one."""
    if isinstance(failure, AcceptedNegativeData) and case.media_type == "message/rfc822":
        return False  # Every sequence of bytes is a message.
    is_upload = case.operation.definition.raw.get("operationId") == "create_message" and case.media_type == "multipart/form-data"
    if isinstance(failure, (AcceptedNegativeData, RejectedPositiveData)) and is_upload:
        return False  # In which order parts come, and what each says that it is, no schema tells.
    if isinstance(failure, UseAfterFree) and '"status":"deleted"' in response.text:
        return False  # What is deleted can be seen as deleted.
    if isinstance(failure, EnsureResourceAvailability) and case.operation.path.endswith(("/subscription", "/billing-profile", "/wholesale-agreement", "/wholesale-profile", "/payment-method", "/payment-provider", "/discounts", "/dunning-policy", "/resellers/{reseller_id}/payments", "/resellers/{reseller_id}/statement")):
        return False  # A new tenant or reseller has none.
    if isinstance(failure, RejectedPositiveData) and case.operation.path == "/v1/auth/token":
        body = response.json()  # Each grant needs other fields, and a made-up password is wrong.
        return body["error"] != "invalid_grant" and not body["error_description"].endswith(" needed")
    if case.operation.path.startswith("/scim/") and isinstance(failure, (AcceptedNegativeData, RejectedPositiveData)):
        return False  # /Schemas says what is taken, and clients' habits are taken too.
    if isinstance(failure, RejectedPositiveData) and response.status_code == 412:
        return False  # Which version there is, is a matter of the time.
    if isinstance(failure, RejectedPositiveData) and response.status_code == 422:
        problem = response.json()
        noun = case.operation.path.rpartition("/")[2]
        broken = [re.sub(r"/\d+", "/*", error.get("pointer", error.get("parameter"))) for error in problem.get("errors", [])]
        expected = [rule in BEYOND or noun + rule in BEYOND for rule in broken]
        return problem["code"] not in STATES and not (expected and all(expected))
    return True


@schemathesis.check
def problem_code_conformance(ctx, response, case):
    """A problem's code is one that the description gives for the operation's status."""
    declared = case.operation.definition.raw["responses"].get(str(response.status_code))
    if declared and "problem+json" in response.headers.get("content-type", [""])[0]:
        name = declared.get("$ref", "").rpartition("/")[2]
        text = document["components"]["responses"].get(name, declared)["description"]
        code = response.json()["code"]
        assert f"`{code}`" in text, f"{response.status_code} `{code}` is not described"


@schemathesis.hook
def after_call(context, case, response):
    for found in ID.finditer(response.text if "json" in response.headers.get("content-type", [""])[0] else ""):
        seen.setdefault(found.group(), case.path_parameters or {})
