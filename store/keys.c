#include "store/keys.h"

#include "base/crypto.h"
#include "store/gdbm_file.h"
#include "store/home.h"
#include "store/pepper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_NAME    "keys.gdbm"
#define LOCK_NAME    "keys.lock"
#define LOCK_WAIT_MS 10000
#define ENV_PREFIX   "env:"
#define ENV_SETTING  "GATEWAY_API_KEYS"
#define ID_RANDOM    12

struct env_key {
	uint8_t hash[SHA256_BYTES];
	struct key_info info;
};

struct keys {
	char home[HOME_PATH_MAX];
	struct gdbm_file *file;
	struct env_key *env;
	size_t env_count;
	uint8_t env_pepper[PEPPER_BYTES]; /* of this process alone */

	pthread_mutex_t lock; /* over reading the pepper */
	atomic_bool has_pepper;
	uint8_t pepper[PEPPER_BYTES];
};

static struct slice bytes_of(const uint8_t *p, size_t n)
{
	return (struct slice){ (const char *)p, n };
}

static void hash_with(
	const uint8_t pepper[PEPPER_BYTES], struct slice text, uint8_t out[SHA256_BYTES])
{
	crypto_hmac_sha256(bytes_of(pepper, PEPPER_BYTES), text, out);
}

/* 'K' and the hash, as keys.gdbm has it. */
struct record_key {
	uint8_t bytes[1 + SHA256_BYTES];
};

static struct slice record_key(struct record_key *out, const uint8_t hash[SHA256_BYTES])
{
	out->bytes[0] = 'K';
	memcpy(out->bytes + 1, hash, SHA256_BYTES);
	return bytes_of(out->bytes, sizeof(out->bytes));
}

static struct slice id_key(char out[1 + KEY_ID_SIZE], const char *id)
{
	snprintf(out, 1 + KEY_ID_SIZE, "I%s", id);
	return slice_of(out);
}

/* ---- GATEWAY_API_KEYS ---- */

static enum err_code add_env_key(struct keys *k, struct slice item, size_t number, struct err *e)
{
	struct env_key *more, *own;
	struct slice key = item, name = slice_trim(slice_cut(&key, '='));

	key = slice_trim(key);
	if (!key.ptr || !key_name_is_valid(name))
		return err_param(e, ERR_CONF, ENV_SETTING,
			ENV_SETTING ": entry %zu must be name=key, with a name of 1 to %d "
				    "printable characters",
			number, KEY_NAME_MAX);
	if (key.len < KEYS_ENV_MIN || key.len > 512)
		return err_param(e, ERR_CONF, ENV_SETTING,
			ENV_SETTING ": the key of %.*s must have %d to 512 characters",
			SLICE_ARG(name), KEYS_ENV_MIN);
	more = realloc(k->env, (k->env_count + 1) * sizeof(*more));
	if (!more)
		return err_set(e, ERR_NO_MEMORY, "out of memory while reading " ENV_SETTING);
	k->env = more;
	own = &more[k->env_count];
	*own = (struct env_key){ .info = { .flags = 0 } };
	snprintf(own->info.name, sizeof(own->info.name), "%.*s", SLICE_ARG(name));
	snprintf(own->info.id, sizeof(own->info.id), ENV_PREFIX "%.*s", SLICE_ARG(name));
	hash_with(k->env_pepper, key, own->hash);
	for (size_t i = 0; i < k->env_count; i++)
		if (strcmp(more[i].info.id, own->info.id) == 0 ||
			crypto_equal(more[i].hash, own->hash, SHA256_BYTES))
			return err_param(e, ERR_CONF, ENV_SETTING,
				ENV_SETTING ": %.*s: the name or the key is there twice",
				SLICE_ARG(name));
	k->env_count++;
	return ERR_OK;
}

static enum err_code read_env_keys(struct keys *k, const char *text, struct err *e)
{
	struct slice rest = slice_of(text), item;
	enum err_code rc = ERR_OK;
	size_t number = 0;

	while (!rc && rest.len) {
		item = slice_trim(slice_cut(&rest, ','));
		number++;
		if (item.len)
			rc = add_env_key(k, item, number, e);
	}
	return rc;
}

/* Every entry is compared, so that time tells nothing. */
static const struct key_info *find_env_key(const struct keys *k, struct slice text)
{
	const struct key_info *found = NULL;
	uint8_t hash[SHA256_BYTES];

	if (!k->env_count)
		return NULL;
	hash_with(k->env_pepper, text, hash);
	for (size_t i = 0; i < k->env_count; i++)
		if (crypto_equal(k->env[i].hash, hash, sizeof(hash)))
			found = &k->env[i].info;
	return found;
}

/* ---- opening and checking ---- */

enum err_code keys_open(struct keys **out, const char *home, const char *env_keys, struct err *e)
{
	struct keys *k = calloc(1, sizeof(*k));
	struct err missing;
	enum err_code rc;

	*out = NULL;
	if (!k)
		return err_set(e, ERR_NO_MEMORY, "out of memory while opening the keys");
	pthread_mutex_init(&k->lock, NULL);
	crypto_random(k->env_pepper, sizeof(k->env_pepper));
	rc = read_env_keys(k, env_keys, e);
	if (!rc && !slice_copy(slice_of(home), k->home, sizeof(k->home)))
		rc = err_set(e, ERR_STORE, "the path of GATEWAY_HOME is too long");
	if (!rc) {
		rc = home_check(home, &missing);
		if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
		else if (rc && e)
			*e = missing;
	}
	if (!rc)
		rc = gdbm_file_open(&k->file, home, FILE_NAME, e);
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
	gdbm_file_close(k->file);
	free(k->env);
	pthread_mutex_destroy(&k->lock);
	crypto_wipe(k, sizeof(*k));
	free(k);
}

/* The pepper appears with the first key, which may be after the start. */
static enum err_code load_pepper(struct keys *k, bool make, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (atomic_load(&k->has_pepper))
		return ERR_OK;
	pthread_mutex_lock(&k->lock);
	if (!atomic_load(&k->has_pepper)) {
		rc = make ? pepper_make(k->home, k->pepper, e) : pepper_read(k->home, k->pepper, e);
		atomic_store(&k->has_pepper, rc == ERR_OK);
	}
	pthread_mutex_unlock(&k->lock);
	return rc;
}

/* keys.gdbm without its pepper recognises no key: said aloud, or everybody is just "unknown". */
static enum err_code refuse_lone_file(struct keys *k, struct err *e)
{
	char path[HOME_PATH_MAX], prev[HOME_PATH_MAX];
	enum err_code rc = home_path(k->home, FILE_NAME, path, e);

	if (!rc)
		rc = home_path(k->home, FILE_NAME ".prev", prev, e);
	if (!rc && (access(path, F_OK) == 0 || access(prev, F_OK) == 0))
		rc = err_set(e, ERR_STORE,
			"%s is there, but the file pepper beside it is missing: restore it from a "
			"backup, or move %s and its .prev away and make new keys",
			path, path);
	return rc;
}

/* GDBM compares the hash byte by byte, which is no leak: who does not know the pepper cannot
 * choose a hash. */
static enum err_code find(
	struct keys *k, const uint8_t hash[SHA256_BYTES], struct key_info *info, struct err *e)
{
	struct record_key key;
	struct buf value = { .max_bytes = 65536 };
	enum err_code rc = gdbm_file_fetch(k->file, record_key(&key, hash), &value, e);

	if (!rc)
		rc = key_record_read(buf_slice(&value), info, e);
	buf_fini(&value);
	return rc == ERR_IO ? ERR_STORE : rc;
}

enum err_code keys_check(struct keys *k, struct slice text, enum keys_verdict *verdict,
	struct key_info *info, struct err *e)
{
	const struct key_info *env = find_env_key(k, text);
	bool well_formed = key_text_is_valid(text);
	uint8_t hash[SHA256_BYTES];
	struct err no_pepper;
	enum err_code rc, pepper_rc = load_pepper(k, false, &no_pepper);

	*info = (struct key_info){ .id = "" };
	hash_with(pepper_rc ? k->env_pepper : k->pepper, text, hash);
	rc = find(k, hash, info, e);
	*verdict = KEYS_UNKNOWN;
	if (env) {
		*info = *env;
		*verdict = KEYS_VALID;
		return ERR_OK;
	}
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
		*verdict = info->revoked_ms ? KEYS_REVOKED : KEYS_VALID;
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* ---- changing ---- */

static enum err_code check_record(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct key_info ignored;

	(void)ctx;
	if (key.len == 1 + SHA256_BYTES && key.ptr[0] == 'K')
		return key_record_read(value, &ignored, e);
	if (key.len > 1 && key.ptr[0] == 'I' && value.len == SHA256_BYTES)
		return ERR_OK;
	return err_set(e, ERR_IO, "it holds a record that is not about a key");
}

static enum err_code begin(struct keys *k, int *lock_fd, struct gdbm_change **change, struct err *e)
{
	enum err_code rc = home_lock(k->home, LOCK_NAME, LOCK_WAIT_MS, lock_fd, e);

	*change = NULL;
	return rc ? rc : gdbm_change_begin(change, k->home, FILE_NAME, check_record, NULL, e);
}

static void release(int lock_fd)
{
	if (lock_fd >= 0)
		close(lock_fd);
}

static enum err_code put_record(struct gdbm_change *change, const uint8_t hash[SHA256_BYTES],
	const struct key_info *info, struct err *e)
{
	uint8_t record[KEY_RECORD_BYTES];
	struct record_key key;

	key_record_write(info, record);
	return gdbm_change_put(change, record_key(&key, hash), bytes_of(record, sizeof(record)), e);
}

/* A pepper made anew beside existing keys would lose them all without a word. */
static enum err_code secure_pepper(struct keys *k, struct err *e)
{
	enum err_code rc = load_pepper(k, false, e);

	if (rc == ERR_NOT_FOUND)
		rc = refuse_lone_file(k, e);
	return rc ? rc : load_pepper(k, true, e);
}

enum err_code keys_create(struct keys *k, const char *name, int64_t now_ms,
	char text[KEY_TEXT_SIZE], struct key_info *info, struct err *e)
{
	struct gdbm_change *change = NULL;
	uint8_t hash[SHA256_BYTES];
	char key[1 + KEY_ID_SIZE];
	enum err_code rc;
	int lock_fd = -1;

	text[0] = '\0';
	*info = (struct key_info){ .created_ms = now_ms };
	if (!key_name_is_valid(slice_of(name)))
		return err_param(e, ERR_BAD_REQUEST, "name",
			"a key's name has 1 to %d printable ASCII characters and no blank at "
			"either end",
			KEY_NAME_MAX);
	memcpy(info->name, name, strlen(name));
	memcpy(info->id, "key_", 4);
	key_text_random(info->id + 4, ID_RANDOM);
	rc = home_make(k->home, e);
	if (!rc)
		rc = secure_pepper(k, e);
	if (!rc)
		rc = begin(k, &lock_fd, &change, e);
	if (!rc) {
		key_text_make(text);
		hash_with(k->pepper, slice_of(text), hash);
		rc = put_record(change, hash, info, e);
	}
	if (!rc)
		rc = gdbm_change_put(
			change, id_key(key, info->id), bytes_of(hash, sizeof(hash)), e);
	if (!rc) {
		rc = gdbm_change_commit(change, e);
		change = NULL;
	}
	gdbm_change_abort(change);
	release(lock_fd);
	if (rc)
		crypto_wipe(text, KEY_TEXT_SIZE);
	return rc;
}

struct listing {
	struct key_info *list;
	size_t count, room;
};

static enum err_code collect(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct listing *l = ctx;

	if (!key.len || key.ptr[0] != 'K')
		return ERR_OK;
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		struct key_info *more = realloc(l->list, room * sizeof(*more));

		if (!more)
			return err_set(e, ERR_NO_MEMORY, "out of memory while listing keys");
		l->list = more;
		l->room = room;
	}
	return key_record_read(value, &l->list[l->count++], e);
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
	struct listing l = { .room = k->env_count + 16 };
	enum err_code rc;

	*list = NULL;
	*count = 0;
	l.list = calloc(l.room, sizeof(*l.list));
	if (!l.list)
		return err_set(e, ERR_NO_MEMORY, "out of memory while listing keys");
	for (size_t i = 0; i < k->env_count; i++)
		l.list[l.count++] = k->env[i].info;
	rc = gdbm_file_each(k->file, collect, &l, e);
	if (rc) {
		free(l.list);
		return rc;
	}
	qsort(l.list, l.count, sizeof(*l.list), by_age); /* those of the environment have age 0 */
	*list = l.list;
	*count = l.count;
	return ERR_OK;
}

/* Says which key is meant; the id in id. */
static enum err_code resolve(
	struct keys *k, const char *id_or_name, char id[KEY_ID_SIZE], struct err *e)
{
	struct key_info *list;
	size_t count, named = 0, revoked = 0;
	enum err_code rc = keys_list(k, &list, &count, e);

	if (rc)
		return rc;
	id[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].id, id_or_name) == 0) {
			memcpy(id, list[i].id, KEY_ID_SIZE);
			named = 1;
			break;
		}
		if (strcmp(list[i].name, id_or_name) != 0)
			continue;
		if (list[i].revoked_ms) {
			revoked++;
		} else {
			memcpy(id, list[i].id, KEY_ID_SIZE);
			named++;
		}
	}
	free(list);
	if (named > 1)
		return err_param(e, ERR_BAD_REQUEST, "key",
			"%zu keys are called \"%.64s\": name one by its id (`tollgate keys list`)",
			named, id_or_name);
	if (!named && revoked)
		return err_param(e, ERR_BAD_REQUEST, "key",
			"the key called \"%.64s\" was revoked already", id_or_name);
	if (!named)
		return err_param(e, ERR_NOT_FOUND, "key", "no key has the id or the name \"%.64s\"",
			id_or_name);
	if (slice_starts(slice_of(id), ENV_PREFIX))
		return err_param(e, ERR_BAD_REQUEST, "key",
			"%s comes from " ENV_SETTING ": remove it there", id);
	return ERR_OK;
}

static enum err_code mark_revoked(struct gdbm_change *change, const char *id, int64_t now_ms,
	struct key_info *info, struct err *e)
{
	struct buf hash = { 0 }, record = { 0 };
	struct record_key key;
	char name[1 + KEY_ID_SIZE];
	enum err_code rc = gdbm_change_fetch(change, id_key(name, id), &hash, e);

	if (!rc)
		rc = gdbm_change_fetch(
			change, record_key(&key, (const uint8_t *)hash.data), &record, e);
	if (!rc)
		rc = key_record_read(buf_slice(&record), info, e);
	if (!rc && info->revoked_ms)
		rc = err_param(e, ERR_BAD_REQUEST, "key", "the key %s was revoked already", id);
	if (!rc) {
		info->revoked_ms = now_ms > 0 ? now_ms : 1;
		rc = put_record(change, (const uint8_t *)hash.data, info, e);
	} else if (rc == ERR_NOT_FOUND) {
		rc = err_set(e, ERR_STORE, "keys.gdbm does not hold the whole of key %s", id);
	}
	buf_fini(&record);
	buf_fini(&hash);
	return rc;
}

enum err_code keys_revoke(struct keys *k, const char *id_or_name, int64_t now_ms,
	struct key_info *info, struct err *e)
{
	struct gdbm_change *change = NULL;
	char id[KEY_ID_SIZE];
	enum err_code rc;
	int lock_fd = -1;

	*info = (struct key_info){ .id = "" };
	rc = resolve(k, id_or_name, id, e);
	if (!rc)
		rc = begin(k, &lock_fd, &change, e);
	if (!rc)
		rc = mark_revoked(change, id, now_ms, info, e);
	if (!rc) {
		rc = gdbm_change_commit(change, e);
		change = NULL;
	}
	gdbm_change_abort(change);
	release(lock_fd);
	return rc;
}

bool keys_is_damaged(struct keys *k)
{
	return gdbm_file_is_damaged(k->file);
}

enum err_code keys_restore(struct keys *k, struct err *e)
{
	enum err_code rc;
	int lock_fd = -1;

	rc = home_lock(k->home, LOCK_NAME, LOCK_WAIT_MS, &lock_fd, e);
	if (!rc)
		rc = gdbm_file_restore(k->home, FILE_NAME, check_record, NULL, e);
	release(lock_fd);
	return rc;
}
