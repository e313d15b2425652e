/* tollgate config: every setting, its value, and where that came from. */
#include "handlers/cli/cli.h"

#include "gateway/books.h"
#include "base/buf.h"
#include "store/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
	"Usage: tollgate config [--json | --names | --defaults]\n"
	"\n"
	"Prints every setting with its value and where it came from, then the variables of\n"
	"providers that were found. Secrets are masked. Exits with 1 when a setting is wrong.\n"
	"\n"
	"  --json      the same as JSON\n"
	"  --names     only the names of all settings\n"
	"  --defaults  NAME=value lines with the defaults\n";

#define MASK "********"

struct shown {
	const char *name;
	char *value; /* masked */
	enum conf_origin origin;
	const struct conf_row *row; /* NULL = a provider's variable */
};

struct listing {
	struct shown *items;
	size_t count;
};

/* A password in a URL goes, the rest stays. */
static char *without_password(const char *text)
{
	const char *scheme = strstr(text, "://"), *from, *at;
	char *out = NULL;

	from = scheme ? scheme + 3 : text;
	at = scheme ? strrchr(from, '@') : NULL;
	if (!at)
		return strdup(text);
	if (asprintf(&out, "%.*s" MASK "%s", (int)(from - text), text, at) < 0)
		return NULL;
	return out;
}

/* What may be shown of a value. A default is no secret, and neither is where a Redis is. */
static char *masked(const struct conf_row *row, const char *value)
{
	bool is_address =
		row && (row->id == CONF_STORE || row->id == CONF_CACHE_URL) && strstr(value, "://");

	if (!*value || is_address || (row && strcmp(value, row->standard) == 0))
		return without_password(value);
	return strdup(MASK);
}

static bool add(struct listing *l, const char *name, const char *value, enum conf_origin origin,
	const struct conf_row *row, bool secret)
{
	struct shown *more = realloc(l->items, (l->count + 1) * sizeof(*more));

	if (!more)
		return false;
	l->items = more;
	more[l->count] = (struct shown){
		.name = name,
		.value = secret ? masked(row, value) : without_password(value),
		.origin = origin,
		.row = row,
	};
	if (!more[l->count].value)
		return false;
	cli_tame(more[l->count].value);
	l->count++;
	return true;
}

/* Customary names of clouds, and whether their values may be seen. */
static const struct {
	const char *name;
	bool public;
} clouds[] = {
	{ "AWS_ACCESS_KEY_ID", false },
	{ "AWS_SECRET_ACCESS_KEY", false },
	{ "AWS_SESSION_TOKEN", false },
	{ "AWS_BEARER_TOKEN_BEDROCK", false },
	{ "AWS_REGION", true },
	{ "AWS_DEFAULT_REGION", true },
	{ "GOOGLE_APPLICATION_CREDENTIALS", true },
	{ "VERTEX_ACCESS_TOKEN", false },
	{ "VERTEX_PROJECT", true },
	{ "VERTEX_LOCATION", true },
	{ "GOOGLE_CLOUD_PROJECT", true },
	{ "GOOGLE_CLOUD_LOCATION", true },
};

#define CLOUDS (sizeof(clouds) / sizeof(clouds[0]))

/* Its place in the table; CLOUDS = it has none. */
static size_t cloud_of(struct slice name)
{
	size_t i = 0;

	while (i < CLOUDS && !slice_is(name, clouds[i].name))
		i++;
	return i;
}

static bool is_of_a_provider(struct slice name)
{
	return !slice_starts(name, "GATEWAY_") &&
	       (slice_ends(name, "_API_KEY") || slice_ends(name, "_BASE_URL") ||
		       slice_ends(name, "_DIALECT") || cloud_of(name) < CLOUDS);
}

static bool is_public(struct slice name)
{
	size_t cloud = cloud_of(name);

	return slice_ends(name, "_BASE_URL") || slice_ends(name, "_DIALECT") ||
	       (cloud < CLOUDS && clouds[cloud].public);
}

/* names keeps the copies that the listing lends. */
static bool add_variables(const struct conf *c, struct listing *l, char names[64][128])
{
	const char *value, *name;
	size_t used = 0;

	for (char **at = environ; at && *at && used < 64; at++) {
		struct slice rest = slice_of(*at), key = slice_cut(&rest, '=');

		if (!is_of_a_provider(key) || !slice_copy(key, names[used], 128))
			continue;
		value = conf_text(c, names[used]);
		if (!value || conf_text_origin(c, names[used]) != CONF_FROM_ENVIRONMENT)
			continue;
		if (!add(l, names[used], value, CONF_FROM_ENVIRONMENT, NULL, !is_public(key)))
			return false;
		used++;
	}
	for (size_t i = 0; (name = conf_file_extra(c, i, &value)); i++)
		if (*value && conf_text_origin(c, name) == CONF_FROM_FILE &&
			!add(l, name, value, CONF_FROM_FILE, NULL, !is_public(slice_of(name))))
			return false;
	return true;
}

static void origin_text(const struct conf *c, const struct shown *s, char out[32])
{
	if (s->origin == CONF_FROM_FILE)
		snprintf(out, 32, "file:%d", conf_file_line(c, s->name));
	else
		snprintf(out, 32, "%s", s->origin == CONF_FROM_DEFAULT ? "default" : "environment");
}

static void print_table(const struct conf *c, const struct listing *l)
{
	const char *file = conf_file(c), *warning;
	char origin[32];
	bool provider = false;
	int width = 0;

	for (size_t i = 0; i < l->count; i++)
		if ((int)strlen(l->items[i].name) > width)
			width = (int)strlen(l->items[i].name);
	printf("%sFile%s  %s\n\n", cli_style(CLI_BOLD), cli_style(CLI_PLAIN),
		file ? file : "none was found");
	printf("%s%-*s  %-11s  VALUE%s\n", cli_style(CLI_BOLD), width, "SETTING", "FROM",
		cli_style(CLI_PLAIN));
	for (size_t i = 0; i < l->count; i++) {
		const struct shown *s = &l->items[i];

		if (!s->row && !provider) {
			provider = true;
			printf("\n%sVARIABLES OF PROVIDERS%s\n", cli_style(CLI_BOLD),
				cli_style(CLI_PLAIN));
		}
		origin_text(c, s, origin);
		printf("%s%-*s  %-11s  %s%s\n",
			cli_style(s->origin == CONF_FROM_DEFAULT ? CLI_DIM : CLI_PLAIN), width,
			s->name, origin, *s->value ? s->value : "-", cli_style(CLI_PLAIN));
	}
	if (!provider)
		puts("\nNo variable of a provider was found, such as OPENAI_API_KEY.");
	for (size_t i = 0; (warning = conf_warning(c, i)); i++)
		fprintf(stderr, "%swarning: %s\n", i ? "" : "\n", warning);
}

static bool print_json(const struct conf *c, const struct listing *l)
{
	struct buf out = { 0 };
	char origin[32];
	const char *warning;
	bool ok;

	buf_str(&out, "{\"file\":");
	buf_json_cstr(&out, conf_file(c));
	buf_str(&out, ",\"settings\":[");
	for (size_t i = 0; i < l->count; i++) {
		const struct shown *s = &l->items[i];

		if (i)
			buf_str(&out, s->row || !l->items[i - 1].row ? "," : "],\"variables\":[");
		origin_text(c, s, origin);
		buf_str(&out, "\n{\"name\":");
		buf_json_cstr(&out, s->name);
		buf_str(&out, ",\"value\":");
		buf_json_cstr(&out, s->value);
		buf_str(&out, ",\"origin\":");
		buf_json_cstr(&out, origin);
		if (s->row) {
			buf_str(&out, ",\"default\":");
			buf_json_cstr(&out, s->row->standard);
			buf_str(&out, ",\"help\":");
			buf_json_cstr(&out, s->row->help);
		}
		buf_char(&out, '}');
	}
	if (l->count == CONF_COUNT)
		buf_str(&out, "],\"variables\":[");
	buf_str(&out, "],\"warnings\":[");
	for (size_t i = 0; (warning = conf_warning(c, i)); i++) {
		buf_str(&out, i ? "," : "");
		buf_json_cstr(&out, warning);
	}
	buf_str(&out, "]}\n");
	ok = buf_ok(&out) && fwrite(out.data, 1, out.len, stdout) == out.len;
	buf_fini(&out);
	return ok;
}

static bool collect(const struct conf *c, struct listing *l, char names[64][128])
{
	const struct conf_row *rows = conf_rows();

	for (size_t i = 0; i < CONF_COUNT; i++)
		if (!add(l, rows[i].name, conf_str(c, rows[i].id), conf_origin(c, rows[i].id),
			    &rows[i], rows[i].secret))
			return false;
	return add_variables(c, l, names);
}

int cli_config(const struct conf *c, int argc, char **argv)
{
	static char names[64][128];
	bool json = false, only_names = false, defaults = false, ok;
	const struct cli_option options[] = { { .name = "--json", .given = &json },
		{ .name = "--names", .given = &only_names },
		{ .name = "--defaults", .given = &defaults }, { 0 } };
	int rc = cli_options(usage, options, argc, argv, NULL, 0);
	struct listing l = { 0 };
	struct keys *keys;
	struct err e;

	if (rc != CLI_GO_ON)
		return rc;
	if (only_names || defaults) {
		for (const struct conf_row *row = conf_rows(); row < conf_rows() + CONF_COUNT;
			row++)
			printf("%s%s%s\n", row->name, defaults ? "=" : "",
				defaults ? row->standard : "");
		return CLI_OK;
	}
	ok = collect(c, &l, names) && (!json || print_json(c, &l));
	if (ok && !json)
		print_table(c, &l);
	for (size_t i = 0; i < l.count; i++)
		free(l.items[i].value);
	free(l.items);
	if (!ok) {
		fputs("tollgate: out of memory, or the output was closed\n", stderr);
		return CLI_FAILED;
	}
	/* Shown first, so that a refusal of the keys can be compared with the settings. */
	if (books_keys(c, &keys, &e))
		return cli_fail(&e);
	keys_close(keys);
	return CLI_OK;
}
