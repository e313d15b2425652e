#include "store/backup_set.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "store/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 1000000

void backup_fini(struct backup *b)
{
	free(b->files);
	*b = (struct backup){ 0 };
}

/* ---- names ---- */

static bool is_numbered(struct slice name, const char *before, size_t digits_min, size_t digits_max,
	const char *behind)
{
	size_t digits;

	if (!slice_starts(name, before) || !slice_ends(name, behind) ||
		name.len < strlen(before) + strlen(behind))
		return false;
	name = slice_from(name, strlen(before));
	name = slice_first(name, name.len - strlen(behind));
	digits = strspn(name.ptr, "0123456789");
	return digits >= name.len && name.len >= digits_min && name.len <= digits_max;
}

bool backup_has(const char *text)
{
	static const char *const whole[] = { "ledger.format", "pepper", "keys.gdbm",
		"ledger.gdbm" };
	struct slice name = slice_of(text);

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (slice_is(name, whole[i]))
			return true;
	return is_numbered(name, "usage.", 8, 8, ".gdbm") ||
	       is_numbered(name, "journal.", 8, 18, "") ||
	       is_numbered(name, ARCHIVE_FOLDER "/journal.", 8, 18, ".z");
}

enum err_code backup_replaced_name(const char *home, int64_t wall_ms, char out[64], struct err *e)
{
	char iso[CLOCK_ISO_SIZE], path[HOME_PATH_MAX];
	size_t n = (size_t)snprintf(out, 64, "replaced-");
	enum err_code rc;

	clock_iso(wall_ms, iso);
	for (const char *s = iso; *s; s++)
		if (*s != '-' && *s != ':')
			out[n++] = *s;
	out[n] = '\0';
	for (int i = 2; !(rc = home_path(home, out, path, e)) && access(path, F_OK) == 0; i++)
		snprintf(out + n, 64 - n, "-%d", i);
	return rc;
}

/* ---- lists ---- */

enum err_code backup_add(struct backup *b, const struct backup_file *file, struct err *e)
{
	struct backup_file *more = NULL;

	/* Grown in powers of two, by the count alone. */
	if (b->n < FILES_MAX && (b->n & (b->n - 1)) == 0)
		more = realloc(b->files, (b->n ? 2 * b->n : 1) * sizeof(*more));
	else if (b->n < FILES_MAX)
		more = b->files;
	if (!more)
		return err_set(e, ERR_NO_MEMORY, "no memory for the list of files");
	b->files = more;
	b->files[b->n++] = *file;
	b->bytes += file->bytes;
	return ERR_OK;
}

const struct backup_file *backup_find(const struct backup *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++)
		if (strcmp(b->files[i].name, name) == 0)
			return &b->files[i];
	return NULL;
}

static enum err_code list_folder(
	struct backup *b, const char *folder, const char *before, struct err *e)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	enum err_code rc = ERR_OK;

	if (!d)
		return errno == ENOENT ? ERR_OK
				       : err_set(e, ERR_STORE, "%s: %s", folder, strerror(errno));
	while (!rc && (entry = readdir(d))) {
		struct backup_file file = { 0 };
		struct stat st;
		int n = snprintf(file.name, sizeof(file.name), "%s%s", before, entry->d_name);

		if (n <= 0 || n >= (int)sizeof(file.name) || !backup_has(file.name))
			continue;
		if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
			!S_ISREG(st.st_mode))
			rc = err_set(
				e, ERR_STORE, "%s/%s is not a regular file", folder, entry->d_name);
		file.bytes = (uint64_t)st.st_size;
		if (!rc)
			rc = backup_add(b, &file, e);
	}
	closedir(d);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct backup_file *)a)->name, ((const struct backup_file *)b)->name);
}

enum err_code backup_list(struct backup *b, const char *home, struct err *e)
{
	char folder[HOME_PATH_MAX];
	enum err_code rc = list_folder(b, home, "", e);

	if (!rc)
		rc = home_path(home, ARCHIVE_FOLDER, folder, e);
	if (!rc)
		rc = list_folder(b, folder, ARCHIVE_FOLDER "/", e);
	if (!rc && b->n)
		qsort(b->files, b->n, sizeof(*b->files), by_name);
	return rc;
}

/* ---- the manifest ---- */

void backup_manifest_write(const struct backup *b, struct buf *out)
{
	uint8_t hash[SHA256_BYTES];
	char iso[CLOCK_ISO_SIZE], hex[2 * SHA256_BYTES + 1];

	clock_iso(b->made_ms, iso);
	buf_printf(out, "tollgate-backup %d\nmade %s %lld\nstore %s\n", BACKUP_FORMAT, iso,
		(long long)b->made_ms, b->store);
	for (size_t i = 0; i < b->n; i++) {
		crypto_hex(b->files[i].hash, SHA256_BYTES, hex);
		buf_printf(out, "%s %llu %s\n", hex, (unsigned long long)b->files[i].bytes,
			b->files[i].name);
	}
	crypto_sha256(buf_slice(out), hash);
	crypto_hex(hash, SHA256_BYTES, hex);
	buf_printf(out, "end %s\n", hex);
}

static bool read_file_line(struct slice line, struct backup_file *out)
{
	struct slice hex = slice_cut(&line, ' '), bytes = slice_cut(&line, ' ');
	int64_t n;

	*out = (struct backup_file){ 0 };
	if (!crypto_unhex(hex, out->hash, sizeof(out->hash)) || !str_int(bytes, 0, INT64_MAX, &n) ||
		!slice_copy(line, out->name, sizeof(out->name)))
		return false;
	out->bytes = (uint64_t)n;
	return backup_has(out->name);
}

/* Cuts the last line off, which has the hash of all before it. */
static bool has_seal(struct slice *text)
{
	uint8_t hash[SHA256_BYTES], is[SHA256_BYTES];
	const size_t n = strlen("end \n") + (size_t)2 * SHA256_BYTES;
	struct slice end;

	if (text->len < n)
		return false;
	end = slice_from(*text, text->len - n);
	text->len -= n;
	crypto_sha256(*text, hash);
	return slice_starts(end, "end ") && end.ptr[end.len - 1] == '\n' &&
	       crypto_unhex(
		       slice_first(slice_from(end, 4), (size_t)2 * SHA256_BYTES), is, sizeof(is)) &&
	       memcmp(is, hash, sizeof(is)) == 0;
}

static enum err_code damaged(const char *path, struct err *e)
{
	return err_set(e, ERR_STORE, "%s is damaged: its " BACKUP_MANIFEST " is not whole", path);
}

enum err_code backup_manifest_read(
	struct backup *b, struct slice text, const char *path, struct err *e)
{
	struct slice line, word;
	struct backup_file file;
	int64_t format;

	if (!has_seal(&text))
		return damaged(path, e);
	line = slice_cut(&text, '\n');
	word = slice_cut(&line, ' ');
	if (!slice_is(word, "tollgate-backup") || !str_int(line, 1, INT32_MAX, &format))
		return damaged(path, e);
	if (format > BACKUP_FORMAT)
		return err_set(e, ERR_STORE,
			"%s: a backup of format %lld, this program knows up to %d: use the newer "
			"program",
			path, (long long)format, BACKUP_FORMAT);
	line = slice_cut(&text, '\n');
	(void)slice_cut(&line, ' ');
	(void)slice_cut(&line, ' ');
	if (!str_int(line, 0, INT64_MAX, &b->made_ms))
		return damaged(path, e);
	line = slice_cut(&text, '\n');
	(void)slice_cut(&line, ' ');
	if (line.len != 32 || !slice_copy(line, b->store, sizeof(b->store)))
		return damaged(path, e);
	while (text.len) {
		enum err_code rc;

		if (!read_file_line(slice_cut(&text, '\n'), &file) || backup_find(b, file.name))
			return damaged(path, e);
		rc = backup_add(b, &file, e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

enum err_code backup_open(const char *path, int *fd, struct err *e)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return *fd < 0 ? err_set(e, ERR_STORE, "%s: %s", path, strerror(errno)) : ERR_OK;
}
