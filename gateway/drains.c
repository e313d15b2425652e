#include "gateway/drains.h"

#include "base/clock.h"
#include "base/json.h"
#include "gateway/catalog_data.h"
#include "store/home.h"

#include <errno.h>
#include <unistd.h>

#define WAIT_MS        5000
#define FILE_MAX_BYTES ((size_t)1 << 20)

static const struct schema_row drained_file[] = {
	{ "version", SCHEMA_COUNT, true, false },
	{ "date", SCHEMA_ID, true, false },
	{ "providers", SCHEMA_LIST, true, false },
};

enum { D_SLUG, D_SINCE, D_COUNT };

static const struct schema_row drained_rows[D_COUNT] = {
	[D_SLUG] = { "slug", SCHEMA_ID, true, false },
	[D_SINCE] = { "since", SCHEMA_ID, true, false },
};

/* ---- reading ---- */

enum err_code catalog_read_drained(struct catalog *c, const char *file, struct err *e)
{
	struct json_value v[sizeof(drained_file) / sizeof(drained_file[0])], row, w[D_COUNT];
	enum err_code rc = catalog_open_own(
		c, file, drained_file, sizeof(drained_file) / sizeof(drained_file[0]), v, e);
	struct schema_place place = { .file = file, .list = "providers" };
	struct json_iter it;
	struct slice key;

	if (rc)
		return rc;
	json_iter_init(&it, v[2]);
	for (size_t i = 0; json_iter_next(&it, &key, &row); i++) {
		const struct catalog_provider *p;

		place.index = i;
		place.id = SLICE("");
		rc = schema_read(drained_rows, D_COUNT, row, &place, w, e);
		if (rc)
			break;
		/* One that is not there now stays drained for when it comes back. */
		p = catalog_provider_spelled(c, w[D_SLUG]);
		if (!p)
			continue;
		c->providers[p - c->providers].drained = true;
		c->providers_more[p - c->providers].drained_since = catalog_keep_str(c, w[D_SINCE]);
	}
	return rc;
}

const char *drains_since(const struct catalog *c, const struct catalog_provider *p)
{
	return c->providers_more[p - c->providers].drained_since;
}

/* ---- changing ---- */

static enum err_code read_list(const char *path, struct json_object **tree, struct err *e)
{
	if (access(path, F_OK) != 0 && errno == ENOENT)
		*tree = json_object_new_object();
	else if (json_read_file(path, FILE_MAX_BYTES, tree, e))
		return e->code;
	return ERR_OK;
}

static void put(struct json_object *list, const char *slug, const char *since)
{
	struct json_object *row = json_object_new_object();

	json_object_object_add(row, "slug", json_object_new_string(slug));
	json_object_object_add(row, "since", json_object_new_string(since));
	json_object_array_add(list, row);
}

static bool take_out(struct json_object *list, const char *slug)
{
	bool found = false;

	for (size_t i = json_object_array_length(list); i-- > 0;) {
		struct json_object *row = json_object_array_get_idx(list, i);

		if (!slice_is_nocase(slice_of(slug), json_member_str(row, "slug", "")))
			continue;
		json_object_array_del_idx(list, i, 1);
		found = true;
	}
	return found;
}

static enum err_code write_list(
	const char *home, struct json_object *list, const char *now, struct err *e)
{
	struct buf text = { .max_bytes = FILE_MAX_BYTES };
	enum err_code rc;

	buf_printf(&text, "{\"version\":1,\"date\":\"%.10s\",\n\"providers\":", now);
	json_write(list, &text);
	buf_str(&text, "}\n");
	rc = buf_ok(&text) ? home_replace(home, DRAINS_FILE, buf_slice(&text), e)
			   : err_set(e, ERR_NO_MEMORY, "no memory for %s", DRAINS_FILE);
	buf_fini(&text);
	return rc;
}

/* The file that is there was read by the catalogue, so it is as it should be. */
static enum err_code change(const char *home, const char *slug, bool drained, int64_t wall_ms,
	bool *changed, struct err *e)
{
	char path[HOME_PATH_MAX], now[CLOCK_ISO_SIZE];
	struct json_object *tree = NULL, *list;
	enum err_code rc = home_path(home, DRAINS_FILE, path, e);
	bool was;

	if (!rc)
		rc = read_list(path, &tree, e);
	if (rc)
		return rc;
	clock_iso(wall_ms, now);
	if (!json_object_object_get_ex(tree, "providers", &list)) {
		list = json_object_new_array();
		json_object_object_add(tree, "providers", list);
	}
	was = take_out(list, slug);
	if (drained)
		put(list, slug, now);
	*changed = was != drained;
	if (*changed)
		rc = write_list(home, list, now, e);
	json_object_put(tree);
	return rc;
}

enum err_code drains_say(const struct conf *conf, const char *slug, bool drained, int64_t wall_ms,
	bool *changed, struct err *e)
{
	const char *home = conf_str(conf, CONF_HOME);
	struct catalog *c = NULL;
	int fd = -1;
	enum err_code rc = home_make(home, e);

	*changed = false;
	if (!rc)
		rc = home_lock(home, "drained.lock", WAIT_MS, &fd, e);
	/* A file that is not valid is nobody's to change but by hand. */
	if (!rc)
		rc = catalog_load(conf, &c, e);
	catalog_fini(c);
	if (!rc)
		rc = change(home, slug, drained, wall_ms, changed, e);
	if (fd >= 0)
		close(fd);
	return rc;
}
