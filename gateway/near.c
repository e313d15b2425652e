#include "gateway/near.h"

#include <stdio.h>

static char lower(char ch)
{
	return ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: the rows of the table for the last two bytes of a and this one. */
unsigned near_distance(struct slice a, struct slice b)
{
	unsigned rows[3][NEAR_BYTES + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];

	a = slice_first(a, NEAR_BYTES);
	b = slice_first(b, NEAR_BYTES);
	for (unsigned k = 0; k <= b.len; k++)
		row[k] = k;
	for (unsigned i = 0; i < a.len; i++) {
		unsigned *free_row = before;

		before = last;
		last = row;
		row = free_row;
		row[0] = i + 1;
		for (unsigned k = 0; k < b.len; k++) {
			bool same = lower(a.ptr[i]) == lower(b.ptr[k]);

			row[k + 1] = least(least(row[k], last[k + 1]) + 1, last[k] + !same);
			if (i > 0 && k > 0 && lower(a.ptr[i]) == lower(b.ptr[k - 1]) &&
				lower(a.ptr[i - 1]) == lower(b.ptr[k]))
				row[k + 1] = least(row[k + 1], before[k - 1] + 1);
		}
	}
	return row[b.len];
}

/* With or without its author, and very near when what was written is its beginning. */
static unsigned farness(struct slice written, const char *id)
{
	const char *slash = strchr(id, '/');
	struct slice bare = slice_of(slash ? slash + 1 : id);

	if (written.len >= 3 && bare.len > written.len &&
		near_distance(written, slice_first(bare, written.len)) == 0)
		return 1;
	return least(near_distance(written, slice_of(id)), near_distance(written, bare));
}

void near_offer(struct near *n, const char *id)
{
	unsigned limit = (unsigned)(n->written.len < 96 ? n->written.len / 3 + 1 : 32);
	unsigned far = farness(n->written, id);

	if (far > limit)
		return;
	for (size_t k = 0; k < NEAR_MAX; k++) {
		if (n->id[k] && n->far[k] <= far)
			continue;
		memmove(&n->id[k + 1], &n->id[k], (NEAR_MAX - 1 - k) * sizeof(n->id[0]));
		memmove(&n->far[k + 1], &n->far[k], (NEAR_MAX - 1 - k) * sizeof(n->far[0]));
		n->id[k] = id;
		n->far[k] = far;
		break;
	}
}

void near_write(const struct near *n, char *out, size_t size)
{
	size_t used = strlen(out);

	for (size_t k = 0; k < NEAR_MAX && n->id[k] && used < size; k++)
		used += (size_t)snprintf(
			out + used, size - used, "%s%s", k ? ", " : "; near it: ", n->id[k]);
}
