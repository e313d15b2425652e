#include "gateway/providers/splice.h"

#define EDITS_BYTES ((size_t)256 << 10)

struct edit {
	const char *at;
	size_t cut;     /* bytes that go */
	size_t from, n; /* what comes, in text */
};

void splice_reset(struct splice *s, size_t max_bytes)
{
	buf_reset(&s->edits);
	buf_reset(&s->text);
	s->edits.max_bytes = EDITS_BYTES;
	s->text.max_bytes = max_bytes;
}

void splice_fini(struct splice *s)
{
	buf_fini(&s->edits);
	buf_fini(&s->text);
}

static struct edit *edits(const struct splice *s, size_t *n)
{
	*n = s->edits.len / sizeof(struct edit);
	return (struct edit *)(void *)s->edits.data;
}

void splice_put(struct splice *s, struct slice what, size_t from)
{
	const struct edit new = { what.ptr, what.len, from, s->text.len - from };
	struct edit *list;
	size_t n;

	if (!buf_ok(&s->text))
		s->edits.failed = true;
	buf_append(&s->edits, &new, sizeof(new));
	if (!buf_ok(&s->edits))
		return;
	list = edits(s, &n);
	/* Two insertions at one place keep the order in which they were made. */
	for (n--; n && list[n - 1].at > new.at; n--) {
		list[n] = list[n - 1];
		list[n - 1] = new;
	}
}

void splice_str(struct splice *s, struct slice what, const char *with)
{
	size_t from = s->text.len;

	buf_str(&s->text, with);
	splice_put(s, what, from);
}

void splice_write(const struct splice *s, struct slice text, struct buf *out)
{
	const char *p = text.ptr;
	size_t n;
	const struct edit *list = edits(s, &n);

	if (s->edits.failed) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		buf_append(out, p, (size_t)(list[i].at - p));
		if (list[i].n)
			buf_append(out, s->text.data + list[i].from, list[i].n);
		p = list[i].at + list[i].cut;
	}
	buf_append(out, p, (size_t)(text.ptr + text.len - p));
}
