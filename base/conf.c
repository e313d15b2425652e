#include "base/conf.h"

#include "base/buf.h"
#include "base/env_file.h"
#include "base/ip.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WARNINGS_MAX 32

#define HOLD_TOKENS_MAX 1000 /* GATEWAY_HOLD in tokens */

struct value {
	char *text; /* as written, paths made absolute; NULL = the default's text */
	int64_t number;
	enum conf_origin origin;
};

struct conf {
	char *program_dir;
	struct env_file file; /* path NULL = none was found */
	bool file_is_in_home;
	char *warnings[WARNINGS_MAX];
	size_t warning_count;
	struct value values[CONF_COUNT];
};

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "out of memory while reading the configuration");
}

static void free_wiped(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

static const struct conf_row *row_named(const char *name)
{
	for (size_t i = 0; i < CONF_COUNT; i++)
		if (strcmp(conf_rows()[i].name, name) == 0)
			return &conf_rows()[i];
	return NULL;
}

/* An empty value counts as none. Under CGI the environment holds the client's headers as
 * HTTP_*: those are never settings. */
static const char *from_environment(const char *name)
{
	const char *value;

	if (strncmp(name, "HTTP_", 5) == 0 || strncmp(name, "REDIRECT_", 9) == 0)
		return NULL;
	value = getenv(name);
	return value && *value ? value : NULL;
}

/* ---- the accepted values, in words ---- */

/* Millionths as a decimal number: "0.95". */
static void write_decimal(struct buf *out, int64_t millionths)
{
	char digits[8];
	size_t len = 6;

	buf_int(out, millionths / 1000000);
	(void)snprintf(digits, sizeof(digits), "%06d", (int)(millionths % 1000000));
	while (len && digits[len - 1] == '0')
		len--;
	if (len) {
		buf_char(out, '.');
		buf_append(out, digits, len);
	}
}

static void write_number(struct buf *out, enum conf_type type, int64_t n)
{
	static const struct unit {
		enum conf_type type;
		int64_t factor;
		const char *name;
	} units[] = {
		{ CONF_BYTES, INT64_C(1) << 30, "g" },
		{ CONF_BYTES, INT64_C(1) << 20, "m" },
		{ CONF_BYTES, INT64_C(1) << 10, "k" },
		{ CONF_DURATION, INT64_C(3600000), "h" },
		{ CONF_DURATION, INT64_C(60000), "m" },
		{ CONF_DURATION, INT64_C(1000), "s" },
		{ CONF_DURATION, 1, "ms" },
	};

	if (type == CONF_DECIMAL) {
		write_decimal(out, n);
		return;
	}
	for (size_t i = 0; n && i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].type != type || n % units[i].factor)
			continue;
		buf_int(out, n / units[i].factor);
		buf_str(out, units[i].name);
		return;
	}
	buf_int(out, n);
}

static void write_accepted(struct buf *out, const struct conf_row *row)
{
	switch (row->type) {
	case CONF_SWITCH:
		buf_str(out, "on or off");
		return;
	case CONF_SWITCH_AUTO:
		buf_str(out, "on, off or auto");
		return;
	case CONF_INTEGER:
		buf_str(out, "a whole number");
		break;
	case CONF_BYTES:
		buf_str(out, "a size (bytes, or with k, m, g)");
		break;
	case CONF_DURATION:
		buf_str(out, "a duration (seconds, or with ms, s, m, h, d)");
		break;
	case CONF_DECIMAL:
		buf_str(out, "a number");
		break;
	case CONF_STRING:
	case CONF_PATH:
	case CONF_LIST:
		buf_str(out, "text without control characters");
		return;
	case CONF_CHOICE:
		buf_str(out, row->words);
		return;
	case CONF_HOLD_BACK:
		buf_str(out,
			"a number of tokens from 0 to 1000, or a duration such as 300ms up to 1m");
		return;
	case CONF_NETWORKS:
		buf_str(out, "addresses, networks such as 10.0.0.0/8 and the word unix, "
			     "parted by commas");
		return;
	}
	buf_str(out, " from ");
	write_number(out, row->type, row->min);
	buf_str(out, " to ");
	write_number(out, row->type, row->max);
}

/* Finds text among the words "a|b|c". */
static bool read_choice(const char *words, struct slice text, int64_t *out)
{
	struct slice rest = slice_of(words), word;
	int64_t n = 0;

	for (word = slice_cut(&rest, '|'); word.len; word = slice_cut(&rest, '|'), n++)
		if (slice_eq(word, text)) {
			*out = n;
			return true;
		}
	return false;
}

/* "16" tokens, or "300ms". */
static bool read_hold_back(struct slice text, int64_t most_ms, int64_t *out)
{
	int64_t ms;

	if (str_int(text, 0, HOLD_TOKENS_MAX, out))
		return true;
	if (!str_duration(text, &ms) || ms > most_ms)
		return false;
	*out = -ms;
	return true;
}

/* "0.95" in millionths; at most six decimals. */
static bool read_decimal(struct slice text, int64_t *out)
{
	struct slice rest = text, whole = slice_cut(&rest, '.');
	int64_t n, part = 0, unit = 1000000;
	bool has_point = whole.len < text.len;

	if (!str_int(whole, 0, 1000000, &n) || (has_point && (!rest.len || rest.len > 6)))
		return false;
	for (size_t i = 0; i < rest.len; i++) {
		if (rest.ptr[i] < '0' || rest.ptr[i] > '9')
			return false;
		unit /= 10;
		part += (rest.ptr[i] - '0') * unit;
	}
	*out = n * 1000000 + part;
	return true;
}

static bool read_number(const struct conf_row *row, struct slice text, int64_t *out)
{
	bool on, ok = false;
	struct slice bad;
	char list[4096];
	int64_t n = 0;

	switch (row->type) {
	case CONF_NETWORKS:
		ok = slice_copy(text, list, sizeof(list)) && ip_list_is_valid(list, &bad);
		break;
	case CONF_CHOICE:
		return read_choice(row->words, text, out);
	case CONF_HOLD_BACK:
		return read_hold_back(text, row->max, out);
	case CONF_INTEGER:
		return str_int(text, row->min, row->max, out);
	case CONF_BYTES:
		ok = str_size(text, &n) && n >= row->min && n <= row->max;
		break;
	case CONF_DURATION:
		ok = str_duration(text, &n) && n >= row->min && n <= row->max;
		break;
	case CONF_DECIMAL:
		ok = read_decimal(text, &n) && n >= row->min && n <= row->max;
		break;
	case CONF_SWITCH_AUTO:
	case CONF_SWITCH:
		if (row->type == CONF_SWITCH_AUTO && slice_is_nocase(text, "auto")) {
			n = -1;
			ok = true;
			break;
		}
		ok = str_bool(text, &on);
		n = ok && on;
		break;
	case CONF_STRING:
	case CONF_PATH:
	case CONF_LIST:
		for (size_t i = 0; i < text.len; i++)
			if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
				return false;
		ok = true;
	}
	if (ok)
		*out = n;
	return ok;
}

static enum err_code refuse(const struct conf *c, const struct conf_row *row, int line,
	const char *value, struct err *e)
{
	char where[PATH_MAX + 16] = "environment";
	struct buf accepted = { 0 };
	const char *text;
	enum err_code rc;

	if (line)
		snprintf(where, sizeof(where), "%s:%d", c->file.path, line);
	write_accepted(&accepted, row);
	text = buf_cstr(&accepted);
	if (row->secret)
		rc = err_param(e, ERR_CONF, row->name, "%s: %s: accepted is %s", where, row->name,
			text ? text : "");
	else
		rc = err_param(e, ERR_CONF, row->name, "%s: %s: accepted is %s, not \"%.80s\"",
			where, row->name, text ? text : "", value);
	buf_fini(&accepted);
	return rc;
}

/* ---- paths ---- */

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* path below folder (NULL: the current one); a copy of path when that has no name. NULL without
 * memory. */
static char *absolute(const char *folder, const char *path)
{
	char cwd[PATH_MAX];
	char *out;

	while (strncmp(path, "./", 2) == 0)
		path += 2;
	if (!folder)
		folder = getcwd(cwd, sizeof(cwd));
	if (path[0] == '/' || !folder)
		return strdup(path);
	if (asprintf(&out, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path) < 0)
		return NULL;
	return out;
}

static char *find_program_dir(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return strdup(".");
	path[n] = '\0';
	return folder_of(path);
}

/* ---- the file ---- */

static void warn(struct conf *c, const char *format, ...) PRINTF_LIKE(2, 3);
static void warn(struct conf *c, const char *format, ...)
{
	va_list args;
	char *text;

	if (c->warning_count == WARNINGS_MAX)
		return;
	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		c->warnings[c->warning_count++] = text;
	va_end(args);
}

static bool is_secret(const char *name)
{
	const struct conf_row *row = row_named(name);
	struct slice s = slice_of(name);

	return row ? row->secret
		   : slice_ends(s, "_KEY") || strstr(name, "_TOKEN") || slice_ends(s, "_SECRET");
}

/* Reads path; a missing file is ERR_NOT_FOUND. */
static enum err_code read_file(struct conf *c, const char *path, struct err *e)
{
	char *whole = absolute(NULL, path);
	enum err_code rc;
	bool secrets = false;

	if (!whole)
		return no_memory(e);
	rc = env_file_read(&c->file, whole, e);
	free(whole);
	for (size_t i = 0; !rc && i < c->file.count; i++) {
		const struct env_entry *entry = &c->file.entries[i];

		if (strcmp(entry->name, "GATEWAY_CONF") == 0)
			return err_param(e, ERR_CONF, entry->name,
				"%s:%d: GATEWAY_CONF: is looked at in the environment only",
				c->file.path, entry->line);
		if (slice_starts(slice_of(entry->name), "GATEWAY_") && !row_named(entry->name))
			return err_param(e, ERR_CONF, entry->name,
				"%s:%d: %s: no such setting; `tollgate config` lists them",
				c->file.path, entry->line, entry->name);
		secrets |= entry->value[0] && is_secret(entry->name);
	}
	if (!rc && secrets && c->file.others_read)
		warn(c, "%s holds secrets and can be read by others; run: chmod o-r '%s'",
			c->file.path, c->file.path);
	return rc;
}

static enum err_code find_file(struct conf *c, struct err *e)
{
	const char *named = from_environment("GATEWAY_CONF");
	const char *home = from_environment("GATEWAY_HOME");
	char path[PATH_MAX + 32], *above;
	enum err_code rc;

	if (named) {
		rc = read_file(c, named, e);
		if (rc == ERR_NOT_FOUND)
			rc = err_param(e, ERR_CONF, "GATEWAY_CONF",
				"environment: GATEWAY_CONF: %s: no such file", named);
		return rc;
	}
	above = strcmp(c->program_dir, ".") == 0 ? strdup("..") : folder_of(c->program_dir);
	if (!above)
		return no_memory(e);
	snprintf(path, sizeof(path), "%s/gateway.conf", strcmp(above, "/") == 0 ? "" : above);
	free(above);
	rc = read_file(c, path, e);
	if (rc == ERR_NOT_FOUND) {
		snprintf(path, sizeof(path), "%s/gateway.conf",
			home ? home : conf_rows()[CONF_HOME].standard);
		rc = read_file(c, path, e);
		c->file_is_in_home = true;
	}
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* ---- putting both together ---- */

static enum err_code settle(struct conf *c, const struct conf_row *row, struct err *e)
{
	struct value *v = &c->values[row->id];
	const struct env_entry *entry = env_file_get(&c->file, row->name);
	const char *text = from_environment(row->name);
	char *folder = NULL;
	int line = 0;

	v->origin = text ? CONF_FROM_ENVIRONMENT : CONF_FROM_DEFAULT;
	if (!text && entry && entry->value[0]) {
		text = entry->value;
		line = entry->line;
		v->origin = CONF_FROM_FILE;
	}
	if (!text)
		text = row->standard;
	if (!read_number(row, slice_trim(slice_of(text)), &v->number))
		return refuse(c, row, line, text, e);
	if (row->type != CONF_PATH || !*text) {
		v->text = strdup(text);
		return v->text ? ERR_OK : no_memory(e);
	}
	/* A default of the home is beside the file as well: a web server starts programs in all
	 * sorts of folders, even those it serves. */
	if (line || (v->origin == CONF_FROM_DEFAULT && c->file.path && !c->file_is_in_home)) {
		folder = folder_of(c->file.path);
		if (!folder)
			return no_memory(e);
	}
	v->text = absolute(folder, text);
	free(folder);
	return v->text ? ERR_OK : no_memory(e);
}

static void warn_of_unknown(struct conf *c)
{
	char name[64];

	for (char **at = environ; at && *at; at++) {
		struct slice rest = slice_of(*at);

		if (!slice_starts(rest, "GATEWAY_") ||
			!slice_copy(slice_cut(&rest, '='), name, sizeof(name)))
			continue;
		/* GATEWAY_INTERFACE is CGI's own. */
		if (!row_named(name) && strcmp(name, "GATEWAY_CONF") != 0 &&
			strcmp(name, "GATEWAY_INTERFACE") != 0)
			warn(c, "environment: %s: no such setting; it has no effect", name);
	}
}

enum err_code conf_load(struct conf **out, struct err *e)
{
	struct conf *c = calloc(1, sizeof(*c));
	enum err_code rc;

	*out = NULL;
	if (!c)
		return no_memory(e);
	c->program_dir = find_program_dir();
	rc = c->program_dir ? find_file(c, e) : no_memory(e);
	for (size_t i = 0; !rc && i < CONF_COUNT; i++)
		rc = settle(c, &conf_rows()[i], e);
	if (rc) {
		conf_fini(c);
		return rc;
	}
	warn_of_unknown(c);
	*out = c;
	return ERR_OK;
}

void conf_fini(struct conf *c)
{
	if (!c)
		return;
	env_file_fini(&c->file);
	for (size_t i = 0; i < CONF_COUNT; i++)
		free_wiped(c->values[i].text);
	for (size_t i = 0; i < c->warning_count; i++)
		free(c->warnings[i]);
	free(c->program_dir);
	free(c);
}

int64_t conf_int(const struct conf *c, enum conf_id id)
{
	return c->values[id].number;
}

const char *conf_str(const struct conf *c, enum conf_id id)
{
	return c->values[id].text;
}

bool conf_is_set(const struct conf *c, enum conf_id id)
{
	return c->values[id].origin != CONF_FROM_DEFAULT;
}

enum conf_origin conf_origin(const struct conf *c, enum conf_id id)
{
	return c->values[id].origin;
}

const char *conf_text(const struct conf *c, const char *name)
{
	const char *value = from_environment(name);
	const struct env_entry *entry = value ? NULL : env_file_get(&c->file, name);

	if (entry && entry->value[0])
		value = entry->value;
	return value;
}

enum conf_origin conf_text_origin(const struct conf *c, const char *name)
{
	if (from_environment(name))
		return CONF_FROM_ENVIRONMENT;
	return conf_text(c, name) ? CONF_FROM_FILE : CONF_FROM_DEFAULT;
}

const char *conf_file(const struct conf *c)
{
	return c->file.path;
}

int conf_file_line(const struct conf *c, const char *name)
{
	const struct env_entry *entry = env_file_get(&c->file, name);

	return entry ? entry->line : 0;
}

const char *conf_file_extra(const struct conf *c, size_t i, const char **value)
{
	for (size_t k = 0; k < c->file.count; k++) {
		if (row_named(c->file.entries[k].name) || i--)
			continue;
		*value = c->file.entries[k].value;
		return c->file.entries[k].name;
	}
	return NULL;
}

const char *conf_warning(const struct conf *c, size_t i)
{
	return i < c->warning_count ? c->warnings[i] : NULL;
}

const char *conf_program_dir(const struct conf *c)
{
	return c->program_dir;
}
