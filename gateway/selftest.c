#include "gateway/selftest.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateway/catalog_data.h"
#include "store/home.h"

#include <errno.h>
#include <unistd.h>

#define ROWS(table)  (sizeof(table) / sizeof((table)[0]))
#define URL_PREFIX   "http://127.0.0.1:"
#define FILE_MAX     ((size_t)64 << 10)
#define NATIVE_ID(m) ((m)->id + sizeof(SELFTEST_AUTHOR) - 1)

const char *const selftest_slugs[SELFTEST_PROVIDERS] = { "selftest-a", "selftest-b", "selftest-c",
	"selftest-closed" };

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for %s", SELFTEST_FILE);
}

/* ---- reading ---- */

enum { F_VERSION, F_DATE, F_UNTIL, F_SECRET, F_PROVIDERS, F_MODELS, F_COUNT };

static const struct schema_row file_rows[F_COUNT] = {
	[F_VERSION] = { "version", SCHEMA_COUNT, true, false },
	[F_DATE] = { "date", SCHEMA_ID, true, false },
	[F_UNTIL] = { "until_ms", SCHEMA_COUNT, true, false },
	[F_SECRET] = { "secret", SCHEMA_ID, true, false },
	[F_PROVIDERS] = { "providers", SCHEMA_LIST, true, false },
	[F_MODELS] = { "models", SCHEMA_LIST, true, false },
};

enum { P_SLUG, P_BASE_URL, P_COUNT };

static const struct schema_row provider_rows[P_COUNT] = {
	[P_SLUG] = { "slug", SCHEMA_ID, true, false },
	[P_BASE_URL] = { "base_url", SCHEMA_ID, true, false },
};

enum { M_ID, M_AT, M_PREFILL, M_COUNT };

static const struct schema_row model_rows[M_COUNT] = {
	[M_ID] = { "id", SCHEMA_ID, true, false },
	[M_AT] = { "at", SCHEMA_IDS, true, false },
	[M_PREFILL] = { "prefill", SCHEMA_SWITCH, false, false },
};

/* The providers of the file, in the room behind those of the catalogue. */
static struct catalog_provider *first_provider(const struct catalog *c)
{
	return c->providers + c->provider_count;
}

static struct catalog_provider *provider_called(
	const struct catalog *c, size_t count, const char *slug)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(first_provider(c)[i].slug, slug) == 0)
			return &first_provider(c)[i];
	return NULL;
}

static enum err_code read_provider(struct catalog *c, size_t i, struct json_value row,
	const struct quirks *quirks, struct schema_place *place, struct err *e)
{
	struct json_value v[P_COUNT];
	enum err_code rc = schema_read(provider_rows, P_COUNT, row, place, v, e);
	const char *url, *why;

	if (rc)
		return rc;
	url = catalog_keep_str(c, v[P_BASE_URL]);
	if (!json_str_is(v[P_SLUG].raw, selftest_slugs[i]) ||
		catalog_provider_spelled(c, v[P_SLUG]))
		return schema_fail(place, "slug", "is no name for it", e);
	if (!slice_starts(slice_of(url), URL_PREFIX) || !catalog_url_is_good(slice_of(url), &why))
		return schema_fail(place, "base_url", "must begin with " URL_PREFIX, e);
	first_provider(c)[i] = (struct catalog_provider){ .slug = selftest_slugs[i],
		.name = "Self-test",
		.base_url = url,
		.chat_path = "/chat/completions",
		.models_path = "",
		.embed_path = "",
		.auth = "bearer",
		.dialect = "openai",
		.key_names = "",
		.provider = provider_named("openai"),
		.quirks = quirks,
		.configured = true };
	c->providers_more[c->provider_count + i] =
		(struct catalog_provider_more){ .file_url = "", .list_path = "", .list_url = "" };
	return ERR_OK;
}

static enum err_code read_providers(struct catalog *c, const struct json_value *f, const char *file,
	size_t *count, struct err *e)
{
	struct schema_place place = { .file = file, .list = "providers" };
	size_t n = catalog_length(f[F_PROVIDERS]);
	const char *secret = catalog_keep_str(c, f[F_SECRET]);
	struct quirks *quirks = catalog_keep(c, sizeof(*quirks));
	struct json_iter it;
	struct json_value row;
	struct slice key;

	*count = 0;
	if (!quirks)
		return no_memory(e);
	*quirks = *quirks_of(selftest_slugs[0]);
	quirks->prefill = "prefix";
	if (n > SELFTEST_PROVIDERS || n > CATALOG_PROVIDERS_MAX - c->provider_count)
		return schema_fail(
			&(struct schema_place){ .file = file }, "providers", "are too many", e);
	json_iter_init(&it, f[F_PROVIDERS]);
	for (size_t i = 0; json_iter_next(&it, &key, &row); i++) {
		enum err_code rc;

		place.index = i;
		place.id = SLICE("");
		rc = read_provider(c, i, row, quirks, &place, e);
		if (rc)
			return rc;
		first_provider(c)[i].api_key = secret;
	}
	*count = n;
	return ERR_OK;
}

/* Who has a model: the first is its provider, the others have the same. */
static enum err_code read_at(struct catalog *c, size_t providers, struct json_value list,
	struct catalog_model *m, const struct schema_place *place, struct err *e)
{
	const char *const *slugs = catalog_keep_strs(c, list);

	for (size_t i = 0; slugs && slugs[i]; i++) {
		const struct catalog_provider *p = provider_called(c, providers, slugs[i]);

		if (!p || i >= SELFTEST_PROVIDERS)
			return schema_fail(place, "at", "names no provider of the file", e);
		if (i == 0) {
			m->provider = p;
			continue;
		}
		c->same[c->same_count++] = (struct catalog_same){
			.model = m, .provider = p, .native_id = m->native_id, .prices = m->prices
		};
		c->models_more[m - c->models].same_count++;
	}
	return m->provider ? ERR_OK : schema_fail(place, "at", "names nobody", e);
}

static enum err_code read_model(struct catalog *c, size_t providers, struct json_value row,
	const struct cost_table *prices, struct schema_place *place, struct err *e)
{
	size_t at = c->model_count + c->selftest_count;
	struct catalog_model *m = &c->models[at];
	struct json_value v[M_COUNT];
	enum err_code rc = schema_read(model_rows, M_COUNT, row, place, v, e);

	if (rc)
		return rc;
	*m = (struct catalog_model){ .id = catalog_keep_str(c, v[M_ID]),
		.prices = prices,
		.takes_tools = true,
		.takes_images = true,
		.prefill = json_is_true(v[M_PREFILL]) };
	m->name = m->id;
	if (!slice_starts(slice_of(m->id), SELFTEST_AUTHOR) || strlen(m->id) >= MODEL_ID_MAX)
		return schema_fail(place, "id", "must begin with " SELFTEST_AUTHOR, e);
	m->native_id = NATIVE_ID(m);
	c->models_more[at] = (struct catalog_model_more){
		.row = row, .same_first = (uint16_t)c->same_count, .source = ""
	};
	rc = read_at(c, providers, v[M_AT], m, place, e);
	if (!rc)
		c->selftest_count++;
	return rc;
}

/* Room for n models behind those of the catalogue is there; not yet for who else has them. */
static enum err_code make_room(struct catalog *c, size_t n, struct err *e)
{
	size_t most = c->same_count + n * SELFTEST_PROVIDERS;
	struct catalog_same *same = catalog_keep(c, (most + 1) * sizeof(*same));

	if (!same)
		return no_memory(e);
	if (c->same_count)
		memcpy(same, c->same, c->same_count * sizeof(*same));
	c->same = same;
	return ERR_OK;
}

static enum err_code read_models(struct catalog *c, struct json_value list, size_t providers,
	const char *file, struct err *e)
{
	const struct cost_offer nothing = { .base = { .prompt = "0", .completion = "0" } };
	struct schema_place place = { .file = file, .list = "models" };
	size_t n = catalog_length(list);
	struct cost_table *prices = catalog_keep(c, sizeof(*prices));
	struct json_iter it;
	struct json_value row;
	struct slice key;
	enum err_code rc;

	if (n > SELFTEST_MODELS_MAX)
		return schema_fail(
			&(struct schema_place){ .file = file }, "models", "are too many", e);
	if (!prices)
		return no_memory(e);
	rc = cost_table_init(prices, &nothing, e);
	if (!rc)
		rc = make_room(c, n, e);
	json_iter_init(&it, list);
	for (size_t i = 0; !rc && json_iter_next(&it, &key, &row); i++) {
		place.index = i;
		place.id = SLICE("");
		rc = read_model(c, providers, row, prices, &place, e);
	}
	return rc;
}

void catalog_read_selftest(struct catalog *c, const char *file, int64_t wall_ms)
{
	struct json_value v[F_COUNT];
	size_t providers, same_count = c->same_count;
	struct err e;
	enum err_code rc = catalog_open_own(c, file, file_rows, F_COUNT, v, &e);

	if (!rc && schema_count(v[F_UNTIL]) <= wall_ms)
		return;
	if (!rc)
		rc = read_providers(c, v, file, &providers, &e);
	if (!rc)
		rc = read_models(c, v[F_MODELS], providers, file, &e);
	if (!rc)
		return;
	/* What somebody's self-test left must not hinder the gateway. */
	c->selftest_count = 0;
	c->same_count = same_count;
	log_line(LOG_WARN, "the self-test is not known here: %s", e.message);
}

/* ---- looking ---- */

const struct catalog_model *selftest_find(const struct catalog *c, struct slice id)
{
	for (size_t i = 0; i < c->selftest_count; i++)
		if (slice_is_nocase(id, c->models[c->model_count + i].id))
			return &c->models[c->model_count + i];
	return NULL;
}

bool selftest_has(const struct catalog *c, const struct catalog_model *m)
{
	return m >= c->models + c->model_count;
}

/* ---- writing ---- */

static void write_models(const struct selftest_site *site, struct buf *out)
{
	for (size_t i = 0; i < site->model_count; i++) {
		const struct selftest_model *m = &site->models[i];

		buf_printf(out, "%s\n{\"id\":\"" SELFTEST_AUTHOR "%s\",\"at\":[", i ? "," : "",
			m->name);
		for (size_t k = 0; k < m->at_count; k++)
			buf_printf(out, "%s\"%s\"", k ? "," : "", selftest_slugs[m->at[k]]);
		buf_str(out, m->prefill ? "],\"prefill\":true}" : "]}");
	}
}

enum err_code selftest_announce(
	const char *home, const struct selftest_site *site, int64_t wall_ms, struct err *e)
{
	struct buf out = { .max_bytes = FILE_MAX };
	char now[CLOCK_ISO_SIZE];
	enum err_code rc;

	clock_iso(wall_ms, now);
	buf_printf(&out,
		"{\"version\":1,\"date\":\"%.10s\",\"until_ms\":%lld,\"secret\":\"%s\",\n"
		"\"providers\":[",
		now, (long long)site->until_ms, site->secret);
	for (size_t i = 0; i < SELFTEST_PROVIDERS; i++)
		buf_printf(&out, "%s{\"slug\":\"%s\",\"base_url\":\"" URL_PREFIX "%u/%zu\"}",
			i ? ",\n" : "", selftest_slugs[i], site->ports[i], i);
	buf_str(&out, "],\n\"models\":[");
	write_models(site, &out);
	buf_str(&out, "]}\n");
	rc = buf_ok(&out) ? home_replace(home, SELFTEST_FILE, buf_slice(&out), e) : no_memory(e);
	buf_fini(&out);
	return rc;
}

enum err_code selftest_withdraw(const char *home, struct err *e)
{
	char path[HOME_PATH_MAX];
	enum err_code rc = home_path(home, SELFTEST_FILE, path, e);

	if (!rc && unlink(path) != 0 && errno != ENOENT)
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	return rc;
}
