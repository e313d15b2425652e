#include "store/people_file.h"

#include "base/crypto.h"
#include "store/home.h"
#include "store/key_record.h"
#include "store/pepper.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define LOCK_NAME    "keys.lock"
#define LOCK_WAIT_MS 10000
#define OLD_NAME     PEOPLE_FILE_NAME ".v1"
#define SCHEMA_BYTES 4
#define PRINT_BYTES  16 /* of a fingerprint */
#define NOTHING      ((struct slice){ "", 0 })

struct people_file {
	char home[HOME_PATH_MAX];
	struct gdbm_file *file;
	struct share *share; /* NULL = this host's alone */
};

struct record_key {
	char bytes[1 + 2 * KEY_ID_SIZE];
};

static struct slice record_key(struct record_key *out, char letter, struct slice a, struct slice b)
{
	/* What is longer than any id is in no file. */
	size_t in_a = a.len < KEY_ID_SIZE ? a.len : KEY_ID_SIZE;
	size_t in_b = b.len < KEY_ID_SIZE ? b.len : KEY_ID_SIZE;

	out->bytes[0] = letter;
	memcpy(out->bytes + 1, a.ptr, in_a);
	memcpy(out->bytes + 1 + in_a, b.ptr, in_b);
	return (struct slice){ out->bytes, 1 + in_a + in_b };
}

/* ---- the schema ---- */

static enum err_code read_schema(struct slice value, struct err *e)
{
	const uint8_t *p = (const uint8_t *)value.ptr;
	uint32_t schema;

	if (value.len != SCHEMA_BYTES)
		return err_set(e, ERR_IO, "its schema is damaged");
	schema = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	if (schema > PEOPLE_FILE_SCHEMA)
		return err_set(e, ERR_STORE,
			PEOPLE_FILE_NAME " has schema %u, this version of Tollgate knows %d and "
					 "older: run the newer version, or restore the backup made "
					 "before it",
			schema, PEOPLE_FILE_SCHEMA);
	return schema == PEOPLE_FILE_SCHEMA ? ERR_OK : err_set(e, ERR_IO, "its schema is unknown");
}

/* ERR_IO from here is about the file, which the reader of the rest judges. */
static enum err_code check_schema(struct people_file *f, struct err *e)
{
	struct buf value = { 0 };
	struct err why;
	enum err_code rc = people_file_fetch(f, 'S', NOTHING, NOTHING, &value, e);

	if (!rc && read_schema(buf_slice(&value), &why) == ERR_STORE) {
		rc = ERR_STORE;
		if (e)
			*e = why;
	}
	buf_fini(&value);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* Keeps what there is as it was. A file that is begun gets its pepper with it, also when its
 * first record is no key: later a file without one is a loss (keys.c). */
static enum err_code keep_old(const struct people_file *f, struct err *e)
{
	char path[HOME_PATH_MAX], old[HOME_PATH_MAX];
	uint8_t pepper[PEPPER_BYTES];
	enum err_code rc = home_path(f->home, PEOPLE_FILE_NAME, path, e);

	if (!rc)
		rc = home_path(f->home, OLD_NAME, old, e);
	if (rc || link(path, old) == 0 || errno == EEXIST)
		return rc;
	if (errno != ENOENT)
		return err_set(e, ERR_STORE, "%s: %s", old, strerror(errno));
	rc = pepper_make(f->home, pepper, e);
	crypto_wipe(pepper, sizeof(pepper));
	return rc;
}

static enum err_code upgrade(struct people_file *f, struct people_change *c, struct err *e)
{
	static const char schema[SCHEMA_BYTES] = { PEOPLE_FILE_SCHEMA };
	struct buf value = { 0 };
	enum err_code rc = people_change_fetch(c, 'S', NOTHING, NOTHING, &value, e);

	buf_fini(&value);
	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = keep_old(f, e);
	if (!rc)
		rc = people_change_put(
			c, 'S', NOTHING, NOTHING, (struct slice){ schema, sizeof(schema) }, e);
	return rc;
}

/* ---- opening and reading ---- */

enum err_code people_file_open(struct people_file **out, const char *home, struct err *e)
{
	struct people_file *f = calloc(1, sizeof(*f));
	struct err missing;
	enum err_code rc = ERR_OK;

	*out = NULL;
	if (!f)
		return err_set(e, ERR_NO_MEMORY, "out of memory while opening the keys");
	if (!slice_copy(slice_of(home), f->home, sizeof(f->home)))
		rc = err_set(e, ERR_STORE, "the path of GATEWAY_HOME is too long");
	if (!rc) {
		rc = home_check(home, &missing);
		if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
		else if (rc && e)
			*e = missing;
	}
	if (!rc)
		rc = gdbm_file_open(&f->file, home, PEOPLE_FILE_NAME, e);
	if (!rc)
		rc = check_schema(f, e);
	if (rc)
		people_file_close(f);
	else
		*out = f;
	return rc;
}

void people_file_close(struct people_file *f)
{
	if (!f)
		return;
	share_close(f->share);
	gdbm_file_close(f->file);
	free(f);
}

void people_file_set_share(struct people_file *f, struct share *share)
{
	f->share = share;
}

struct share *people_file_share(const struct people_file *f)
{
	return f->share;
}

const char *people_file_home(const struct people_file *f)
{
	return f->home;
}

bool people_file_is_damaged(struct people_file *f)
{
	return gdbm_file_is_damaged(f->file);
}

enum err_code people_file_fetch(struct people_file *f, char letter, struct slice a, struct slice b,
	struct buf *out, struct err *e)
{
	struct record_key key;

	buf_reset(out);
	return gdbm_file_fetch(f->file, record_key(&key, letter, a, b), out, e);
}

struct walk {
	char letter;
	people_on_record on_record;
	void *ctx;
};

static enum err_code pass_on(void *ctx, struct slice key, struct slice value, struct err *e)
{
	const struct walk *w = ctx;

	if (!key.len || key.ptr[0] != w->letter)
		return ERR_OK;
	return w->on_record(w->ctx, slice_from(key, 1), value, e);
}

enum err_code people_file_each(
	struct people_file *f, char letter, people_on_record on_record, void *ctx, struct err *e)
{
	struct walk w = { letter, on_record, ctx };
	enum err_code rc = check_schema(f, e);

	return rc ? rc : gdbm_file_each(f->file, pass_on, &w, e);
}

/* ---- changing ---- */

/* ---- the pepper of a shared file ---- */

/* Tells nothing of the pepper: it is 32 random bytes. */
static struct slice fingerprint(const uint8_t *pepper, uint8_t out[SHA256_BYTES])
{
	crypto_hmac_sha256((struct slice){ (const char *)pepper, PEPPER_BYTES },
		SLICE("tollgate: which pepper is it?"), out);
	return (struct slice){ (const char *)out, PRINT_BYTES };
}

static enum err_code compare_pepper(struct slice value, const uint8_t *pepper, struct err *e)
{
	uint8_t hash[SHA256_BYTES];

	if (value.len != PRINT_BYTES)
		return err_set(e, ERR_IO, "the fingerprint of its pepper is damaged");
	if (slice_eq(value, fingerprint(pepper, hash)))
		return ERR_OK;
	return err_set(e, ERR_STORE,
		"the file pepper of this host is another one than that of the hosts it shares "
		"keys with: copy GATEWAY_HOME/pepper from one of them, or no key is recognised");
}

enum err_code people_file_check_pepper(struct people_file *f, const uint8_t *pepper, struct err *e)
{
	struct buf value = { .max_bytes = 4096 };
	struct err why = { .code = ERR_OK };
	enum err_code rc = people_file_fetch(f, 'P', NOTHING, NOTHING, &value, &why);

	if (!rc)
		rc = compare_pepper(buf_slice(&value), pepper, &why);
	buf_fini(&value);
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc && e)
		*e = why;
	return rc ? ERR_STORE : ERR_OK;
}

/* A host that has no pepper yet may follow; keys.c tells it what is missing. */
static enum err_code check_fingerprint(
	const struct people_file *f, struct slice value, struct err *e)
{
	uint8_t pepper[PEPPER_BYTES];
	enum err_code rc = pepper_read(f->home, pepper, e);

	if (!rc)
		rc = compare_pepper(value, pepper, e);
	crypto_wipe(pepper, sizeof(pepper));
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* The first change of a shared file leaves one. (A file that is begun has got its pepper.) */
static enum err_code leave_fingerprint(struct people_change *c, struct err *e)
{
	uint8_t pepper[PEPPER_BYTES], hash[SHA256_BYTES];
	struct buf value = { .max_bytes = 4096 };
	enum err_code rc = people_change_fetch(c, 'P', NOTHING, NOTHING, &value, e);

	buf_fini(&value);
	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = pepper_read(c->file->home, pepper, e);
	if (rc == ERR_NOT_FOUND)
		rc = err_set(e, ERR_STORE,
			"the file pepper of %s is missing: restore it from a backup, or copy it "
			"from "
			"another host that shares these keys",
			c->file->home);
	if (!rc)
		rc = people_change_put(c, 'P', NOTHING, NOTHING, fingerprint(pepper, hash), e);
	crypto_wipe(pepper, sizeof(pepper));
	return rc;
}

/* Is this a record that this version understands? One record is read at a time, so their room
 * is shared. */
static enum err_code check_record(void *ctx, struct slice key, struct slice value, struct err *e)
{
	union {
		struct key_info key;
		struct people_user user;
		struct people_org org;
		struct people_member member;
	} ignored;
	size_t rest = key.len ? key.len - 1 : 0;

	switch (key.len ? key.ptr[0] : '\0') {
	case 'K':
		if (rest != KEY_HASH_BYTES)
			break;
		return key_record_read(value, &ignored.key, e);
	case 'I':
		if (!rest || value.len != KEY_HASH_BYTES)
			break;
		return ERR_OK;
	case 'U':
		return people_user_read(value, &ignored.user, e);
	case 'O':
		return people_org_read(value, &ignored.org, e);
	case 'G':
		if (!rest || value.len != PEOPLE_ORG_ID_SIZE - 1)
			break;
		return ERR_OK;
	case 'M':
		return people_member_read(value, &ignored.member, e);
	case 'S':
		return read_schema(value, e);
	case 'P':
		return check_fingerprint(ctx, value, e);
	case 'E':
	case 'F':
		if (!share_is_mark(key))
			break;
		return ERR_OK;
	default:
		break;
	}
	return err_set(e, ERR_IO, "it holds a record that is not about a key, or about people");
}

enum err_code people_change_begin(struct people_change *c, struct people_file *f, struct err *e)
{
	enum err_code rc;

	*c = (struct people_change){ .file = f };
	rc = home_lock(f->home, LOCK_NAME, LOCK_WAIT_MS, &c->lock_fd, e);
	c->is_locked = !rc;
	if (!rc)
		rc = people_file_refuse_copy(f, e);
	if (!rc && f->share)
		rc = share_change_begin(&c->shared, f->share, e);
	/* Before the walk: to it a newer file looks like a damaged one. */
	if (!rc)
		rc = check_schema(f, e);
	if (!rc)
		rc = gdbm_change_begin(&c->change, f->home, PEOPLE_FILE_NAME, check_record, f, e);
	if (!rc)
		rc = upgrade(f, c, e);
	if (!rc && f->share)
		rc = leave_fingerprint(c, e);
	return rc ? people_change_end(c, rc, e) : ERR_OK;
}

enum err_code people_change_put(struct people_change *c, char letter, struct slice a,
	struct slice b, struct slice value, struct err *e)
{
	struct record_key room;
	struct slice key = record_key(&room, letter, a, b);

	share_change_note(&c->shared, key, &value);
	return gdbm_change_put(c->change, key, value, e);
}

enum err_code people_change_fetch(struct people_change *c, char letter, struct slice a,
	struct slice b, struct buf *out, struct err *e)
{
	struct record_key key;

	buf_reset(out);
	return gdbm_change_fetch(c->change, record_key(&key, letter, a, b), out, e);
}

enum err_code people_change_remove(
	struct people_change *c, char letter, struct slice a, struct slice b, struct err *e)
{
	struct record_key room;
	struct slice key = record_key(&room, letter, a, b);

	share_change_note(&c->shared, key, NULL);
	return gdbm_change_remove(c->change, key, e);
}

enum err_code people_change_end(struct people_change *c, enum err_code rc, struct err *e)
{
	if (c->change && !rc)
		rc = share_change_push(&c->shared, c->change, e);
	if (c->change && !rc)
		rc = gdbm_change_commit(c->change, e);
	else
		gdbm_change_abort(c->change);
	share_change_end(&c->shared);
	if (c->is_locked)
		close(c->lock_fd);
	*c = (struct people_change){ 0 };
	return rc;
}

struct share_conf people_file_share_conf(struct people_file *f)
{
	return (struct share_conf){ .file = f->file,
		.home = f->home,
		.name = PEOPLE_FILE_NAME,
		.lock_name = LOCK_NAME,
		.topic = "people",
		.check = check_record,
		.ctx = f,
		.same = "P" };
}

enum err_code people_file_refuse_copy(struct people_file *f, struct err *e)
{
	return f->share ? ERR_OK : share_refuse_copy(f->file, PEOPLE_FILE_NAME, e);
}

enum err_code people_file_mark_pepper(struct people_file *f, struct err *e)
{
	struct people_file alone = *f;
	struct people_change c = { 0 };
	struct buf value = { .max_bytes = 4096 };
	uint64_t records;
	enum err_code rc = people_file_fetch(f, 'P', NOTHING, NOTHING, &value, e);

	buf_fini(&value);
	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = share_count(f->share, &records, e);
	if (rc || !records)
		return rc;
	alone.share = NULL;
	rc = people_change_begin(&c, &alone, e);
	if (!rc)
		rc = leave_fingerprint(&c, e);
	return people_change_end(&c, rc, e);
}

enum err_code people_file_restore(struct people_file *f, struct err *e)
{
	enum err_code rc;
	int lock_fd = -1;

	rc = home_lock(f->home, LOCK_NAME, LOCK_WAIT_MS, &lock_fd, e);
	if (!rc)
		rc = gdbm_file_restore(f->home, PEOPLE_FILE_NAME, check_record, f, e);
	if (lock_fd >= 0)
		close(lock_fd);
	return rc;
}
