#include "store/keys.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "store/home.h"
#include "store/keys_env.h"
#include "store/pepper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define ID_RANDOM 12
#define NOTHING   ((struct slice){ "", 0 })

_Static_assert(KEY_HASH_BYTES == SHA256_BYTES, "the hash of a key is a SHA-256");
_Static_assert(KEY_ID_SIZE <= PEOPLE_ID_SIZE, "the id of a key is one of its implicit user");

struct keys {
	char home[HOME_PATH_MAX];
	struct people_file *file;
	struct keys_env env;

	pthread_mutex_t lock; /* over reading the pepper */
	atomic_bool has_pepper;
	struct crypto_hmac pepper;
};

static struct slice bytes_of(const uint8_t *p, size_t n)
{
	return (struct slice){ (const char *)p, n };
}

static struct slice hash_slice(const uint8_t hash[SHA256_BYTES])
{
	return bytes_of(hash, SHA256_BYTES);
}

/* ---- opening and checking ---- */

enum err_code keys_open(struct keys **out, const char *home, const char *env_keys, struct err *e)
{
	struct keys *k = calloc(1, sizeof(*k));
	enum err_code rc;

	*out = NULL;
	if (!k)
		return err_set(e, ERR_NO_MEMORY, "out of memory while opening the keys");
	pthread_mutex_init(&k->lock, NULL);
	rc = keys_env_read(&k->env, env_keys, e);
	if (!rc)
		rc = people_file_open(&k->file, home, e);
	if (!rc)
		str_copy_cut(k->home, sizeof(k->home), home);
	if (rc)
		keys_close(k);
	else
		*out = k;
	return rc;
}

void keys_close(struct keys *k)
{
	if (!k)
		return;
	people_file_close(k->file);
	keys_env_fini(&k->env);
	pthread_mutex_destroy(&k->lock);
	crypto_wipe(k, sizeof(*k));
	free(k);
}

struct people_file *keys_people(struct keys *k)
{
	return k->file;
}

/* The pepper appears with the first key, which may be after the start. */
static enum err_code load_pepper(struct keys *k, bool make, struct err *e)
{
	uint8_t pepper[PEPPER_BYTES] = { 0 };
	enum err_code rc = ERR_OK;

	if (atomic_load(&k->has_pepper))
		return ERR_OK;
	pthread_mutex_lock(&k->lock);
	if (!atomic_load(&k->has_pepper)) {
		rc = make ? pepper_make(k->home, pepper, e) : pepper_read(k->home, pepper, e);
		if (!rc)
			rc = people_file_check_pepper(k->file, pepper, e);
		if (!rc)
			crypto_hmac_begin(&k->pepper, bytes_of(pepper, sizeof(pepper)));
		atomic_store(&k->has_pepper, rc == ERR_OK);
	}
	pthread_mutex_unlock(&k->lock);
	crypto_wipe(pepper, sizeof(pepper));
	return rc;
}

/* keys.gdbm without its pepper recognises no key: said aloud, or everybody is just "unknown". */
static enum err_code refuse_lone_file(struct keys *k, struct err *e)
{
	char path[HOME_PATH_MAX], prev[HOME_PATH_MAX];
	enum err_code rc = home_path(k->home, PEOPLE_FILE_NAME, path, e);

	if (!rc)
		rc = home_path(k->home, PEOPLE_FILE_NAME ".prev", prev, e);
	if (!rc && (access(path, F_OK) == 0 || access(prev, F_OK) == 0))
		rc = err_set(e, ERR_STORE,
			"%s is there, but the file pepper beside it is missing: restore it from a "
			"backup, or from another host that shares these keys, or move %s and its "
			".prev away and make new keys",
			path, path);
	return rc;
}

/* GDBM compares the hash byte by byte, which is no leak: who does not know the pepper cannot
 * choose a hash. */
static enum err_code fetch_hash(
	struct keys *k, struct slice hash, struct buf *value, struct key_info *info, struct err *e)
{
	enum err_code rc = people_file_fetch(k->file, 'K', hash, NOTHING, value, e);

	if (!rc)
		rc = key_record_read(buf_slice(value), info, e);
	return rc == ERR_IO ? ERR_STORE : rc;
}

static enum err_code fetch_id(
	struct keys *k, const char *id, struct buf *value, struct key_info *info, struct err *e)
{
	uint8_t hash[SHA256_BYTES];
	enum err_code rc = people_file_fetch(k->file, 'I', slice_of(id), NOTHING, value, e);

	if (!rc && value->len == sizeof(hash)) {
		memcpy(hash, value->data, sizeof(hash));
		rc = fetch_hash(k, hash_slice(hash), value, info, e);
	} else if (!rc) {
		rc = ERR_NOT_FOUND;
	}
	if (rc == ERR_NOT_FOUND)
		rc = err_set(e, ERR_STORE, "keys.gdbm does not hold the whole of key %s", id);
	return rc;
}

/* Finds what a text stands for. *ended_ms says when the text itself ends or ended, 0 = never. */
static enum err_code find(struct keys *k, const uint8_t hash[SHA256_BYTES], struct key_info *info,
	int64_t *ended_ms, struct err *e)
{
	char id[KEY_ID_SIZE];
	struct buf value = { .max_bytes = 65536 };
	enum err_code rc = fetch_hash(k, hash_slice(hash), &value, info, e);

	*ended_ms = rc ? 0 : info->revoked_ms;
	if (!rc && info->flags & KEY_OLD_TEXT) {
		memcpy(id, info->id, sizeof(id));
		rc = fetch_id(k, id, &value, info, e);
		if (!rc && info->revoked_ms && info->revoked_ms < *ended_ms)
			*ended_ms = info->revoked_ms;
	}
	buf_fini(&value);
	return rc;
}

enum err_code keys_check_at(struct keys *k, struct slice text, int64_t now_ms,
	enum keys_verdict *verdict, struct key_info *info, struct err *e)
{
	const struct key_info *env = keys_env_find(&k->env, text);
	bool well_formed = key_text_is_valid(text);
	uint8_t hash[SHA256_BYTES];
	struct err no_pepper;
	int64_t ended_ms;
	enum err_code rc, pepper_rc;

	/* The time it takes tells of a key only to who has it. */
	if (env) {
		*info = *env;
		*verdict = KEYS_VALID;
		return ERR_OK;
	}
	*info = (struct key_info){ .id = "" };
	*verdict = KEYS_UNKNOWN;
	pepper_rc = load_pepper(k, false, &no_pepper);
	crypto_hmac_of(pepper_rc ? &k->env.pepper : &k->pepper, text, hash);
	rc = find(k, hash, info, &ended_ms, e);
	if (!well_formed) {
		*verdict = KEYS_MALFORMED;
		return ERR_OK;
	}
	if (pepper_rc == ERR_NOT_FOUND)
		return refuse_lone_file(k, e);
	if (pepper_rc) {
		if (e)
			*e = no_pepper;
		return pepper_rc;
	}
	if (!rc)
		*verdict = (ended_ms && ended_ms <= now_ms) ||
					   (info->expires_ms && info->expires_ms <= now_ms)
				   ? KEYS_REVOKED
				   : KEYS_VALID;
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum err_code keys_check(struct keys *k, struct slice text, enum keys_verdict *verdict,
	struct key_info *info, struct err *e)
{
	return keys_check_at(k, text, clock_wall_ms(), verdict, info, e);
}

/* ---- listing ---- */

struct listing {
	struct key_info *list;
	size_t count, room;
};

static enum err_code collect(void *ctx, struct slice rest, struct slice value, struct err *e)
{
	struct listing *l = ctx;
	enum err_code rc;

	(void)rest;
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		struct key_info *more = realloc(l->list, room * sizeof(*more));

		if (!more)
			return err_set(e, ERR_NO_MEMORY, "out of memory while listing keys");
		l->list = more;
		l->room = room;
	}
	rc = key_record_read(value, &l->list[l->count], e);
	l->count += !rc && !(l->list[l->count].flags & KEY_OLD_TEXT);
	return rc;
}

static int by_age(const void *a, const void *b)
{
	const struct key_info *x = a, *y = b;

	if (x->created_ms != y->created_ms)
		return x->created_ms < y->created_ms ? -1 : 1;
	return strcmp(x->id, y->id);
}

enum err_code keys_list(struct keys *k, struct key_info **list, size_t *count, struct err *e)
{
	struct listing l = { .room = k->env.count + 16 };
	enum err_code rc;

	*list = NULL;
	*count = 0;
	l.list = calloc(l.room, sizeof(*l.list));
	if (!l.list)
		return err_set(e, ERR_NO_MEMORY, "out of memory while listing keys");
	for (size_t i = 0; i < k->env.count; i++)
		l.list[l.count++] = k->env.keys[i].info;
	rc = people_file_each(k->file, 'K', collect, &l, e);
	if (rc) {
		free(l.list);
		return rc;
	}
	qsort(l.list, l.count, sizeof(*l.list), by_age); /* those of the environment have age 0 */
	*list = l.list;
	*count = l.count;
	return ERR_OK;
}

/* Which key is meant? One of list, or NULL and words why not. */
static const struct key_info *resolve(
	const struct key_info *list, size_t count, const char *id_or_name, struct err *e)
{
	const struct key_info *found = NULL;
	size_t named = 0, revoked = 0;
	enum err_code rc;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].id, id_or_name) == 0)
			return &list[i];
		if (strcmp(list[i].name, id_or_name) != 0)
			continue;
		if (list[i].revoked_ms) {
			revoked++;
		} else {
			found = &list[i];
			named++;
		}
	}
	if (named == 1)
		return found;
	if (named)
		rc = err_param(e, ERR_BAD_REQUEST, "key",
			"%zu keys are called \"%.64s\": name one by its id (`tollgate keys list`)",
			named, id_or_name);
	else if (revoked)
		rc = err_param(e, ERR_BAD_REQUEST, "key",
			"the key called \"%.64s\" was revoked already", id_or_name);
	else
		rc = err_param(e, ERR_NOT_FOUND, "key", "no key has the id or the name \"%.64s\"",
			id_or_name);
	(void)rc; /* it is in e */
	return NULL;
}

enum err_code keys_get(struct keys *k, const char *id_or_name, struct key_info *info, struct err *e)
{
	const struct key_info *found = NULL;
	struct err why = { .code = ERR_OK };
	struct key_info *list;
	size_t count;
	enum err_code rc = keys_list(k, &list, &count, &why);

	if (!rc) {
		found = resolve(list, count, id_or_name, &why);
		rc = why.code;
	}
	/* Not before: id_or_name may be the caller's info->id. */
	*info = found ? *found : (struct key_info){ .id = "" };
	free(list);
	if (rc && e)
		*e = why;
	return rc;
}

/* ---- changing ---- */

/* A pepper made anew beside existing keys would lose them all without a word. */
static enum err_code secure_pepper(struct keys *k, struct err *e)
{
	enum err_code rc = load_pepper(k, false, e);

	if (rc == ERR_NOT_FOUND)
		rc = refuse_lone_file(k, e);
	return rc ? rc : load_pepper(k, true, e);
}

static enum err_code check_rate(const char *param, int64_t rate, struct err *e)
{
	if (rate >= 0 && rate <= KEY_RATE_MAX)
		return ERR_OK;
	return err_param(e, ERR_BAD_REQUEST, param, "%s is 1 to %lld, or 0 for no limit", param,
		(long long)KEY_RATE_MAX);
}

/* Are those of the values good that set names? */
static enum err_code check_values(const struct key_info *want, unsigned set, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (set & KEYS_SET_NAME && !key_name_is_valid(slice_of(want->name)))
		rc = err_param(e, ERR_BAD_REQUEST, "name",
			"a key's name has 1 to %d printable ASCII characters and no blank at "
			"either end",
			KEY_NAME_MAX);
	if (!rc && set & KEYS_SET_REQUESTS)
		rc = check_rate("rpm", want->requests_per_minute, e);
	if (!rc && set & KEYS_SET_TOKENS)
		rc = check_rate("tpm", want->tokens_per_minute, e);
	if (!rc && set & KEYS_SET_CONCURRENT)
		rc = check_rate("concurrent", want->concurrent, e);
	if (!rc && set & KEYS_SET_BUDGET &&
		(want->budget_microusd < 0 || want->budget_microusd > PEOPLE_MICROUSD_MAX))
		rc = err_param(e, ERR_BAD_REQUEST, "budget", "a budget is 0 to %lld US dollars",
			(long long)(PEOPLE_MICROUSD_MAX / 1000000));
	if (!rc && set & KEYS_SET_EXPIRES && want->expires_ms < 0)
		rc = err_param(e, ERR_BAD_REQUEST, "expires", "a key cannot expire before 1970");
	return rc;
}

static void set_values(struct key_info *info, unsigned set, const struct key_info *to)
{
	if (set & KEYS_SET_NAME)
		memcpy(info->name, to->name, sizeof(info->name));
	if (set & KEYS_SET_REQUESTS)
		info->requests_per_minute = to->requests_per_minute;
	if (set & KEYS_SET_TOKENS)
		info->tokens_per_minute = to->tokens_per_minute;
	if (set & KEYS_SET_CONCURRENT)
		info->concurrent = to->concurrent;
	if (set & KEYS_SET_BUDGET) {
		info->budget_microusd = to->budget_microusd;
		info->budget_window = to->budget_window;
	}
	if (set & KEYS_SET_MODELS)
		memcpy(info->models, to->models, sizeof(info->models));
	if (set & KEYS_SET_EXPIRES)
		info->expires_ms = to->expires_ms;
}

/* Takes over whose key it will be, when there are such. */
static enum err_code set_owner(
	struct keys *k, const struct key_info *want, struct key_info *info, struct err *e)
{
	struct people_member member;
	struct people_user user;
	struct people_org org;
	enum err_code rc = ERR_OK;

	if (want->user[0])
		rc = people_user_get(k->file, want->user, &user, e);
	if (!rc && want->org[0])
		rc = people_org_get(k->file, want->org, &org, e);
	if (!rc && want->user[0] && want->org[0])
		rc = people_member_get(k->file, &org, user.id, &member, e);
	if (!rc && want->user[0])
		memcpy(info->user, user.id, sizeof(info->user));
	if (!rc && want->org[0])
		memcpy(info->org, org.id, sizeof(info->org));
	return rc;
}

static enum err_code put_record(struct people_change *change, const uint8_t hash[SHA256_BYTES],
	const struct key_info *info, struct err *e)
{
	uint8_t record[KEY_RECORD_BYTES];

	return people_change_put(
		change, 'K', hash_slice(hash), NOTHING, key_record_write(info, record), e);
}

/* Makes a text and puts the key under it. */
static enum err_code put_text(struct keys *k, struct people_change *change,
	const struct key_info *info, char text[KEY_TEXT_SIZE], struct err *e)
{
	uint8_t hash[SHA256_BYTES];
	enum err_code rc;

	key_text_make(text);
	crypto_hmac_of(&k->pepper, slice_of(text), hash);
	rc = put_record(change, hash, info, e);
	return rc ? rc
		  : people_change_put(
			    change, 'I', slice_of(info->id), NOTHING, hash_slice(hash), e);
}

enum err_code keys_create(struct keys *k, const struct key_info *want, int64_t now_ms,
	char text[KEY_TEXT_SIZE], struct key_info *info, struct err *e)
{
	struct people_change change = { 0 };
	enum err_code rc = check_values(want, KEYS_SET_ALL, e);

	text[0] = '\0';
	*info = (struct key_info){ .created_ms = now_ms };
	set_values(info, KEYS_SET_ALL, want);
	memcpy(info->id, "key_", 4);
	key_text_random(info->id + 4, ID_RANDOM);
	info->number = people_number(slice_of(info->id));
	if (!rc)
		rc = set_owner(k, want, info, e);
	if (!rc)
		rc = home_make(k->home, e);
	if (!rc)
		rc = secure_pepper(k, e);
	if (!rc)
		rc = people_change_begin(&change, k->file, e);
	if (!rc)
		rc = put_text(k, &change, info, text, e);
	rc = people_change_end(&change, rc, e);
	if (rc)
		crypto_wipe(text, KEY_TEXT_SIZE);
	return rc;
}

/* Finds the key that is to be changed, and begins. hash is that of its text. */
static enum err_code begin_with(struct keys *k, const char *id_or_name,
	struct people_change *change, struct key_info *info, uint8_t hash[SHA256_BYTES],
	struct err *e)
{
	struct buf value = { 0 };
	char id[KEY_ID_SIZE];
	enum err_code rc = keys_get(k, id_or_name, info, e);

	memcpy(id, info->id, sizeof(id));
	if (!rc && slice_starts(slice_of(id), KEYS_ENV_PREFIX))
		rc = err_param(e, ERR_BAD_REQUEST, "key",
			"%s comes from " KEYS_ENV_SETTING ": change it there", id);
	if (!rc)
		rc = people_change_begin(change, k->file, e);
	if (!rc) {
		rc = people_change_fetch(change, 'I', slice_of(id), NOTHING, &value, e);
		if (!rc && value.len == SHA256_BYTES) {
			memcpy(hash, value.data, SHA256_BYTES);
			rc = people_change_fetch(change, 'K', hash_slice(hash), NOTHING, &value, e);
		}
		if (!rc)
			rc = key_record_read(buf_slice(&value), info, e);
		if (rc)
			rc = err_set(
				e, ERR_STORE, "keys.gdbm does not hold the whole of key %s", id);
	}
	if (!rc && info->revoked_ms)
		rc = err_param(e, ERR_BAD_REQUEST, "key", "the key %s was revoked already", id);
	buf_fini(&value);
	return rc;
}

enum err_code keys_edit(struct keys *k, const char *id_or_name, unsigned set,
	const struct key_info *to, struct key_info *info, struct err *e)
{
	struct people_change change = { 0 };
	uint8_t hash[SHA256_BYTES];
	enum err_code rc = check_values(to, set, e);

	if (!rc)
		rc = begin_with(k, id_or_name, &change, info, hash, e);
	if (!rc) {
		set_values(info, set, to);
		rc = put_record(&change, hash, info, e);
	}
	return people_change_end(&change, rc, e);
}

/* The text before the present one, if it works still, ends now. */
static enum err_code end_old_text(
	struct people_change *change, const struct key_info *info, int64_t now_ms, struct err *e)
{
	struct buf value = { 0 };
	struct key_info old;
	enum err_code rc;

	if (info->old_until_ms <= now_ms)
		return ERR_OK;
	rc = people_change_fetch(change, 'K', hash_slice(info->old_hash), NOTHING, &value, e);
	if (!rc)
		rc = key_record_read(buf_slice(&value), &old, e);
	buf_fini(&value);
	if (rc)
		return err_set(e, ERR_STORE, "the text before of key %s is not there", info->id);
	old.revoked_ms = now_ms;
	return put_record(change, info->old_hash, &old, e);
}

enum err_code keys_rotate(struct keys *k, const char *id_or_name, int64_t overlap_ms,
	int64_t now_ms, char text[KEY_TEXT_SIZE], struct key_info *info, struct err *e)
{
	struct people_change change = { 0 };
	uint8_t hash[SHA256_BYTES];
	struct key_info old;
	enum err_code rc = ERR_OK;

	text[0] = '\0';
	if (overlap_ms < 0 || overlap_ms > KEYS_OVERLAP_MAX_MS)
		rc = err_param(e, ERR_BAD_REQUEST, "overlap", "the overlap is 0 to %lld days",
			(long long)(KEYS_OVERLAP_MAX_MS / 86400000));
	if (!rc)
		rc = secure_pepper(k, e);
	if (!rc)
		rc = begin_with(k, id_or_name, &change, info, hash, e);
	if (!rc)
		rc = end_old_text(&change, info, now_ms, e);
	if (!rc) {
		old = (struct key_info){ .flags = KEY_OLD_TEXT,
			.created_ms = info->created_ms,
			.revoked_ms = now_ms + overlap_ms,
			.number = info->number };
		memcpy(old.id, info->id, sizeof(old.id));
		memcpy(old.name, info->name, sizeof(old.name));
		rc = put_record(&change, hash, &old, e);
	}
	if (!rc) {
		memcpy(info->old_hash, hash, sizeof(hash));
		info->old_until_ms = now_ms + overlap_ms;
		rc = put_text(k, &change, info, text, e);
	}
	rc = people_change_end(&change, rc, e);
	if (rc)
		crypto_wipe(text, KEY_TEXT_SIZE);
	return rc;
}

enum err_code keys_revoke(struct keys *k, const char *id_or_name, int64_t now_ms,
	struct key_info *info, struct err *e)
{
	struct people_change change = { 0 };
	uint8_t hash[SHA256_BYTES];
	enum err_code rc = begin_with(k, id_or_name, &change, info, hash, e);

	if (!rc) {
		info->revoked_ms = now_ms > 0 ? now_ms : 1;
		rc = put_record(&change, hash, info, e);
	}
	return people_change_end(&change, rc, e);
}

bool keys_is_damaged(struct keys *k)
{
	return people_file_is_damaged(k->file);
}

enum err_code keys_restore(struct keys *k, struct err *e)
{
	return people_file_restore(k->file, e);
}
