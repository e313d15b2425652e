#include "gateway/prices.h"

#include "store/home.h"

#include <errno.h>
#include <unistd.h>

#define WAIT_MS        5000
#define FILE_MAX_BYTES ((size_t)8 << 20)

const char *const prices_members[] = { "price_prompt_usd_per_token",
	"price_completion_usd_per_token", "price_cache_read", "price_cache_write",
	"price_cache_write_1h", "price_reasoning", "price_request", "price_image", NULL };

#define ROW_DEPTH 64 /* of a file, in which a row stands */

/* ---- rows ---- */

struct json_object *prices_row(const struct catalog *c, const struct catalog_model *m)
{
	struct json_object *row;

	return json_read(c->models_more[m - c->models].row.raw, ROW_DEPTH, &row, NULL) ? NULL : row;
}

static int64_t amount(struct json_object *row, const char *name)
{
	const char *text = json_member_str(row, name, NULL);
	int64_t picousd;

	return text && cost_read_usd(slice_of(text), &picousd) ? picousd : -1;
}

bool prices_are_same(struct json_object *a, struct json_object *b)
{
	struct json_object *steps[2] = { NULL, NULL };

	for (const char *const *name = prices_members; *name; name++)
		if (amount(a, *name) != amount(b, *name))
			return false;
	json_object_object_get_ex(a, "overrides", &steps[0]);
	json_object_object_get_ex(b, "overrides", &steps[1]);
	if (!steps[0] || !steps[1])
		return steps[0] == steps[1];
	if (json_object_array_length(steps[0]) != json_object_array_length(steps[1]))
		return false;
	for (size_t i = 0; i < json_object_array_length(steps[0]); i++) {
		struct json_object *x = json_object_array_get_idx(steps[0], i);
		struct json_object *y = json_object_array_get_idx(steps[1], i);

		if (json_member_int(x, "min_prompt_tokens", 0) !=
				json_member_int(y, "min_prompt_tokens", 0) ||
			!prices_are_same(x, y))
			return false;
	}
	return true;
}

/* ---- files ---- */

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the prices");
}

static enum err_code take_turn(const struct conf *conf, const char **home, int *fd, struct err *e)
{
	enum err_code rc;

	*fd = -1;
	*home = conf_str(conf, CONF_HOME);
	rc = home_make(*home, e);
	return rc ? rc : home_lock(*home, "prices.lock", WAIT_MS, fd, e);
}

enum err_code prices_load_base(const struct conf *conf, struct catalog **out, struct err *e)
{
	struct catalog_files f;
	enum err_code rc = catalog_find_files(conf, &f, e);

	*out = NULL;
	if (rc)
		return rc;
	f.path[CATALOG_FILE_PRICES][0] = '\0';
	return catalog_load_files(conf, &f, out, e);
}

/* ---- the operator's word ---- */

static void put_word(struct json_object *list, const struct prices_word *w)
{
	struct json_object *entry = NULL, *made;
	size_t n = json_object_array_length(list), at = n;

	for (size_t i = 0; i < n && at == n; i++) {
		entry = json_object_array_get_idx(list, i);
		if (slice_is_nocase(slice_of(w->id), json_member_str(entry, "id", "")))
			at = i;
	}
	if (at == n) {
		made = json_object_new_object();
		json_object_object_add(made, "id", json_object_new_string(w->id));
		json_object_array_add(list, made);
		entry = made;
	}
	json_object_object_add(entry, "date", json_object_new_string(w->day));
	if (w->prices)
		json_object_object_add(entry, "prices", json_object_get(w->prices));
	if (w->forgets_prices)
		json_object_object_del(entry, "prices");
	if (w->hidden)
		json_object_object_add(entry, "hidden", json_object_new_boolean(w->hidden > 0));
	/* What says nothing any more need not stand there. */
	if (!json_object_object_get_ex(entry, "prices", NULL) &&
		!json_member_bool(entry, "hidden", false))
		json_object_array_del_idx(list, at, 1);
}

static enum err_code read_words(
	const char *path, const char *day, struct json_object **tree, struct err *e)
{
	struct json_object *list;

	if (access(path, F_OK) != 0 && errno == ENOENT)
		*tree = json_object_new_object();
	else if (json_read_file(path, FILE_MAX_BYTES, tree, e))
		return e->code;
	json_object_object_add(*tree, "version", json_object_new_int(1));
	json_object_object_add(*tree, "date", json_object_new_string(day));
	if (!json_object_object_get_ex(*tree, "models", &list))
		json_object_object_add(*tree, "models", json_object_new_array());
	return ERR_OK;
}

static void write_lines(struct json_object *tree, struct buf *out)
{
	const char *text = json_object_to_json_string_ext(
		tree, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);

	buf_str(out, text ? text : "");
	buf_char(out, '\n');
	out->failed = out->failed || !text;
}

/* A catalogue that does not load would stop the gateway at its next start: it is tried first. */
static enum err_code try_words(
	const struct conf *conf, const char *home, struct slice text, struct err *e)
{
	struct catalog_files f;
	struct catalog *c;
	enum err_code rc = catalog_find_files(conf, &f, e);

	if (!rc)
		rc = home_replace(home, "prices.try", text, e);
	if (!rc)
		rc = home_path(home, "prices.try", f.path[CATALOG_FILE_PRICES], e);
	if (rc)
		return rc;
	rc = catalog_load_files(conf, &f, &c, e);
	catalog_fini(c);
	(void)unlink(f.path[CATALOG_FILE_PRICES]);
	return rc;
}

enum err_code prices_say(const struct conf *conf, const struct prices_word *w, struct err *e)
{
	char path[HOME_PATH_MAX];
	struct json_object *tree = NULL, *list;
	struct buf text = { .max_bytes = FILE_MAX_BYTES };
	const char *home;
	struct catalog *c = NULL;
	enum err_code rc;
	int fd;

	rc = take_turn(conf, &home, &fd, e);
	/* A file that is not valid is nobody's to change but by hand. */
	if (!rc)
		rc = catalog_load(conf, &c, e);
	catalog_fini(c);
	if (!rc)
		rc = home_path(home, "prices.json", path, e);
	if (!rc)
		rc = read_words(path, w->day, &tree, e);
	if (!rc) {
		json_object_object_get_ex(tree, "models", &list);
		put_word(list, w);
		write_lines(tree, &text);
		rc = buf_ok(&text) ? try_words(conf, home, buf_slice(&text), e) : no_memory(e);
	}
	if (!rc)
		rc = home_replace(home, "prices.json", buf_slice(&text), e);
	json_object_put(tree);
	buf_fini(&text);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* ---- what was found ---- */

enum err_code prices_plan_apply(
	const struct prices_plan *plan, const struct conf *conf, struct err *e)
{
	struct json_object *tree = json_object_new_object(), *gone = json_object_new_array(),
			   *models = json_object_new_array();
	struct buf text = { .max_bytes = FILE_MAX_BYTES };
	const char *home;
	enum err_code rc;
	int fd;

	json_object_object_add(tree, "version", json_object_new_int(1));
	json_object_object_add(tree, "date", json_object_new_string(plan->day));
	json_object_object_add(tree, "gone", gone);
	json_object_object_add(tree, "models", models);
	json_object_object_foreach(plan->gone, folded, id)
	{
		(void)folded;
		json_object_array_add(gone, json_object_get(id));
	}
	json_object_object_foreach(plan->models, key, row)
	{
		(void)key;
		json_object_array_add(models, json_object_get(row));
	}
	rc = take_turn(conf, &home, &fd, e);
	if (!rc) {
		write_lines(tree, &text);
		rc = buf_ok(&text) ? home_replace(home, "models.json", buf_slice(&text), e)
				   : no_memory(e);
	}
	if (fd >= 0)
		close(fd);
	json_object_put(tree);
	buf_fini(&text);
	return rc;
}
