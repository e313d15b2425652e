/* What is read from Redis without the script: accounts, usage, names, places. */
#include "store/ledger_redis.h"

#include "store/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ACCOUNT_BYTES (sizeof(struct account) - sizeof(uint64_t)) /* without its subject */
#define STORE_DIGITS  16

void ledger_redis_store(const struct ledger *l, char out[33])
{
	for (unsigned i = 0; i < sizeof(l->journal.store); i++)
		snprintf(out + 2 * i, 3, "%02x", l->journal.store[i]);
}

enum err_code ledger_redis_command(struct ledger *l, const char *verb, const char *name,
	const struct slice *more, size_t n, struct redis_reply *reply, struct err *e)
{
	struct slice words[2 + 2 * LEDGER_REDIS_SEND];
	char key[BOOKS_KEYS_SIZE + 40];
	int len = snprintf(key, sizeof(key), "%s%s", l->keys, name);
	enum err_code rc;

	words[0] = slice_of(verb);
	words[1] = (struct slice){ key, (size_t)len };
	for (size_t i = 0; i < n && i < 2 * LEDGER_REDIS_SEND; i++)
		words[2 + i] = more[i];
	rc = redis_call(l->conf.redis, words, 2 + n, 1, reply, e);
	/* An answer that is an error: a key of another kind, no memory, a replica. */
	if (!rc && reply->value.kind == REDIS_ERROR)
		rc = err_set(e, ERR_STORE, "Redis, %s: %.*s", name, SLICE_ARG(reply->value.text));
	if (rc == ERR_IO && e)
		e->code = ERR_STORE;
	return rc == ERR_IO ? ERR_STORE : rc;
}

static enum err_code strange(const char *what, struct err *e)
{
	return err_set(e, ERR_STORE, "Redis: %s is not what the ledger wrote", what);
}

enum err_code ledger_redis_account(
	struct ledger *l, uint64_t subject, struct account *out, struct err *e)
{
	struct redis_reply reply = { 0 };
	char name[40];
	enum err_code rc;

	*out = (struct account){ .subject = subject };
	snprintf(name, sizeof(name), "account:%016" PRIx64, subject);
	rc = ledger_redis_command(l, "GET", name, NULL, 0, &reply, e);
	if (!rc && reply.value.kind == REDIS_STRING && reply.value.text.len == ACCOUNT_BYTES)
		memcpy(&out->credited, reply.value.text.ptr, ACCOUNT_BYTES);
	else if (!rc && reply.value.kind != REDIS_NIL)
		rc = strange(name, e);
	redis_reply_fini(&reply);
	return rc;
}

/* One field of a day: the words of a row before ttft, how many requests had one class of ttft, or
 * a whole row of the books of before, whose field ends in the store they came from. */
static bool read_usage(struct slice field, struct slice value, struct tally *rows)
{
	char store[STORE_DIGITS] = "", key[sizeof(struct usage_key) + STORE_DIGITS];
	size_t more = field.len - sizeof(struct usage_key);
	struct usage_row *row;
	int64_t n;
	bool fresh;

	if (field.len < sizeof(struct usage_key) || more > STORE_DIGITS)
		return false;
	if (more > 1)
		memcpy(store, field.ptr + sizeof(struct usage_key), more);
	memcpy(key, field.ptr, sizeof(struct usage_key));
	memcpy(key + sizeof(struct usage_key), store, sizeof(store));
	row = tally_at(rows, key, &fresh);
	if (!row)
		return false;
	if (more == 1) {
		unsigned char class = (unsigned char)field.ptr[sizeof(struct usage_key)];

		if (class >= USAGE_TTFT || !str_int(value, 0, UINT32_MAX, &n))
			return false;
		row->ttft[class] = (uint32_t)n;
		return true;
	}
	if (value.len != (more ? sizeof(*row) : offsetof(struct usage_row, ttft)))
		return false;
	memcpy(row, value.ptr, value.len);
	return true;
}

enum err_code ledger_redis_usage(
	struct ledger *l, int64_t day, ledger_on_usage on_usage, void *ctx, struct err *e)
{
	struct redis_reply reply = { 0 };
	struct tally rows;
	char name[40];
	enum err_code rc;

	tally_init(&rows, sizeof(struct usage_key) + STORE_DIGITS, sizeof(struct usage_row));
	snprintf(name, sizeof(name), "usage:%" PRId64, day);
	rc = ledger_redis_command(l, "HGETALL", name, NULL, 0, &reply, e);
	if (!rc && (reply.value.kind != REDIS_ARRAY || reply.value.count % 2))
		rc = strange(name, e);
	for (size_t i = 0; !rc && i < reply.value.count; i += 2)
		if (!read_usage(reply.value.items[i].text, reply.value.items[i + 1].text, &rows))
			rc = strange(name, e);
	redis_reply_fini(&reply);
	for (size_t i = 0; !rc && i < rows.n; i++) {
		struct usage_key key;

		memcpy(&key, tally_key(&rows, i), sizeof(key));
		rc = on_usage(ctx, day, &key, tally_value(&rows, i), e);
	}
	tally_fini(&rows);
	return rc;
}

enum err_code ledger_redis_name_text(
	struct ledger *l, uint64_t name, struct buf *out, struct err *e)
{
	const struct slice field = { (const char *)&name, sizeof(name) };
	struct redis_reply reply = { 0 };
	enum err_code rc = ledger_redis_command(l, "HGET", "names", &field, 1, &reply, e);

	if (!rc && reply.value.kind == REDIS_NIL)
		rc = err_set(e, ERR_NOT_FOUND, "this name was never noted");
	else if (!rc &&
		 (reply.value.kind != REDIS_STRING || reply.value.text.len > RECORD_NAME_MAX))
		rc = strange("names", e);
	if (!rc)
		buf_slice_append(out, reply.value.text);
	redis_reply_fini(&reply);
	return rc;
}

enum err_code ledger_redis_place(struct ledger *l, struct ledger_place *out, struct err *e)
{
	char store[33];
	const struct slice field = { store, 32 };
	struct redis_reply reply = { 0 };
	int64_t n[3] = { 0 };
	struct slice rest;
	enum err_code rc;

	*out = (struct ledger_place){ 0 };
	ledger_redis_store(l, store);
	rc = ledger_redis_command(l, "HGET", "shipped", &field, 1, &reply, e);
	rest = reply.value.text;
	for (int i = 0; i < 3 && !rc && reply.value.kind != REDIS_NIL; i++)
		if (!str_int(slice_cut(&rest, ' '), i != 1, INT64_MAX, &n[i]))
			rc = strange("shipped", e);
	if (!rc)
		*out = (struct ledger_place){ (uint64_t)n[0], (uint64_t)n[1], (uint64_t)n[2] };
	redis_reply_fini(&reply);
	return rc;
}
