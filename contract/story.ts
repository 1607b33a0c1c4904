// The main job of `make demo`, over REST alone, by a client whose every path, body and answer has the type that
// openapi.json gives it. It runs against PILLARBOX_URL with PILLARBOX_KEY, an operator's, and can run again and again.
// Mail that leaves is the one thing that REST cannot begin: it is submitted at PILLARBOX_SUBMISSIONS, an address and port.
//
// What it makes stays: hooks.py takes its ids for real ones. So each new kind of object gets a line here. The XML of its
// invoices and credit notes is left in the directory `invoices` for ubl.py.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.ts";

type Schemas = components["schemas"];
type Api = Client<paths>;
type Answer<T, E> = { data?: T; error?: E; response: Response };
type Interval = "month" | "year";
type Customer = { tenant: Schemas["Tenant"]; domain: Schemas["Domain"]; users: Schemas["User"][] };
type Taxed = { country: string; currency: Schemas["Currency"]; unit_price: string; category: string; vat_id?: string; exemption?: string; inclusive?: true };

const MONTH_MINOR = 499;
const YEAR_MINOR = 4790;
const RUN_PATIENCE_MS = 60_000;
const QUEUE_PATIENCE_MS = 30_000;
const DAY_MS = 24 * 3600 * 1000;

/** Customers of an issuer in Germany that is registered in Japan and Gibraltar, too, and how each is taxed. */
const TAXED: Taxed[] = [
  { country: "DE", currency: "EUR", unit_price: "4.99", category: "S" },
  { country: "DE", currency: "EUR", unit_price: "4.99", category: "S", inclusive: true },
  { country: "DE", currency: "EUR", unit_price: "4.99", category: "E", exemption: "a body governed by public law" },
  { country: "FR", currency: "EUR", unit_price: "4.99", category: "AE", vat_id: "FR40303265045" },
  { country: "GI", currency: "GBP", unit_price: "4.25", category: "Z" },
  { country: "JP", currency: "JPY", unit_price: "487", category: "S" },
  { country: "US", currency: "USD", unit_price: "5.5", category: "O" },
  // Three decimals, of which EN 16931 has no more than two.
  { country: "KW", currency: "KWD", unit_price: "1.2345", category: "O" },
];

const url = setting("PILLARBOX_URL");
const suffix = Date.now().toString(36);

function setting(name: string): string {
  const value = process.env[name];
  assert(value, `${name} is not set`);
  return value;
}

function client(key: string): Api {
  return createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
}

function step(text: string): void {
  console.log(`  ${text}`);
}

/** The answer's body, when its status is the expected one. */
function ok<T, E>(answer: Answer<T, E>, status: number): NonNullable<T> {
  assert.equal(answer.response.status, status, `${answer.response.url}: ${JSON.stringify(answer.error)}`);
  assert(answer.data !== undefined && answer.data !== null, `${answer.response.url}: no body`);
  return answer.data;
}

/** An answer that is JSON, of an operation that has other forms as well. */
function json<T>(answer: T): Exclude<T, string> {
  assert(typeof answer !== "string", "the answer is no JSON");
  return answer as Exclude<T, string>;
}

/** The problem that a request was refused with. */
function refused<T>(answer: Answer<T, Schemas["Problem"]>, status: number, code: string): Schemas["Problem"] {
  const { error, response } = answer;
  assert(error, `${response.url}: not refused but ${response.status}`);
  assert.deepEqual([response.status, error.status, error.code], [status, status, code], response.url);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.equal(response.headers.get("x-request-id"), error.request_id);
  return error;
}

/** A reseller and a client with its key. */
async function foundReseller(operator: Api, name: string): Promise<{ id: string; portal: Api }> {
  const reseller = ok(await operator.POST("/v1/resellers", { body: { name } }), 201);
  assert("id" in reseller, "a reseller was made");
  const params = { path: { reseller_id: reseller.id } };
  const body = { role: "reseller_admin" } as const;
  const key = ok(await operator.POST("/v1/resellers/{reseller_id}/api-keys", { params, body }), 201);
  assert(key.secret, "the new key has no secret");
  step(`reseller ${reseller.id} and its key ${key.id}`);
  const portal = client(key.secret);
  await sayWhoBills(portal, reseller.id);
  return { id: reseller.id, portal };
}

/** A reseller that has sold nothing goes, and with it its key. */
async function closeReseller(operator: Api): Promise<void> {
  const { id, portal } = await foundReseller(operator, "Leaving");
  const params = { path: { reseller_id: id } };
  refused(await portal.DELETE("/v1/resellers/{reseller_id}", { params }), 403, "forbidden");
  const gone = await operator.DELETE("/v1/resellers/{reseller_id}", { params });
  assert.equal(gone.response.status, 204);
  refused(await portal.GET("/v1/resellers/{reseller_id}", { params }), 401, "unauthenticated");
  assert.equal(ok(await operator.GET("/v1/resellers/{reseller_id}", { params }), 200).status, "deleted");
  step(`reseller ${id} is gone`);
}

/** The reseller's billing profile and a rate; it charges no tax, so that the amounts of this story are those of its prices. */
async function sayWhoBills(portal: Api, reseller_id: string): Promise<void> {
  const params = { path: { reseller_id } };
  const address = { street: "Hafenstr. 1", postal_code: "20457", city: "Hamburg", country: "DE" };
  // The XML of what is outside tax names no number for it (BR-O-02), so it needs the other one (BR-CO-26).
  const profile = { legal_name: "North Hosting GmbH", address, vat_id: "DE136695976", registration_number: "HRB 12345", charges_tax: false };
  const put = ok(await portal.PUT("/v1/resellers/{reseller_id}/billing-profile", { params, body: profile }), 200);
  assert.equal(put.days_to_pay, 14);
  const rate = { country: "DE", rate: "19", valid_from: "2007-01-01" };
  assert.equal(ok(await portal.POST("/v1/resellers/{reseller_id}/tax-rates", { params, body: rate }), 201).rate, "19.0000");
  step(`billing profile of ${reseller_id}`);
}

async function publishPrices(portal: Api): Promise<Schemas["PriceBook"]> {
  const price = (interval: Interval, unit_price: string): Schemas["NewPrice"] =>
    ({ item: "mailbox", interval, model: "flat", unit_price, currency: "EUR", removal_policy: "credit_to_balance" });
  const shared: Schemas["NewPrice"] = {
    item: "shared_mailbox", interval: "month", model: "graduated", currency: "EUR",
    tiers: [{ up_to: 10, unit_price: "0" }, { up_to: null, unit_price: "1.50" }],
  };
  const storage: Schemas["NewPrice"] =
    { item: "storage", interval: "month", model: "flat", unit_price: "0.10", currency: "EUR", included_bytes: 50 * 2 ** 30 };
  const body = { prices: [price("month", "4.99"), price("year", "47.90"), shared, storage] };
  const book = ok(await portal.POST("/v1/price-books", { body }), 201);
  assert.deepEqual(book.prices.map((price) => price.unit_price), ["4.99000000", "47.90000000", null, "0.10000000"]);
  assert.deepEqual(book.prices.map((price) => price.included_bytes), [null, null, null, 50 * 2 ** 30]);
  step(`price book ${book.id}`);
  return book;
}

/** A sandbox tenant whose time stands at `begin`, with a subscription, a domain and users who take all its seats. */
async function openTenant(portal: Api, book: Schemas["PriceBook"], interval: Interval, begin: Date, names: string[]): Promise<Customer> {
  const made = {
    name: `Customer by the ${interval}`,
    country: "DE",
    currency: "EUR" as const,
    time_zone: "Europe/Berlin",
    seats: { limit: names.length },
    test_clock: true,
  };
  const tenant = ok(await portal.POST("/v1/tenants", { body: made }), 201);
  assert("id" in tenant, "a tenant was made");
  assert.deepEqual(tenant.seats, { limit: names.length, used: 0 });
  const params = { path: { tenant_id: tenant.id } };
  await setClock(portal, tenant.id, begin);
  const address = { street: "Markt 2", postal_code: "10178", city: "Berlin", country: "DE" };
  const profile = { legal_name: made.name, address };
  const put = ok(await portal.PUT("/v1/tenants/{tenant_id}/billing-profile", { params, body: profile }), 200);
  assert.equal(put.vat_id_registration, null);
  const terms = { price_book_id: book.id, interval };
  const subscription = ok(await portal.PUT("/v1/tenants/{tenant_id}/subscription", { params, body: terms }), 200);
  assert.equal(subscription.anchor_date, day(begin));
  const name = `${interval}-${suffix}.example`;
  const domain = ok(await portal.POST("/v1/tenants/{tenant_id}/domains", { params, body: { name } }), 201);
  assert("id" in domain, "a domain was added");
  // The names are in no DNS, so the operator vouches for them.
  const at = { path: { tenant_id: tenant.id, domain_id: domain.id } };
  const operator = client(setting("PILLARBOX_KEY"));
  const verify = "/v1/tenants/{tenant_id}/domains/{domain_id}/verify";
  assert.equal(ok(await operator.POST(verify, { params: at, body: { vouch: true } }), 200).status, "active");
  const customer: Customer = { tenant, domain, users: [] };
  for (const name of names) customer.users.push(await hire(portal, customer, name));
  ok(await portal.POST("/v1/tenants/{tenant_id}/domains", { params, body: { name: `spare-${name}` } }), 201);
  step(`tenant ${tenant.id}, ${domain.name}, ${names.join(" and ")}`);
  return customer;
}

async function hire(portal: Api, customer: Customer, name: string): Promise<Schemas["User"]> {
  const params = { path: { tenant_id: customer.tenant.id }, header: { "Idempotency-Key": `${name}-${customer.domain.name}` } };
  const body = { address: `${name}@${customer.domain.name}`, display_name: name, password: passwordOf(name), quota_bytes: 1_000_000 };
  const dry = { path: params.path, query: { dry_run: true } };
  const effect = ok(await portal.POST("/v1/tenants/{tenant_id}/users", { params: dry, body }), 200);
  assert("seats" in effect && effect.seats.after === effect.seats.before + 1, "a dry run tells of the seat");
  const user = ok(await portal.POST("/v1/tenants/{tenant_id}/users", { params, body }), 201);
  assert("address" in user, "a user was made");
  const again = await portal.POST("/v1/tenants/{tenant_id}/users", { params, body });
  assert.deepEqual(ok(again, 201), user, "the same Idempotency-Key made something else");
  assert.equal(again.response.headers.get("idempotency-replayed"), "true");
  assert.equal(user.address, body.address);
  return user;
}

function passwordOf(name: string): string {
  return `correct horse ${name} staple`;
}

async function setClock(portal: Api, tenant_id: string, now: Date): Promise<void> {
  const body = { now: now.toISOString() };
  const tenant = ok(await portal.PUT("/v1/tenants/{tenant_id}/test-clock", { params: { path: { tenant_id } }, body }), 200);
  assert.equal(Date.parse(tenant.test_clock ?? ""), now.getTime());
}

/** Every byte there is, in a message that no text codec would leave alone. */
function oddMessage(): Uint8Array {
  const head = "From: Ada <ada@sender.example>\r\nSubject: =?utf-8?q?gr=C3=BCn?=\r\nMessage-ID: <odd@sender.example>\r\n\r\n";
  const odd = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  return Buffer.concat([Buffer.from(head), odd, Buffer.from("\r\n.\r\n..\r\nno end of line")]);
}

/** Takes in, lists, reads back, deletes and recovers. */
async function mailInAndOut(portal: Api, customer: Customer, user: Schemas["User"]): Promise<void> {
  const tenant_id = customer.tenant.id;
  const mailbox = { tenant_id, mailbox_id: user.mailbox_id };
  const quota = ok(await portal.PUT("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/quota", { params: { path: mailbox }, body: { quota_bytes: 4096 } }), 200);
  assert("used_bytes" in quota, "the quota was set");
  assert.deepEqual([quota.quota_bytes, quota.used_bytes], [4096, 0]);
  const sent = oddMessage();
  const put = (bytes: Uint8Array) =>
    portal.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages", {
      params: { path: mailbox },
      headers: { "Content-Type": "message/rfc822" },
      // The type of a body that is no JSON is string; what is sent are the bytes.
      body: "",
      bodySerializer: () => bytes,
    });
  const message = ok(await put(sent), 201);
  assert.deepEqual([message.size_bytes, message.subject, message.from[0]?.address], [sent.length, "grün", "ada@sender.example"]);
  const second = ok(await put(Buffer.from("Subject: a second one\r\n\r\nto stay deleted\r\n")), 201);
  const path = { ...mailbox, message_id: message.id };
  const closed = await portal.GET("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}", { params: { path } });
  refused(closed, 403, "support_access_required");
  const support = { params: { path: mailbox }, body: { reason: "the story reads the mail back" } };
  const access = ok(await portal.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/support-accesses", support), 201);
  assert.equal(access.ended_at, null);
  // The fuzzer's key is the operator's.
  const operator = client(setting("PILLARBOX_KEY"));
  ok(await operator.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/support-accesses", support), 201);
  const raw = await portal.GET("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}/raw", { params: { path }, parseAs: "arrayBuffer" });
  assert.deepEqual(Buffer.from(ok(raw, 200)), Buffer.from(sent), "the bytes that came out are not those that went in");
  const folders = ok(await portal.GET("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders", { params: { path: mailbox } }), 200).data;
  assert.equal(folders.find((folder) => folder.role === "inbox")?.message_count, 2);
  refused(await put(Buffer.concat([sent, Buffer.alloc(4096, "x")])), 422, "quota_exceeded");
  for (const message_id of [message.id, second.id]) {
    const params = { path: { ...mailbox, message_id } };
    const gone = await portal.DELETE("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}", { params });
    assert.equal(gone.response.status, 204);
  }
  const back = ok(await portal.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}/recover", { params: { path } }), 200);
  assert(back.id === message.id && back.state === "live" && back.uid > message.uid, JSON.stringify(back));
  const metadata: Schemas["MessageMetadata"] = { flags: ["seen"], keywords: ["$Forwarded"], received_at: "2026-01-02T03:04:05Z" };
  const told = ok(
    await portal.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages", {
      params: { path: mailbox },
      body: { metadata, message: "" },
      bodySerializer: () => {
        const form = new FormData();
        form.append("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
        form.append("message", new Blob(["Subject: from a form\r\n\r\nread already\r\n"], { type: "message/rfc822" }));
        return form;
      },
    }),
    201,
  );
  assert.deepEqual([told.subject, told.flags.seen, told.keywords, told.internal_date], ["from a form", true, metadata.keywords, metadata.received_at]);
  const read = { params: { path: { ...mailbox, message_id: told.id }, header: { "If-Match": `"${told.modseq}"` } } };
  assert.equal((await portal.DELETE("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}", read)).response.status, 204);
  step(`${sent.length} bytes in and out, one message too many for the quota, two deleted and one recovered`);
}

/** A folder in a folder, a message marked and filed there and copied, and what the log tells of it. */
async function markAndFile(portal: Api, customer: Customer, user: Schemas["User"]): Promise<void> {
  const mailbox = { tenant_id: customer.tenant.id, mailbox_id: user.mailbox_id };
  const params = { path: mailbox };
  const make = (body: Schemas["FolderBody"]) => portal.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders", { params, body });
  const top = ok(await make({ name: "Suppliers" }), 201);
  const flour = ok(await make({ name: "Flour", parent_id: top.id }), 201);
  assert.equal(flour.path, "Suppliers/Flour");
  refused(await make({ name: "Flour", parent_id: top.id }), 409, "folder_exists");
  const since = ok(await portal.GET("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/changes", { params }), 200).modseq;
  const [message] = ok(await portal.GET("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages", { params }), 200).data;
  assert(message, "a message was recovered");
  const path = { ...mailbox, message_id: message.id };
  const change = { params: { path }, body: { folder_id: flour.id, flags: { seen: true }, keywords: ["$Forwarded"] } };
  const filed = ok(await portal.PATCH("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}", change), 200);
  assert.deepEqual([filed.id, filed.folder_id, filed.uid, filed.flags.seen, filed.keywords], [message.id, flour.id, 1, true, ["$Forwarded"]]);
  const copying = { params: { path }, body: { folder_id: top.id } };
  const copy = ok(await portal.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/messages/{message_id}/copy", copying), 201);
  assert.equal(copy.size_bytes, message.size_bytes);
  const asked = { params: { path: mailbox, query: { since, wait_seconds: 0 } } };
  const told = ok(await portal.GET("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/changes", asked), 200);
  assert.deepEqual(told.changes.map((one) => one.kind).sort(), ["arrived", "arrived", "flagged", "gone"]);
  const renaming = { params: { path: { ...mailbox, folder_id: top.id } }, body: { name: "Millers" } };
  ok(await portal.PATCH("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders/{folder_id}", renaming), 200);
  const below = { params: { path: { ...mailbox, folder_id: flour.id } } };
  const moved = ok(await portal.GET("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders/{folder_id}", below), 200);
  assert.deepEqual([moved.path, moved.message_count, moved.unseen_count], ["Millers/Flour", 1, 0]);
  step("a message marked, filed in a folder of a folder and copied; the log tells of it");
}

/** A folder lost with its message, and the mailbox as it was a moment before. */
async function restoreToMoment(portal: Api, customer: Customer, user: Schemas["User"]): Promise<void> {
  const mailbox = { tenant_id: customer.tenant.id, mailbox_id: user.mailbox_id };
  const params = { path: mailbox };
  const folders = async () => ok(await portal.GET("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders", { params }), 200).data;
  const lost = (await folders()).find((folder) => folder.path === "Millers/Flour");
  assert(lost && lost.message_count === 1, "a message was filed");
  await sleep(50);
  const at = new Date().toISOString();
  await sleep(50);
  const path = { ...mailbox, folder_id: lost.id };
  assert.equal((await portal.DELETE("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/folders/{folder_id}", { params: { path } })).response.status, 204);
  const asked = { params, body: { at, mode: "in_place" as const } };
  const begun = ok(await portal.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/restores", asked), 202);
  const following = { params: { path: { operation_id: begun.id } } };
  let operation = begun;
  for (let patience = 300; operation.finished_at === null && patience > 0; patience -= 1) {
    await sleep(100);
    operation = ok(await portal.GET("/v1/operations/{operation_id}", following), 200);
  }
  assert.equal(operation.status, "succeeded", JSON.stringify(operation));
  assert.deepEqual(operation.steps.filter((one) => one.outcome !== "0"), [{ name: "messages_returned", outcome: "1" }]);
  const back = (await folders()).find((folder) => folder.id === lost.id);
  assert.deepEqual([back?.path, back?.message_count, back?.uid_validity], [lost.path, 1, lost.uid_validity]);
  const future = { params, body: { at: "2099-01-01T00:00:00Z", mode: "beside" as const } };
  refused(await portal.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/restores", future), 422, "invalid_request");
  step("a folder deleted, and the mailbox put back as it was a moment before");
}

/** A hold on a mailbox, which keeps its tenant; released. */
async function holdAndRelease(portal: Api, customer: Customer, user: Schemas["User"]): Promise<void> {
  const tenant_id = customer.tenant.id;
  const params = { path: { tenant_id } };
  const hold = ok(await portal.POST("/v1/tenants/{tenant_id}/holds", { params, body: { mailbox_id: user.mailbox_id, reason: "Case 17/2026" } }), 201);
  refused(await portal.DELETE("/v1/tenants/{tenant_id}", { params }), 409, "tenant_on_hold");
  const at = { params: { path: { tenant_id, hold_id: hold.id } } };
  assert.equal(ok(await portal.GET("/v1/tenants/{tenant_id}/holds/{hold_id}", at), 200).held_bytes, 0);
  const released = await portal.DELETE("/v1/tenants/{tenant_id}/holds/{hold_id}", at);
  assert.equal(released.response.status, 204);
  const listed = ok(await portal.GET("/v1/tenants/{tenant_id}/holds", { params }), 200).data.find((one) => one.id === hold.id);
  assert(listed && listed.released_at !== null, JSON.stringify(listed));
  step("a legal hold placed, in the way of a deletion, and released");
}

/** Somebody who leaves, and the operation that says what became of them; a tenant that comes back. */
async function leaveAndReturn(portal: Api, customer: Customer): Promise<void> {
  const tenant_id = customer.tenant.id;
  const user = customer.users[2];
  assert(user, "a third user is needed");
  const path = { tenant_id, user_id: user.id };
  const body = { mailbox: "keep" as const, release_seat: false };
  const dry = { path, query: { dry_run: true } };
  const effect = ok(await portal.POST("/v1/tenants/{tenant_id}/users/{user_id}/offboard", { params: dry, body }), 200);
  assert("seats" in effect && effect.seats.after === effect.seats.before, "the seat would be kept");
  const begun = ok(await portal.POST("/v1/tenants/{tenant_id}/users/{user_id}/offboard", { params: { path }, body }), 202);
  assert("id" in begun, "an operation was begun");
  const operation = ok(await portal.GET("/v1/operations/{operation_id}", { params: { path: { operation_id: begun.id } } }), 200);
  assert.deepEqual([operation.status, operation.done], ["succeeded", operation.total]);
  const made = { name: "A trial", country: "DE", currency: "EUR" as const, trial_ends_at: "2099-01-01T00:00:00Z" };
  const trial = ok(await portal.POST("/v1/tenants", { body: made }), 201);
  assert("id" in trial && trial.status === "trial", "a tenant is tried");
  const params = { path: { tenant_id: trial.id } };
  assert.equal((await portal.DELETE("/v1/tenants/{tenant_id}", { params })).response.status, 204);
  const back = ok(await portal.POST("/v1/tenants/{tenant_id}/restore", { params }), 200);
  assert("id" in back, "the tenant was restored");
  assert.deepEqual([back.id, back.status, back.deleted_at], [trial.id, "trial", null]);
  step(`operation ${operation.id}, tenant ${trial.id} deleted and restored`);
}

/** A mailbox for several, one that comes back, a group of mailboxes and groups, and one address more. */
async function shareAndGroup(portal: Api, customer: Customer): Promise<void> {
  const [ada, grace] = customer.users;
  assert(ada && grace, "two users are needed");
  const tenant_id = customer.tenant.id;
  const params = { path: { tenant_id } };
  const at = (local: string) => `${local}@${customer.domain.name}`;
  const share = async (local: string) => {
    const body = { kind: "shared" as const, display_name: local, address: at(local) };
    const made = ok(await portal.POST("/v1/tenants/{tenant_id}/mailboxes", { params, body }), 201);
    assert("id" in made, "a mailbox was made");
    return made;
  };
  const [info, sales, gone] = [await share("info"), await share("orders"), await share("gone")];
  for (const user of [ada, grace]) {
    const path = { tenant_id, mailbox_id: info.id, user_id: user.id };
    const body = { rights: ["read" as const, "send_as" as const] };
    ok(await portal.PUT("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/delegates/{user_id}", { params: { path }, body }), 200);
  }
  const path = { tenant_id, mailbox_id: gone.id };
  const deleted = await portal.DELETE("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}", { params: { path } });
  assert.equal(deleted.response.status, 204);
  ok(await portal.POST("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/restore", { params: { path }, body: {} }), 200);
  const group = async (display_name: string, members: string[]) => {
    const body = { display_name, address: at(display_name), members };
    const made = ok(await portal.POST("/v1/tenants/{tenant_id}/groups", { params, body }), 201);
    assert("id" in made, "a group was made");
    return made;
  };
  const inner = await group("inner", [ada.mailbox_id, sales.id]);
  const outer = await group("outer", [inner.id, grace.mailbox_id]);
  const loop = { path: { tenant_id, group_id: inner.id, member_id: outer.id } };
  refused(await portal.PUT("/v1/tenants/{tenant_id}/groups/{group_id}/members/{member_id}", { params: loop }), 409, "group_loop");
  for (const mailbox_id of [info.id, ada.mailbox_id]) {
    const body = { address: at(`alias-of-${mailbox_id}`), mailbox_id };
    ok(await portal.POST("/v1/tenants/{tenant_id}/aliases", { params, body }), 201);
  }
  const catchAll = { params: { path: { tenant_id, domain_id: customer.domain.id } }, body: { catch_all_mailbox_id: info.id } };
  ok(await portal.PATCH("/v1/tenants/{tenant_id}/domains/{domain_id}", catchAll), 200);
  step(`shared ${info.id}, group ${outer.id} of ${outer.member_count}, no loop, catch-all`);
}

/** A phone's own password, and the operator's endpoint for what happens. */
async function credentialsAndEvents(portal: Api, customer: Customer): Promise<void> {
  const user = customer.users[0];
  assert(user, "no user");
  const path = { tenant_id: customer.tenant.id, user_id: user.id };
  const phone = { name: "phone", protocols: ["pop3" as const] };
  const password = ok(await portal.POST("/v1/tenants/{tenant_id}/users/{user_id}/app-passwords", { params: { path }, body: phone }), 201);
  const operator = client(setting("PILLARBOX_KEY"));
  const endpoint = ok(await operator.POST("/v1/webhook-endpoints", { body: { url: "https://hooks.example/in" } }), 201);
  assert(endpoint.secret?.startsWith("whsec_"), "no secret");
  step(`app password ${password.id}, webhook endpoint ${endpoint.id}`);
}

/** Keys to sign mail with, of which one at a time waits for its records, and to how many may be written. */
async function signAndBound(portal: Api, customer: Customer): Promise<void> {
  const tenant_id = customer.tenant.id;
  const domain = { params: { path: { tenant_id, domain_id: customer.domain.id } } };
  const key = ok(await portal.POST("/v1/tenants/{tenant_id}/domains/{domain_id}/dkim-keys", domain), 201);
  const names = key.records.map((record) => record.name.replace(/^pb\d{8}-[0-9a-f]{8}-/, ""));
  assert.deepEqual(names, [`rsa._domainkey.${customer.domain.name}`, `ed25519._domainkey.${customer.domain.name}`]);
  assert.equal(key.state, "pending");
  refused(await portal.POST("/v1/tenants/{tenant_id}/domains/{domain_id}/dkim-keys", domain), 409, "dkim_key_pending");
  const user = customer.users[0];
  assert(user, "no user");
  const mailbox = { params: { path: { tenant_id, mailbox_id: user.mailbox_id } }, body: { recipients_per_hour: 100 } };
  const limit = ok(await portal.PUT("/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/sending-limit", mailbox), 200);
  assert.deepEqual([limit.recipients_per_hour, limit.recipients_per_day, limit.counted_last_day], [100, 2_000, 0]);
  const tenant = { params: { path: { tenant_id } }, body: { recipients_per_day: 10_000 } };
  ok(await portal.PUT("/v1/tenants/{tenant_id}/sending-limit", tenant), 200);
  const own = { params: { path: { reseller_id: customer.tenant.reseller_id } }, body: {} };
  refused(await portal.PUT("/v1/resellers/{reseller_id}/sending-limit", own), 403, "forbidden");
  step(`DKIM key ${key.id}, 100 recipients an hour`);
}

/** Submits a message to each of some addresses over TLS (RFC 8314). */
async function submit(user: Schemas["User"], to: string[]): Promise<void> {
  const [host = "", port] = setting("PILLARBOX_SUBMISSIONS").split(":");
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const say = async (line: string, code: string) => {
    if (line) socket.write(`${line}\r\n`);
    let reply = "";
    do reply = (await lines.next()).value ?? "the end"; while (reply.startsWith(`${code}-`));
    assert(reply.startsWith(`${code} `), `${line}: ${reply}`);
  };
  const name = user.address.slice(0, user.address.indexOf("@"));
  await say("", "220");
  await say("EHLO story.example", "250");
  await say(`AUTH PLAIN ${Buffer.from(`\0${user.address}\0${passwordOf(name)}`).toString("base64")}`, "235");
  for (const address of to) {
    await say(`MAIL FROM:<${user.address}>`, "250");
    await say(`RCPT TO:<${address}>`, "250");
    await say("DATA", "354");
    await say(`From: ${user.address}\r\nTo: ${address}\r\nSubject: To ${address}\r\n\r\nHello.\r\n.`, "250");
  }
  await say("QUIT", "221");
  socket.destroy();
}

/** Mail to others, which nobody takes: it is held, let go, sent again and dropped. The rest stays in the queue. */
async function sendAndSteer(portal: Api, customer: Customer): Promise<void> {
  const [user, colleague] = customer.users;
  assert(user && colleague, "no users");
  await submit(user, [colleague.address, ...["a", "b", "c", "d", "e", "f"].map((name) => `${name}@elsewhere.example`)]);
  const tenant_id = customer.tenant.id;
  const query = { state: "queued", limit: 50 } as const;
  const queued = async () => ok(await portal.GET("/v1/tenants/{tenant_id}/outgoing", { params: { path: { tenant_id }, query } }), 200).data;
  // Until nobody is there to take any: what is tried at this moment cannot be dropped.
  const isPutOff = ({ recipients }: Schemas["Outgoing"]) => recipients.every((one) => Date.parse(one.next_attempt_at ?? "") > Date.now() + 5_000);
  const deadline = Date.now() + QUEUE_PATIENCE_MS;
  let waiting = await queued();
  for (; waiting.length < 6 || !waiting.every(isPutOff); waiting = await queued()) {
    assert(Date.now() < deadline, `${waiting.length} of 6 messages are queued`);
    await sleep(50);
  }
  const [first, second] = waiting;
  assert(first && second, "nothing is queued");
  const at = ({ id }: Schemas["Outgoing"]) => ({ params: { path: { tenant_id, outgoing_id: id } } });
  const of = ({ recipients }: Schemas["Outgoing"]) => recipients.map(({ state }) => state);
  const held = ok(await portal.POST("/v1/tenants/{tenant_id}/outgoing/{outgoing_id}/hold", { ...at(first), body: { reason: "To be looked at" } }), 200);
  assert.deepEqual([of(held), held.hold_reason], [["held"], "To be looked at"]);
  ok(await portal.POST("/v1/tenants/{tenant_id}/outgoing/{outgoing_id}/release", at(first)), 200);
  ok(await portal.POST("/v1/tenants/{tenant_id}/outgoing/{outgoing_id}/retry", at(first)), 200);
  const dropped = ok(await portal.POST("/v1/tenants/{tenant_id}/outgoing/{outgoing_id}/drop", at(second)), 200);
  assert.deepEqual(of(dropped), ["dropped"]);
  refused(await portal.POST("/v1/tenants/{tenant_id}/outgoing/{outgoing_id}/retry", at(second)), 409, "outgoing_state");
  step(`mail to seven addresses, of which ${first.id} was held and ${second.id} dropped`);
}

/** What is refused says why, and shows nothing to whom it does not concern. */
async function refusals(portal: Api, outsider: Api, customer: Customer): Promise<void> {
  const params = { path: { tenant_id: customer.tenant.id } };
  const address = `one-too-many@${customer.domain.name}`;
  refused(await portal.POST("/v1/tenants/{tenant_id}/users", { params, body: { address } }), 409, "seats_exhausted");
  const invalid = await portal.PATCH("/v1/tenants/{tenant_id}", { params, body: { seats: { limit: -1 } } });
  assert.deepEqual(refused(invalid, 422, "invalid_request").errors?.map((error) => error.pointer), ["/seats/limit"]);
  const unknown = { path: { tenant_id: "ten_00000000000000000000000000000000" } };
  refused(await portal.GET("/v1/tenants/{tenant_id}", { params: unknown }), 404, "not_found");
  refused(await outsider.GET("/v1/tenants/{tenant_id}", { params }), 404, "not_found");
  refused(await outsider.PATCH("/v1/tenants/{tenant_id}", { params, body: { name: "Taken over" } }), 404, "not_found");
  refused(await client("nobody").GET("/v1/tenants"), 401, "unauthenticated");
  assert.deepEqual(ok(await outsider.GET("/v1/tenants"), 200), { data: [], next_cursor: null });
  step("409 seats_exhausted, 422 at /seats/limit, 404 to an outsider, 401 to nobody");
}

/** A key of the tenant's own, an access token got with it, and what such a token opens. */
async function signIn(portal: Api, customer: Customer): Promise<void> {
  const params = { path: { tenant_id: customer.tenant.id } };
  const key = ok(await portal.POST("/v1/tenants/{tenant_id}/api-keys", { params, body: { role: "helpdesk" } }), 201);
  const token = await client("nobody").POST("/v1/auth/token", {
    body: { grant_type: "client_credentials", client_id: key.id, client_secret: key.secret ?? "" },
    bodySerializer: (form) => new URLSearchParams(Object.entries(form).map(([name, value]) => [name, String(value)])),
    headers: { "Content-Type": "application/x-www-form-urlencoded", Authorization: null },
  });
  const { access_token } = ok(token, 200);
  const seen = ok(await client(access_token).GET("/v1/tenants"), 200).data;
  assert.deepEqual(seen.map((tenant) => tenant.id), [customer.tenant.id]);
  step(`an access token for ${key.id}, which sees one tenant`);
}

/** The limit is lifted, one more comes and leaves. */
async function comeAndGo(portal: Api, customer: Customer): Promise<void> {
  const path = { tenant_id: customer.tenant.id };
  const tenant = ok(await portal.PATCH("/v1/tenants/{tenant_id}", { params: { path }, body: { seats: { limit: null } } }), 200);
  assert("id" in tenant, "the tenant was changed");
  assert.deepEqual(tenant.seats, { limit: null, used: customer.users.length });
  const { id } = await hire(portal, customer, "donald");
  const params = { path: { ...path, user_id: id } };
  assert.equal((await portal.DELETE("/v1/tenants/{tenant_id}/users/{user_id}", { params })).response.status, 204);
  assert.equal(ok(await portal.GET("/v1/tenants/{tenant_id}/users/{user_id}", { params }), 200).status, "deleted");
  step(`tenant ${tenant.id}: one more user, gone again`);
}

/** What the next run will make of the customer's account, and that asking changes nothing. */
async function preview(portal: Api, customer: Customer, as_of: string): Promise<number[]> {
  const params = { path: { tenant_id: customer.tenant.id } };
  const ahead = ok(await portal.POST("/v1/tenants/{tenant_id}/subscription/preview", { params, body: { as_of } }), 200);
  assert.equal(ahead.parked_reason, null);
  assert.deepEqual(ok(await portal.GET("/v1/tenants/{tenant_id}/invoices", { params }), 200).data, []);
  return ahead.documents.map((document) => document.total.amount_minor);
}

/** One run for all that the portal sees, waited for. */
async function bill(portal: Api, as_of: string): Promise<Schemas["RunSummary"]> {
  const { id } = ok(await portal.POST("/v1/billing/runs", { body: { as_of } }), 202);
  const deadline = Date.now() + RUN_PATIENCE_MS;
  for (;;) {
    const run = ok(await portal.GET("/v1/billing/runs/{run_id}", { params: { path: { run_id: id } } }), 200);
    if (run.status === "succeeded") {
      assert(run.summary, "the run has no summary");
      return run.summary;
    }
    assert(run.status !== "failed" && Date.now() < deadline, `the run is ${run.status}`);
    await sleep(50);
  }
}

async function checkInvoices(portal: Api, customer: Customer, totals: number[]): Promise<void> {
  const params = { path: { tenant_id: customer.tenant.id }, query: { limit: 50 } };
  const invoices = ok(await portal.GET("/v1/tenants/{tenant_id}/invoices", { params }), 200).data;
  for (const { id } of invoices) {
    const invoice = json(ok(await portal.GET("/v1/invoices/{invoice_id}", { params: { path: { invoice_id: id } } }), 200));
    const lines = invoice.lines.reduce((sum, line) => sum + line.amount.amount_minor, 0);
    assert.deepEqual([lines, invoice.currency, invoice.customer.id], [invoice.total.amount_minor, "EUR", customer.tenant.id]);
    await keepXml(portal, id);
  }
  assert.deepEqual(invoices.map((invoice) => invoice.total.amount_minor), totals);
  const [first] = invoices;
  const period = first!.lines[0]!;
  const query = { from: first!.issued_on, to: day(new Date(Date.parse(first!.issued_on) + DAY_MS)) };
  const usage = json(ok(await portal.GET("/v1/tenants/{tenant_id}/usage", { params: { path: params.path, query } }), 200)).data;
  assert.deepEqual(usage.map((used) => Math.max(used.seats_used, used.seats_committed) >= period.quantity), [true]);
  const months = { from: first!.issued_on, to: day(new Date(Date.parse(first!.issued_on) + 300 * DAY_MS)) };
  const statement = json(ok(await portal.GET("/v1/tenants/{tenant_id}/statement", { params: { path: params.path, query: months } }), 200));
  const owed = totals.reduce((sum, minor) => sum + minor, 0);
  assert.deepEqual(statement.accounts.map((account) => account.closing_balance), [{ amount_minor: owed, currency: "EUR" }]);
  await checkDunning(portal, customer.tenant.reseller_id);
  await checkPayments(portal, customer, invoices[0]!);
  step(`invoices of ${totals.map((minor) => (minor / 100).toFixed(2)).join(" and ")} EUR`);
}

/** An invoice is voided and billed anew: as a draft, which is discarded once and then made final. */
async function correctInvoice(portal: Api, reseller_id: string, customer: Customer, today: string, minor: number): Promise<void> {
  const address = { street: "Hafenstr. 1", postal_code: "20457", city: "Hamburg", country: "DE" };
  const profile: Schemas["NewIssuerBillingProfile"] = {
    legal_name: "Northwind GmbH", address, registration_number: "HRB 12345", charges_tax: false, draft_days: 3, payment_terms: "Payable without deduction.",
  };
  ok(await portal.PUT("/v1/resellers/{reseller_id}/billing-profile", { params: { path: { reseller_id } }, body: profile }), 200);
  const documents = async () => {
    const params = { path: { tenant_id: customer.tenant.id }, query: { limit: 50 } };
    return ok(await portal.GET("/v1/tenants/{tenant_id}/invoices", { params }), 200).data;
  };
  const at = (invoice_id: string) => ({ params: { path: { invoice_id } } });
  const [wrong] = await documents();
  assert(wrong, "there is no invoice");
  const body = { reason: "the address was wrong" };
  const note = ok(await portal.POST("/v1/invoices/{invoice_id}/void", { ...at(wrong.id), body }), 201);
  assert.deepEqual([note.kind, note.total.amount_minor, note.corrects], ["credit_note", -minor, [wrong.id]]);
  refused(await portal.POST("/v1/invoices/{invoice_id}/void", { ...at(wrong.id), body }), 409, "not_voidable");
  for (const last of [false, true]) {
    const { drafts, invoices } = await bill(portal, today);
    assert.deepEqual([drafts, invoices], [1, 0]);
    const draft = (await documents()).at(-1)!;
    assert.deepEqual([draft.status, draft.number, draft.total.amount_minor, draft.due.amount_minor], ["draft", null, minor, 0]);
    if (last) assert.equal(ok(await portal.POST("/v1/invoices/{invoice_id}/finalize", at(draft.id)), 200).due.amount_minor, minor);
    else assert.equal((await portal.DELETE("/v1/invoices/{invoice_id}", at(draft.id))).response.status, 204);
  }
  assert.deepEqual((await documents()).map(({ status }) => status), ["void", "final", "final"]);
  for (const { id } of await documents()) await keepXml(portal, id);
  ok(await portal.PUT("/v1/resellers/{reseller_id}/billing-profile", { params: { path: { reseller_id } }, body: { ...profile, draft_days: 0 } }), 200);
  step("an invoice voided, and billed anew by a draft");
}

/** A charge that comes once and a discount, neither on any document of this story; another of each is taken back. */
async function besideSeats(portal: Api, customer: Customer): Promise<void> {
  const params = { path: { tenant_id: customer.tenant.id } };
  const item = { description: "Moving mail, an hour", quantity: 2, unit_amount: { amount_minor: 9000, currency: "EUR" as const }, bill_on: "2199-01-01" };
  const discount = { description: "Early booking", percentage: "12.5", starts_on: "2199-01-01" };
  for (const isKept of [true, false]) {
    const added = ok(await portal.POST("/v1/tenants/{tenant_id}/one-off-items", { params, body: item }), 201);
    const given = ok(await portal.POST("/v1/tenants/{tenant_id}/subscription/discounts", { params, body: discount }), 201);
    assert.deepEqual([added.invoice_id, given.percentage, given.amount], [null, "12.5000", null]);
    if (isKept) continue;
    const ofItem = { params: { path: { ...params.path, one_off_item_id: added.id } } };
    assert.equal((await portal.DELETE("/v1/tenants/{tenant_id}/one-off-items/{one_off_item_id}", ofItem)).response.status, 204);
    const ofDiscount = { params: { path: { ...params.path, discount_id: given.id } } };
    assert.equal((await portal.DELETE("/v1/tenants/{tenant_id}/subscription/discounts/{discount_id}", ofDiscount)).response.status, 204);
  }
  const items = ok(await portal.GET("/v1/tenants/{tenant_id}/one-off-items", { params }), 200).data;
  const discounts = ok(await portal.GET("/v1/tenants/{tenant_id}/subscription/discounts", { params }), 200).data;
  assert.deepEqual([items.length, discounts.length], [1, 1]);
  step(`one-off item ${items[0]!.id}, discount ${discounts[0]!.id}`);
}

/** Who the operator and the reseller are on wholesale invoices; no tax is charged, so that the amounts of this story are those of its prices. */
async function sayWhoSells(operator: Api, portal: Api, reseller_id: string): Promise<void> {
  const address = { street: "Kai 9", postal_code: "20457", city: "Hamburg", country: "DE" };
  const profile = { legal_name: "Pillar SE", address, vat_id: "DE136695976", registration_number: "HRB 54321", charges_tax: false };
  ok(await operator.PUT("/v1/operator/billing-profile", { body: profile }), 200);
  assert.equal(ok(await operator.GET("/v1/operator/billing-profile", {}), 200).legal_name, "Pillar SE");
  const rates = ok(await operator.GET("/v1/operator/tax-rates", {}), 200).data;
  if (rates.every((rate) => rate.country !== "DE")) {
    const rate = { country: "DE", rate: "19", valid_from: "2007-01-01" };
    assert.equal(ok(await operator.POST("/v1/operator/tax-rates", { body: rate }), 201).rate, "19.0000");
  }
  const params = { path: { reseller_id } };
  const body = { legal_name: "North Hosting GmbH", address, vat_id: "DE136695976" };
  const put = ok(await operator.PUT("/v1/resellers/{reseller_id}/wholesale-profile", { params, body }), 200);
  assert.deepEqual(ok(await portal.GET("/v1/resellers/{reseller_id}/wholesale-profile", { params }), 200), put);
}

/** A tenant of the present day with a user, one who leaves an archive behind, and a mailbox for several. */
async function useEverything(operator: Api, portal: Api): Promise<Schemas["Tenant"]> {
  const made = { name: "Customer of today", country: "DE", currency: "EUR" as const, time_zone: "UTC" };
  const tenant = ok(await portal.POST("/v1/tenants", { body: made }), 201);
  assert("id" in tenant, "a tenant was made");
  const params = { path: { tenant_id: tenant.id } };
  const name = `today-${suffix}.example`;
  const domain = ok(await portal.POST("/v1/tenants/{tenant_id}/domains", { params, body: { name } }), 201);
  assert("id" in domain, "a domain was added");
  const at = { path: { tenant_id: tenant.id, domain_id: domain.id } };
  ok(await operator.POST("/v1/tenants/{tenant_id}/domains/{domain_id}/verify", { params: at, body: { vouch: true } }), 200);
  const customer: Customer = { tenant, domain, users: [] };
  await hire(portal, customer, "stays");
  const leaves = await hire(portal, customer, "leaves");
  const path = { ...params.path, user_id: leaves.id };
  ok(await portal.POST("/v1/tenants/{tenant_id}/users/{user_id}/offboard", { params: { path }, body: { mailbox: "archive", release_seat: true } }), 202);
  const shared = { kind: "shared" as const, display_name: "Info", address: `info@${name}` };
  ok(await portal.POST("/v1/tenants/{tenant_id}/mailboxes", { params, body: shared }), 201);
  return tenant;
}

/** The operator's agreement with the reseller, its invoice, and the file of it. */
async function sellWholesale(operator: Api, portal: Api, reseller_id: string, as_of: string): Promise<void> {
  await sayWhoSells(operator, portal, reseller_id);
  const tiers = [{ up_to: 99, unit_price: "2.60" }, { up_to: null, unit_price: "2.50" }];
  const beside = { interval: "month", model: "flat", currency: "EUR" } as const;
  const prices: Schemas["NewPrice"][] = [
    { item: "mailbox", interval: "month", model: "volume", tiers, currency: "EUR" },
    { ...beside, item: "shared_mailbox", unit_price: "1.50" },
    { ...beside, item: "archive", unit_price: "0.50" },
    { ...beside, item: "storage", unit_price: "0.05", included_bytes: 10 * 2 ** 30 },
  ];
  const book = ok(await operator.POST("/v1/price-books", { body: { prices } }), 201);
  assert.deepEqual([book.reseller_id, book.prices.map((price) => price.item)], [null, prices.map((price) => price.item)]);
  const tenant = await useEverything(operator, portal);
  const params = { path: { reseller_id } };
  const body = { operator_name: "Pillar Ltd", price_book_id: book.id, interval: "month", seats_committed: 100 } as const;
  ok(await operator.PUT("/v1/resellers/{reseller_id}/wholesale-agreement", { params, body }), 200);
  await bill(operator, as_of);
  const [invoice] = ok(await portal.GET("/v1/resellers/{reseller_id}/invoices", { params }), 200).data;
  assert(invoice, "the reseller was not billed");
  assert.deepEqual([invoice.issuer.id, invoice.customer.id], [null, reseller_id]);
  const sum = (lines: typeof invoice.lines) => lines.reduce((sum, line) => sum + line.amount.amount_minor, 0);
  // A hundred seats, used or not; the others are who uses them. What is stored comes after the month.
  assert.deepEqual([sum(invoice.lines.filter((line) => line.item === "mailbox")), sum(invoice.lines)], [100 * 250, invoice.total.amount_minor]);
  const own = invoice.lines.filter((line) => line.tenant?.id === tenant.id).map((line) => `${line.item} ${line.amount.amount_minor}`);
  assert.deepEqual(own.sort(), ["archive 50", "mailbox 500", "shared_mailbox 150"]);
  assert.deepEqual([invoice.issuer.name, invoice.customer.name, invoice.taxes.map((tax) => tax.category)], ["Pillar SE", "North Hosting GmbH", ["O"]]);
  const path = { reseller_id, invoice_id: invoice.id };
  const file = await portal.GET("/v1/resellers/{reseller_id}/invoices/{invoice_id}/reconciliation", { params: { path }, parseAs: "text" });
  assert.equal(ok(file, 200).trim().split("\r\n").length, 1 + invoice.lines.length);
  const query = { from: as_of, to: day(new Date(Date.parse(as_of) + DAY_MS)) };
  ok(await portal.GET("/v1/resellers/{reseller_id}/margins", { params: { ...params, query } }), 200);
  await keepXml(portal, invoice.id);
  await exportWholesale(portal, reseller_id, invoice);
  await payWholesale(operator, portal, reseller_id, invoice);
  step(`wholesale invoice ${invoice.number} of ${invoice.total.amount_minor} cents, for mailboxes, shared ones and an archive`);
}

/** The files for accounting: the lines sum up to the invoice, and the ledger has it. */
async function exportWholesale(portal: Api, reseller_id: string, invoice: Schemas["Invoice"]): Promise<void> {
  const from = invoice.issued_on;
  const to = day(new Date(Date.parse(from) + DAY_MS));
  const params = { path: { reseller_id }, query: { from, to, level: "wholesale" as const } };
  const init = { params, headers: { accept: "application/jsonl" }, parseAs: "text" as const };
  const rows = (file: string): { amount_minor: number; invoice_id?: string }[] => file.trim().split("\n").map((line) => JSON.parse(line));
  const documents = rows(ok(await portal.GET("/v1/resellers/{reseller_id}/exports/invoices", init), 200));
  assert.deepEqual(documents.map((row) => row.invoice_id), [invoice.id]);
  const lines = rows(ok(await portal.GET("/v1/resellers/{reseller_id}/exports/invoice-lines", init), 200));
  const ledger = rows(ok(await portal.GET("/v1/resellers/{reseller_id}/exports/ledger", init), 200));
  for (const sums of [lines, ledger]) {
    assert.equal(sums.reduce((sum, row) => sum + row.amount_minor, 0), invoice.total.amount_minor);
  }
}

/** A transfer that settles the invoice, is paid back in part and stands on the statement. */
async function payWholesale(operator: Api, portal: Api, reseller_id: string, invoice: Schemas["Invoice"]): Promise<void> {
  const params = { path: { reseller_id } };
  const body = { amount: invoice.total, reference: `Thanks, ${invoice.number}`, received_on: day(new Date()) };
  refused(await portal.POST("/v1/resellers/{reseller_id}/payments", { params, body }), 403, "forbidden");
  const payment = ok(await operator.POST("/v1/resellers/{reseller_id}/payments", { params, body }), 201);
  assert.deepEqual([payment.status, payment.invoice_id], ["succeeded", invoice.id]);
  const state = async () => ok(await portal.GET("/v1/resellers/{reseller_id}/invoices", { params }), 200).data[0];
  assert.equal((await state())?.status, "paid");
  const back = { params: { path: { payment_id: payment.id } }, body: { amount: { ...invoice.total, amount_minor: 1000 }, reason: "A test" } };
  assert.equal(ok(await operator.POST("/v1/payments/{payment_id}/refund", back), 201).status, "succeeded");
  assert.deepEqual([(await state())?.status, (await state())?.due.amount_minor], ["final", 1000]);
  const [listed] = ok(await portal.GET("/v1/resellers/{reseller_id}/payments", { params }), 200).data;
  assert.deepEqual([listed?.id, listed?.refunded.amount_minor], [payment.id, 1000]);
  const from = invoice.issued_on;
  const query = { from, to: day(new Date(Date.parse(from) + 2 * DAY_MS)) };
  const statement = json(ok(await portal.GET("/v1/resellers/{reseller_id}/statement", { params: { ...params, query } }), 200));
  assert.equal(statement.accounts[0]?.closing_balance.amount_minor, 1000);
}

/** What a document is as XML, or why it is none. */
async function askXml(portal: Api, invoice_id: string) {
  const init = { params: { path: { invoice_id } }, headers: { accept: "application/xml" }, parseAs: "text" as const };
  return portal.GET("/v1/invoices/{invoice_id}", init);
}

async function keepXml(portal: Api, invoice_id: string): Promise<void> {
  const xml = ok(await askXml(portal, invoice_id), 200);
  mkdirSync("invoices", { recursive: true });
  writeFileSync(`invoices/${invoice_id}.xml`, xml);
}

/** A sandbox tenant with two seats from `begin` on, a discount and a charge that comes once. */
async function openTaxed(portal: Api, taxed: Taxed, begin: Date): Promise<{ tenant_id: string; terms: Schemas["NewSubscription"] }> {
  const { country, currency, unit_price, vat_id = null, exemption = null } = taxed;
  const prices: Schemas["NewPrice"][] = [{ item: "mailbox", interval: "month", model: "flat", unit_price, currency }];
  const tax_behavior = taxed.inclusive ? "inclusive" : "exclusive";
  const book = ok(await portal.POST("/v1/price-books", { body: { tax_behavior, prices } }), 201);
  const name = `Customer & Sons, ${country}`;
  const made = ok(await portal.POST("/v1/tenants", { body: { name, country, currency, time_zone: "UTC", test_clock: true } }), 201);
  assert("id" in made, "a tenant was made");
  const params = { path: { tenant_id: made.id } };
  await setClock(portal, made.id, begin);
  const address = { street: "Main Street 1", city: "Capital", country };
  const profile = { legal_name: name, address, vat_id, exemption, reference: "PO 4711" };
  ok(await portal.PUT("/v1/tenants/{tenant_id}/billing-profile", { params, body: profile }), 200);
  const terms = { price_book_id: book.id, interval: "month", seats_committed: 2 } as const;
  ok(await portal.PUT("/v1/tenants/{tenant_id}/subscription", { params, body: terms }), 200);
  const discount = { description: "Early booking", percentage: "12.5", starts_on: day(begin) };
  ok(await portal.POST("/v1/tenants/{tenant_id}/subscription/discounts", { params, body: discount }), 201);
  const item = { description: "Moving mail, an hour", quantity: 3, unit_amount: { amount_minor: 9000, currency } };
  ok(await portal.POST("/v1/tenants/{tenant_id}/one-off-items", { params, body: item }), 201);
  return { tenant_id: made.id, terms };
}

/** An invoice, one with part of a month, and a credit note, for a customer of each kind: as XML, where it can be. */
async function taxEveryWay(operator: Api, begin: Date, next: Date): Promise<void> {
  const { id: reseller_id, portal } = await foundReseller(operator, "Taxing Hosting");
  const params = { path: { reseller_id } };
  const address = { street: "Kai 9", extra: "2nd floor", postal_code: "20457", city: "Hamburg", region: "Hamburg", country: "DE" };
  const profile: Schemas["NewIssuerBillingProfile"] = {
    legal_name: "Taxing Hosting GmbH", address, vat_id: "DE136695976", registration_number: "HRB 12345", charges_tax: true,
    iban: "DE89370400440532013000", bic: "COBADEFFXXX", contact_email: "billing@taxing.example", contact_phone: "+49 40 123456",
    payment_terms: "Payable without deduction.", note: "Thank you for your business.",
  };
  ok(await portal.PUT("/v1/resellers/{reseller_id}/billing-profile", { params, body: profile }), 200);
  for (const [country, rate] of [["JP", "10"], ["GI", "0"]] as const) {
    ok(await portal.POST("/v1/resellers/{reseller_id}/tax-rates", { params, body: { country, rate, valid_from: "2007-01-01" } }), 201);
  }
  const customers = [];
  for (const taxed of TAXED) customers.push({ taxed, ...(await openTaxed(portal, taxed, begin)) });
  const billed = async (as_of: Date) => {
    const { accounts_failed, accounts_parked } = await bill(portal, day(as_of));
    assert.deepEqual([accounts_failed, accounts_parked], [0, 0]);
  };
  await billed(begin);
  for (const { tenant_id, terms } of customers) {
    await setClock(portal, tenant_id, new Date(begin.getTime() + 12 * DAY_MS));
    const body = { ...terms, seats_committed: 5 };
    ok(await portal.PUT("/v1/tenants/{tenant_id}/subscription", { params: { path: { tenant_id } }, body }), 200);
    await setClock(portal, tenant_id, next);
  }
  await billed(next);
  let kept = 0;
  for (const { tenant_id, taxed } of customers) {
    const list = { params: { path: { tenant_id }, query: { limit: 50 } } };
    const invoices = async () => ok(await portal.GET("/v1/tenants/{tenant_id}/invoices", list), 200).data;
    const last = (await invoices()).at(-1);
    assert(last, `nobody billed ${taxed.country}`);
    const body = { reason: "a test of <credit> & notes" };
    ok(await portal.POST("/v1/invoices/{invoice_id}/void", { params: { path: { invoice_id: last.id } }, body }), 201);
    const documents = await invoices();
    assert(documents.length >= 3 && documents.some(({ kind }) => kind === "credit_note"), `${documents.length} documents`);
    for (const { id, taxes } of documents) {
      assert.deepEqual(taxes.map(({ category }) => category), [taxed.category], taxed.country);
      if (taxed.currency === "KWD") {
        assert.match(refused(await askXml(portal, id), 409, "no_such_form").detail ?? "", /BR-DEC-23/);
      } else {
        await keepXml(portal, id);
        kept += 1;
      }
    }
  }
  step(`${kept} documents for customers who are taxed in every way there is`);
}

/** A policy that is put, read and put again in its version. */
async function checkDunning(portal: Api, reseller_id: string): Promise<void> {
  const params = { path: { reseller_id } };
  const body: Schemas["NewDunningPolicy"] = { remind_after_days: [1, 7], suspend_after_days: 21, suspend_capabilities: ["send"] };
  assert.deepEqual(ok(await portal.PUT("/v1/resellers/{reseller_id}/dunning-policy", { params, body }), 200).suspend_capabilities, ["send"]);
  assert.equal(ok(await portal.GET("/v1/resellers/{reseller_id}/dunning-policy", { params }), 200).cancel_after_days, null);
  refused(await portal.PUT("/v1/resellers/{reseller_id}/dunning-policy", { params, body: { suspend_after_days: 21 } }), 422, "invalid_request");
}

async function checkPayments(
  portal: Api,
  customer: Customer,
  invoice: Schemas["Invoice"],
): Promise<void> {
  const params = { path: { tenant_id: customer.tenant.id } };
  const body = { amount: invoice.total, reference: `Thanks, ${invoice.number}`, received_on: day(new Date()) };
  const payment = ok(await portal.POST("/v1/tenants/{tenant_id}/payments", { params, body }), 201);
  assert.deepEqual([payment.status, payment.invoice_id], ["succeeded", invoice.id]);
  const path = { invoice_id: invoice.id };
  assert.equal(json(ok(await portal.GET("/v1/invoices/{invoice_id}", { params: { path } }), 200)).status, "paid");
  refused(await portal.POST("/v1/invoices/{invoice_id}/pay", { params: { path } }), 409, "nothing_due");
  const back = { params: { path: { payment_id: payment.id } }, body: { reason: "A test" } };
  assert.equal(ok(await portal.POST("/v1/payments/{payment_id}/refund", back), 201).status, "succeeded");
  assert.equal(json(ok(await portal.GET("/v1/invoices/{invoice_id}", { params: { path } }), 200)).due.amount_minor, invoice.total.amount_minor);
}

function day(instant: Date): string {
  return instant.toISOString().slice(0, 10);
}

async function main(): Promise<void> {
  const today = new Date();
  // Nine in the morning of the first of a month: the same day in every zone of Europe.
  const month = (offset: number) => new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + offset, 1, 9));
  const [begin, next] = [month(1), month(2)];
  const operator = client(setting("PILLARBOX_KEY"));
  const { id: reseller_id, portal } = await foundReseller(operator, "Northwind Hosting");
  const outsider = await foundReseller(operator, "Another Partner");
  const book = await publishPrices(portal);
  const monthly = await openTenant(portal, book, "month", begin, ["ada", "grace", "edsger"]);
  const annual = await openTenant(portal, book, "year", begin, ["kurt", "emmy"]);
  for (const user of monthly.users) {
    await mailInAndOut(portal, monthly, user);
    await markAndFile(portal, monthly, user);
    await restoreToMoment(portal, monthly, user);
    await holdAndRelease(portal, monthly, user);
  }
  await refusals(portal, outsider.portal, monthly);
  await credentialsAndEvents(portal, monthly);
  await signAndBound(portal, monthly);
  await sendAndSteer(portal, monthly);
  await shareAndGroup(portal, monthly);
  await leaveAndReturn(portal, monthly);
  await besideSeats(portal, monthly);
  for (const { tenant } of [monthly, annual]) await setClock(portal, tenant.id, next);
  const monthlyTotals = [3 * MONTH_MINOR, 3 * MONTH_MINOR];
  assert.deepEqual(await preview(portal, monthly, day(next)), monthlyTotals);
  const first = await bill(portal, day(next));
  assert.deepEqual([first.invoices, first.accounts_failed, first.accounts_parked], [3, 0, 0], JSON.stringify(first));
  const second = await bill(portal, day(next));
  assert.equal(second.invoices + second.credit_notes, 0, "the second run billed again");
  await checkInvoices(portal, monthly, monthlyTotals);
  await checkInvoices(portal, annual, [2 * YEAR_MINOR]);
  await correctInvoice(portal, reseller_id, annual, day(next), 2 * YEAR_MINOR);
  for (const customer of [monthly, annual]) {
    await signIn(portal, customer);
    await comeAndGo(portal, customer);
  }
  await sellWholesale(operator, portal, reseller_id, day(today));
  await taxEveryWay(operator, begin, next);
  await closeReseller(operator);
}

await main();
