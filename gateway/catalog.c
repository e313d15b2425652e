#include "gateway/catalog_data.h"
#include "gateway/drains.h"
#include "gateway/selftest.h"

#include "base/clock.h"
#include "store/home.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- memory ---- */

#define BLOCK_BYTES ((size_t)32 << 10)

/* Things are laid one behind the other, and freed all together. */
struct catalog_block {
	struct catalog_block *next;
	size_t used, size;
	_Alignas(max_align_t) char bytes[];
};

static char *take(struct catalog *c, size_t bytes, size_t alignment)
{
	struct catalog_block *b = c->blocks;
	size_t at = b ? (b->used + alignment - 1) & ~(alignment - 1) : 0, size = BLOCK_BYTES;

	if (!b || at > b->size || bytes > b->size - at) {
		size = bytes > size ? bytes : size;
		b = calloc(1, sizeof(*b) + size);
		if (!b) {
			c->no_memory = true;
			return NULL;
		}
		b->size = size;
		at = 0;
		/* What fills its block leaves the open one in front. */
		if (bytes == size && c->blocks) {
			b->next = c->blocks->next;
			c->blocks->next = b;
		} else {
			b->next = c->blocks;
			c->blocks = b;
		}
	}
	b->used = at + bytes;
	return b->bytes + at;
}

void *catalog_keep(struct catalog *c, size_t bytes)
{
	return take(c, bytes, _Alignof(max_align_t));
}

char *catalog_keep_text(struct catalog *c, struct slice text)
{
	char *copy = take(c, text.len + 1, 1);

	if (copy && text.len)
		memcpy(copy, text.ptr, text.len);
	return copy;
}

const char *catalog_keep_str(struct catalog *c, struct json_value v)
{
	struct buf room = { 0 };
	struct slice text = json_str_text(v, &room);
	const char *kept = text.len ? catalog_keep_text(c, text) : "";

	c->no_memory = c->no_memory || !buf_ok(&room);
	buf_fini(&room);
	return kept ? kept : "";
}

const char *catalog_keep_key(struct catalog *c, struct slice key)
{
	return catalog_keep_str(c, (struct json_value){ JSON_STRING, key });
}

size_t catalog_length(struct json_value v)
{
	struct json_iter it;
	struct json_value inner;
	struct slice key;
	size_t n = 0;

	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &inner))
		n++;
	return n;
}

const char *const *catalog_keep_strs(struct catalog *c, struct json_value list)
{
	const char **texts = NULL;
	struct json_iter it;
	struct json_value v;
	struct slice key;
	size_t n = 0;

	if (list.kind == JSON_ARRAY)
		texts = catalog_keep(c, (catalog_length(list) + 1) * sizeof(*texts));
	json_iter_init(&it, list);
	while (texts && json_iter_next(&it, &key, &v))
		texts[n++] = catalog_keep_str(c, v);
	return texts;
}

const struct catalog_provider *const *catalog_keep_providers(
	struct catalog *c, struct json_value slugs)
{
	const struct catalog_provider **providers;
	struct json_iter it;
	struct json_value v;
	struct slice key;
	size_t n = 0;

	providers = catalog_keep(c, (catalog_length(slugs) + 1) * sizeof(*providers));
	json_iter_init(&it, slugs);
	while (providers && json_iter_next(&it, &key, &v)) {
		providers[n] = catalog_provider_spelled(c, v);
		if (!providers[n++])
			return NULL;
	}
	return providers;
}

void catalog_fini(struct catalog *c)
{
	struct catalog_block *next;

	if (!c)
		return;
	for (struct catalog_block *b = c->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	for (size_t i = 0; i < c->text_count; i++)
		buf_fini(&c->texts[i]);
	free(c);
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue of models");
}

/* ---- the ids ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

size_t catalog_cell(const struct catalog *c, struct slice id)
{
	uint32_t h = 2166136261u; /* FNV-1a */
	size_t at;

	for (size_t i = 0; i < id.len; i++)
		h = (h ^ (unsigned char)lower(id.ptr[i])) * 16777619u;
	for (at = h & (c->ids_size - 1); c->ids[at]; at = (at + 1) & (c->ids_size - 1))
		if (slice_is_nocase(id, c->models[c->ids[at] - 1].id))
			break;
	return at;
}

const struct catalog_model *catalog_model_find(const struct catalog *c, struct slice id)
{
	size_t at = catalog_cell(c, id);

	return c->ids[at] ? &c->models[c->ids[at] - 1] : NULL;
}

const struct catalog_provider *catalog_provider_find(const struct catalog *c, struct slice slug)
{
	for (size_t i = 0; i < c->provider_count; i++) {
		const struct catalog_provider *p = &c->providers[i];

		if (slice_is_nocase(slug, p->slug))
			return p;
		for (const char *const *a = p->aliases; a && *a; a++)
			if (slice_is_nocase(slug, *a))
				return p;
	}
	return NULL;
}

const struct catalog_provider *catalog_provider_spelled(
	const struct catalog *c, struct json_value v)
{
	struct buf room = { 0 };
	const struct catalog_provider *p = catalog_provider_find(c, json_str_text(v, &room));

	buf_fini(&room);
	return p;
}

const struct catalog_model *catalog_model_spelled(const struct catalog *c, struct json_value v)
{
	struct buf room = { 0 };
	const struct catalog_model *m = catalog_model_find(c, json_str_text(v, &room));

	buf_fini(&room);
	return m;
}

/* ---- where the files are ---- */

static bool holds_files(const char *folder)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/models.json", folder);

	return n > 0 && n < (int)sizeof(path) && access(path, F_OK) == 0;
}

/* A setting; else beside the programs: an installed tree, a checkout built in build/ or in a
 * folder below it; else where `make install` puts it. */
static enum err_code find_folder(const struct conf *conf, char folder[PATH_MAX], struct err *e)
{
	static const char *const near[] = { "../../share/tollgate", "../share/tollgate",
		"../../conf", "../../../conf" };
	const char *dir = conf_program_dir(conf);
	int n = snprintf(folder, PATH_MAX, "%s", conf_str(conf, CONF_CATALOGUE));

	if (n > 0 && n < PATH_MAX)
		return ERR_OK;
	for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
		n = snprintf(folder, PATH_MAX, "%s/%s", dir, near[i]);
		if (n < PATH_MAX && holds_files(folder))
			return ERR_OK;
	}
	snprintf(folder, PATH_MAX, "%s", TOLLGATE_SHARE);
	if (holds_files(folder))
		return ERR_OK;
	return err_param(e, ERR_CONF, "GATEWAY_CATALOGUE",
		"GATEWAY_CATALOGUE: models.json is neither beside the programs nor in %s; name its "
		"folder",
		folder);
}

enum err_code catalog_find_files(const struct conf *conf, struct catalog_files *f, struct err *e)
{
	const char *home = conf_str(conf, CONF_HOME);
	char folder[PATH_MAX];
	enum err_code rc = find_folder(conf, folder, e);

	if (rc)
		return rc;
	snprintf(f->path[CATALOG_FILE_PROVIDERS], CATALOG_PATH_MAX, "%s/providers.json", folder);
	snprintf(f->path[CATALOG_FILE_MODELS], CATALOG_PATH_MAX, "%s/models.json", folder);
	f->path[CATALOG_FILE_DRAINED][0] = '\0';
	snprintf(f->path[CATALOG_FILE_SAME], CATALOG_PATH_MAX, "%s/equivalents.json", folder);
	f->path[CATALOG_FILE_FOUND][0] = f->path[CATALOG_FILE_PRICES][0] =
		f->path[CATALOG_FILE_OWN_SAME][0] = '\0';
	snprintf(f->path[CATALOG_FILE_AUTO], CATALOG_PATH_MAX, "%s/auto_models.json", folder);
	f->path[CATALOG_FILE_OWN_AUTO][0] = f->path[CATALOG_FILE_SELFTEST][0] = '\0';
	if (!home[0])
		return ERR_OK;
	rc = home_path(home, DRAINS_FILE, f->path[CATALOG_FILE_DRAINED], e);
	if (!rc)
		rc = home_path(home, SELFTEST_FILE, f->path[CATALOG_FILE_SELFTEST], e);
	if (!rc)
		rc = home_path(home, "models.json", f->path[CATALOG_FILE_FOUND], e);
	if (!rc)
		rc = home_path(home, "equivalents.json", f->path[CATALOG_FILE_OWN_SAME], e);
	if (!rc)
		rc = home_path(home, "auto_models.json", f->path[CATALOG_FILE_OWN_AUTO], e);
	return rc ? rc : home_path(home, "prices.json", f->path[CATALOG_FILE_PRICES], e);
}

enum err_code catalog_load_files(
	const struct conf *conf, const struct catalog_files *f, struct catalog **out, struct err *e)
{
	struct catalog *c = calloc(1, sizeof(*c));
	enum err_code rc;

	*out = NULL;
	if (!c)
		return no_memory(e);
	rc = catalog_read_providers(c, f->path[CATALOG_FILE_PROVIDERS], e);
	if (!rc)
		rc = catalog_read_models(c, f->path[CATALOG_FILE_MODELS],
			f->path[CATALOG_FILE_FOUND], f->path[CATALOG_FILE_PRICES], e);
	if (!rc)
		rc = catalog_apply_settings(c, conf, e);
	if (!rc)
		rc = catalog_read_drained(c, f->path[CATALOG_FILE_DRAINED], e);
	if (!rc)
		rc = catalog_read_same(
			c, f->path[CATALOG_FILE_SAME], f->path[CATALOG_FILE_OWN_SAME], e);
	if (!rc)
		rc = catalog_read_auto(
			c, f->path[CATALOG_FILE_AUTO], f->path[CATALOG_FILE_OWN_AUTO], e);
	if (!rc)
		catalog_read_selftest(c, f->path[CATALOG_FILE_SELFTEST], clock_wall_ms());
	if (c->no_memory)
		rc = no_memory(e);
	if (rc)
		catalog_fini(c);
	else
		*out = c;
	return rc;
}

enum err_code catalog_load(const struct conf *conf, struct catalog **out, struct err *e)
{
	struct catalog_files f;
	enum err_code rc = catalog_find_files(conf, &f, e);

	*out = NULL;
	return rc ? rc : catalog_load_files(conf, &f, out, e);
}

/* ---- what others ask ---- */

size_t catalog_provider_count(const struct catalog *c)
{
	return c->provider_count;
}

const struct catalog_provider *catalog_provider_at(const struct catalog *c, size_t i)
{
	return i < c->provider_count ? &c->providers[i] : NULL;
}

size_t catalog_model_count(const struct catalog *c)
{
	return c->model_count;
}

const struct catalog_model *catalog_model_at(const struct catalog *c, size_t i)
{
	return i < c->model_count ? &c->models[i] : NULL;
}

const struct catalog_provider *catalog_model_server(
	const struct catalog *c, const struct catalog_model *m)
{
	const struct catalog_same *same;

	if (m->provider->configured)
		return m->provider;
	same = catalog_same_server(c, m);
	if (same)
		return same->provider;
	/* What a provider gives away, and what runs on the operator's machine, a router does not
	 * have under the same name. */
	if (m->free || m->embedding || strcmp(m->provider->auth, "none") == 0)
		return NULL;
	for (size_t i = 0; i < c->router_count; i++)
		if (c->routers[i]->configured)
			return c->routers[i];
	return NULL;
}

bool catalog_native_id(const struct catalog *c, const struct catalog_provider *p, struct slice id,
	char out[MODEL_ID_MAX])
{
	const struct catalog_provider_more *more = &c->providers_more[p - c->providers];
	struct slice beginning = { "", 0 }, rest = id;
	int n;

	for (size_t i = 0; i < more->native_count; i++) {
		const char *from = more->native_ids[i].id;
		struct slice said = slice_of(more->native_ids[i].native);

		/* A whole id counts more than the beginning of one. */
		if (slice_is_nocase(id, from))
			return slice_copy(said, out, MODEL_ID_MAX);
		if (slice_ends(said, "/") && slice_starts_nocase(id, from)) {
			beginning = said;
			rest = slice_from(id, strlen(from));
		}
	}
	n = snprintf(out, MODEL_ID_MAX, "%.*s%.*s", SLICE_ARG(beginning), SLICE_ARG(rest));
	return n >= 0 && n < MODEL_ID_MAX;
}

bool catalog_demo_is_on(const struct catalog *c)
{
	return c->demo_on;
}
