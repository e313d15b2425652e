/* The lists of people.h. */
#include "store/people.h"

#include <stdlib.h>

struct listing {
	char *items;
	size_t size, count, room;
	const char *org; /* of memberships: "" = all */
	enum err_code (*read)(struct slice rest, struct slice value, void *item, struct err *e);
};

static enum err_code collect(void *ctx, struct slice rest, struct slice value, struct err *e)
{
	struct listing *l = ctx;
	enum err_code rc;

	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		char *more = realloc(l->items, room * l->size);

		if (!more)
			return err_set(e, ERR_NO_MEMORY, "out of memory while listing");
		l->items = more;
		l->room = room;
	}
	if (l->org && l->org[0] && !slice_eq(slice_first(rest, strlen(l->org)), slice_of(l->org)))
		return ERR_OK;
	rc = l->read(rest, value, l->items + l->count * l->size, e);
	l->count += !rc;
	return rc;
}

static enum err_code list_all(struct people_file *f, char letter, struct listing *l, void **list,
	size_t *count, int (*order)(const void *, const void *), struct err *e)
{
	enum err_code rc = people_file_each(f, letter, collect, l, e);

	*list = NULL;
	*count = 0;
	if (rc) {
		free(l->items);
		return rc;
	}
	if (l->count)
		qsort(l->items, l->count, l->size, order);
	*list = l->items;
	*count = l->count;
	return ERR_OK;
}

static enum err_code read_user(struct slice rest, struct slice value, void *item, struct err *e)
{
	(void)rest;
	return people_user_read(value, item, e);
}

static enum err_code read_org(struct slice rest, struct slice value, void *item, struct err *e)
{
	(void)rest;
	return people_org_read(value, item, e);
}

static enum err_code read_member(struct slice rest, struct slice value, void *item, struct err *e)
{
	struct people_membership *m = item;

	if (!slice_copy(slice_first(rest, PEOPLE_ORG_ID_SIZE - 1), m->org, sizeof(m->org)) ||
		!slice_copy(slice_from(rest, PEOPLE_ORG_ID_SIZE - 1), m->user, sizeof(m->user)))
		return err_set(e, ERR_IO, "a member's record has the wrong key");
	return people_member_read(value, &m->member, e);
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct people_user *)a)->id, ((const struct people_user *)b)->id);
}

static int by_slug(const void *a, const void *b)
{
	return strcmp(((const struct people_org *)a)->slug, ((const struct people_org *)b)->slug);
}

static int by_org_and_user(const void *a, const void *b)
{
	const struct people_membership *x = a, *y = b;
	int order = strcmp(x->org, y->org);

	return order ? order : strcmp(x->user, y->user);
}

enum err_code people_user_list(
	struct people_file *f, struct people_user **list, size_t *count, struct err *e)
{
	struct listing l = { .size = sizeof(**list), .read = read_user };
	void *items;
	enum err_code rc = list_all(f, 'U', &l, &items, count, by_id, e);

	*list = items;
	return rc;
}

enum err_code people_org_list(
	struct people_file *f, struct people_org **list, size_t *count, struct err *e)
{
	struct listing l = { .size = sizeof(**list), .read = read_org };
	void *items;
	enum err_code rc = list_all(f, 'O', &l, &items, count, by_slug, e);

	*list = items;
	return rc;
}

enum err_code people_member_list(struct people_file *f, const char *org,
	struct people_membership **list, size_t *count, struct err *e)
{
	struct listing l = { .size = sizeof(**list), .org = org, .read = read_member };
	void *items;
	enum err_code rc = list_all(f, 'M', &l, &items, count, by_org_and_user, e);

	*list = items;
	return rc;
}
