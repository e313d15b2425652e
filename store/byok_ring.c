#include "store/byok_ring.h"

#include "base/base64.h"
#include "store/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define FILE_MAX 1024 /* bytes */
#define TMP_NAME BYOK_RING_FILE ".tmp"

/* From the key alone, and not the other way round. */
static uint64_t kid_of(const uint8_t key[CRYPTO_KEY_BYTES])
{
	uint8_t hash[SHA256_BYTES];
	uint64_t kid = 0;

	crypto_hmac_sha256((struct slice){ (const char *)key, CRYPTO_KEY_BYTES },
		SLICE("tollgate byok kid"), hash);
	for (int i = 0; i < 8; i++)
		kid = kid << 8 | hash[i];
	return kid ? kid : 1;
}

static void add(struct byok_ring *r, const uint8_t key[CRYPTO_KEY_BYTES])
{
	uint64_t kid = kid_of(key);

	/* The one in the setting may still stand in the file. */
	if (byok_ring_find(r, kid))
		return;
	r->keys[r->n].kid = kid;
	memcpy(r->keys[r->n++].key, key, CRYPTO_KEY_BYTES);
}

/* What is wrong with a key, or NULL. */
static const char *read_key(struct byok_ring *r, struct slice text, char why[96])
{
	struct buf bytes = { .max_bytes = FILE_MAX };
	bool is_base64;

	if (r->n == BYOK_RING_MAX) {
		snprintf(why, 96, "more than %d keys", BYOK_RING_MAX);
		return why;
	}
	/* Room for all at once: bytes that move leave a copy behind. */
	is_base64 = buf_room(&bytes, FILE_MAX / 2) && base64_read(text, &bytes);
	if (is_base64 && bytes.len == CRYPTO_KEY_BYTES)
		add(r, (const uint8_t *)bytes.data);
	else if (is_base64)
		snprintf(
			why, 96, "it has %zu bytes, and a key has %d", bytes.len, CRYPTO_KEY_BYTES);
	else
		snprintf(why, 96, "it is not base64 of %d bytes", CRYPTO_KEY_BYTES);
	is_base64 = is_base64 && bytes.len == CRYPTO_KEY_BYTES;
	crypto_wipe(bytes.data, bytes.len);
	buf_fini(&bytes);
	return is_base64 ? NULL : why;
}

static enum err_code read_setting(struct byok_ring *r, const char *setting, struct err *e)
{
	struct slice rest = slice_of(setting);
	char why[96];

	for (size_t number = 1; rest.len; number++) {
		struct slice item = slice_trim(slice_cut(&rest, ','));

		if (item.len && read_key(r, item, why))
			return err_param(e, ERR_CONF, BYOK_RING_SETTING,
				BYOK_RING_SETTING
				": key %zu: %s; `openssl rand -base64 32` makes one",
				number, why);
	}
	r->from_setting = r->n;
	return ERR_OK;
}

static enum err_code read_lines(
	struct byok_ring *r, struct slice rest, const char *path, struct err *e)
{
	char why[96];

	while (rest.len) {
		struct slice line = slice_trim(slice_cut(&rest, '\n'));

		if (line.len && read_key(r, line, why))
			return err_set(e, ERR_STORE, "%s is damaged: %s; restore it", path, why);
	}
	return ERR_OK;
}

static enum err_code read_file(struct byok_ring *r, const char *home, struct err *e)
{
	char path[HOME_PATH_MAX], text[FILE_MAX];
	struct stat st;
	enum err_code rc = home_path(home, BYOK_RING_FILE, path, e);
	ssize_t n = 0;
	int fd;

	if (rc)
		return rc;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? ERR_OK
				       : err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	else
		rc = home_check_file(path, &st, e);
	if (!rc && (st.st_size > FILE_MAX || (n = read(fd, text, FILE_MAX)) != st.st_size))
		rc = err_set(e, ERR_STORE, "%s cannot be read as a whole", path);
	close(fd);
	if (!rc)
		rc = read_lines(r, (struct slice){ text, (size_t)n }, path, e);
	crypto_wipe(text, sizeof(text));
	return rc;
}

enum err_code byok_ring_read(
	struct byok_ring *r, const char *home, const char *setting, struct err *e)
{
	enum err_code rc;

	*r = (struct byok_ring){ .n = 0 };
	rc = read_setting(r, setting, e);
	if (!rc)
		rc = read_file(r, home, e);
	if (rc)
		byok_ring_fini(r);
	return rc;
}

void byok_ring_fini(struct byok_ring *r)
{
	crypto_wipe(r, sizeof(*r));
}

const struct byok_ring_key *byok_ring_find(const struct byok_ring *r, uint64_t kid)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->keys[i].kid == kid)
			return &r->keys[i];
	return NULL;
}

void byok_ring_renew(struct byok_ring *r)
{
	uint8_t key[CRYPTO_KEY_BYTES];

	memmove(&r->keys[1], &r->keys[0], r->n * sizeof(r->keys[0]));
	crypto_random(key, sizeof(key));
	r->keys[0].kid = kid_of(key);
	memcpy(r->keys[0].key, key, sizeof(key));
	r->n++;
	crypto_wipe(key, sizeof(key));
}

static enum err_code write_tmp(const char *tmp, const char *home, struct slice text, struct err *e)
{
	enum err_code rc;
	int fd;

	unlink(tmp); /* of one who died */
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", tmp, strerror(errno));
	rc = home_give(fd, home, e);
	if (!rc && (write(fd, text.ptr, text.len) != (ssize_t)text.len || fsync(fd) != 0))
		rc = err_set(e, ERR_STORE, "%s: %s", tmp, strerror(errno));
	close(fd);
	if (rc)
		unlink(tmp);
	return rc;
}

enum err_code byok_ring_write(
	const struct byok_ring *r, size_t keep, const char *home, struct err *e)
{
	char path[HOME_PATH_MAX], tmp[HOME_PATH_MAX];
	struct buf text = { .max_bytes = FILE_MAX };
	size_t end = r->from_setting + keep < r->n ? r->from_setting + keep : r->n;
	enum err_code rc = home_path(home, BYOK_RING_FILE, path, e);

	if (!rc)
		rc = home_path(home, TMP_NAME, tmp, e);
	if (!rc && !buf_room(&text, FILE_MAX / 2))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for the master keys");
	for (size_t i = r->from_setting; !rc && i < end; i++) {
		base64_write(
			(struct slice){ (const char *)r->keys[i].key, CRYPTO_KEY_BYTES }, &text);
		buf_char(&text, '\n');
	}
	if (!rc && text.len)
		rc = write_tmp(tmp, home, buf_slice(&text), e);
	if (!rc && (text.len ? rename(tmp, path) != 0 : unlink(path) != 0 && errno != ENOENT))
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	if (!rc)
		rc = home_sync(home, e);
	crypto_wipe(text.data, text.len);
	buf_fini(&text);
	return rc;
}
