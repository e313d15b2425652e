#include "gateway/model_name.h"

#include "gateway/catalog_data.h"

#define TOKENS_MAX 16 /* words of a name, between its hyphens */

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

/* ---- variants ---- */

static bool is_suffix(const struct catalog *c, struct slice word)
{
	for (size_t i = 0; c->router_suffixes[i]; i++)
		if (slice_is_nocase(word, c->router_suffixes[i]))
			return true;
	return false;
}

struct slice model_name_variant(const struct catalog *c, struct slice *name)
{
	struct slice all = *name;

	for (;;) {
		const char *colon = memrchr(name->ptr, ':', name->len);
		size_t n = colon ? (size_t)(colon - name->ptr) : 0;

		if (!n || !is_suffix(c, slice_from(*name, n + 1)))
			return slice_from(all, name->len);
		*name = slice_first(*name, n);
	}
}

bool model_name_is_free(struct slice variant)
{
	struct slice word, rest = slice_from(variant, 1);

	while (rest.ptr) {
		word = slice_cut(&rest, ':');
		if (slice_is_nocase(word, "free"))
			return true;
	}
	return false;
}

/* ---- days ---- */

static bool fits(struct slice s, const char *shape)
{
	for (size_t i = 0; i < s.len; i++)
		if (shape[i] == '0' ? !is_digit(s.ptr[i]) : s.ptr[i] != shape[i])
			return false;
	return true;
}

static bool is_between(const char *two_digits, int least, int most)
{
	int n = (two_digits[0] - '0') * 10 + two_digits[1] - '0';

	return n >= least && n <= most;
}

struct slice model_name_undated(struct slice name)
{
	static const struct {
		const char *shape;
		size_t month, day;
	} shapes[] = { { "-00000000", 5, 7 }, { "-0000-00-00", 6, 9 } };

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		size_t n = strlen(shapes[i].shape);
		struct slice end = slice_from(name, name.len > n ? name.len - n : 0);

		if (end.len == n && name.len > n && fits(end, shapes[i].shape) &&
			is_between(end.ptr + 1, 20, 20) &&
			is_between(end.ptr + shapes[i].month, 1, 12) &&
			is_between(end.ptr + shapes[i].day, 1, 31))
			return slice_first(name, name.len - n);
	}
	return name;
}

static struct slice tail(struct slice s, size_t n)
{
	return slice_from(s, s.len > n ? s.len - n : 0);
}

bool model_name_wants_day(const struct catalog_model *m, struct slice name)
{
	struct slice day = slice_from(name, model_name_undated(name).len);
	struct slice native = slice_of(m->native_id), id = slice_of(m->id);

	return day.len && !slice_eq(tail(native, day.len), day) &&
	       !slice_eq(tail(id, day.len), day);
}

static bool same_nocase(struct slice a, struct slice b)
{
	return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

const struct catalog_model *model_name_dated(const struct catalog *c, struct slice id)
{
	struct slice name = model_name_undated(id);
	const struct catalog_model *best = NULL;

	for (size_t i = 0; i < c->model_count; i++) {
		const struct catalog_model *m = &c->models[i];

		if (m->hidden || !same_nocase(model_name_undated(slice_of(m->id)), name))
			continue;
		/* Without a day is what the maker calls the model itself. */
		if (!best || strlen(m->id) == name.len ||
			(strlen(best->id) != name.len && strcmp(m->id, best->id) > 0))
			best = m;
	}
	return best;
}

/* ---- the newest ---- */

struct version {
	int64_t number[TOKENS_MAX]; /* 4, 6 of "4.6" */
	size_t n;
	bool preview;
};

/* Digits and dots, such as "4.6". */
static bool is_number(struct slice word)
{
	for (size_t i = 0; i < word.len; i++)
		if (!is_digit(word.ptr[i]) && word.ptr[i] != '.')
			return false;
	return word.len > 0;
}

static void add_numbers(struct version *v, struct slice word)
{
	while (word.ptr && v->n < TOKENS_MAX) {
		struct slice part = slice_cut(&word, '.');

		if (str_int(part, 0, INT64_MAX, &v->number[v->n]))
			v->n++;
	}
}

/* Compares the words of a name that are no version with those of family; fills the version. */
static bool is_of_family(struct slice name, struct slice family, struct version *v)
{
	*v = (struct version){ .n = 0 };
	name = model_name_undated(name);
	while (name.ptr) {
		struct slice word = slice_cut(&name, '-');

		if (is_number(word))
			add_numbers(v, word);
		else if (slice_is_nocase(word, "preview"))
			v->preview = true;
		else if (!family.ptr || !same_nocase(slice_cut(&family, '-'), word))
			return false;
	}
	return !family.ptr;
}

static bool is_newer(const struct version *a, const struct version *b)
{
	for (size_t i = 0; i < a->n || i < b->n; i++) {
		int64_t x = i < a->n ? a->number[i] : 0, y = i < b->n ? b->number[i] : 0;

		if (x != y)
			return x > y;
	}
	return b->preview && !a->preview;
}

const struct catalog_model *model_name_latest(const struct catalog *c, struct slice name)
{
	struct slice family = name, author = slice_cut(&family, '/');
	const struct catalog_model *best = NULL;
	struct version version, newest = { .n = 0 };

	if (!family.ptr || family.len <= strlen("-latest") ||
		!slice_is_nocase(slice_from(family, family.len - strlen("-latest")), "-latest"))
		return NULL;
	family = slice_first(family, family.len - strlen("-latest"));
	for (size_t i = 0; i < c->model_count; i++) {
		const struct catalog_model *m = &c->models[i];
		struct slice rest = slice_of(m->id), maker = slice_cut(&rest, '/');

		if (m->hidden || m->embedding || !rest.ptr || !same_nocase(maker, author) ||
			memchr(rest.ptr, ':', rest.len) || !is_of_family(rest, family, &version))
			continue;
		if (!best || is_newer(&version, &newest)) {
			best = m;
			newest = version;
		}
	}
	return best;
}
