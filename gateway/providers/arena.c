#include "gateway/providers/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define BLOCK_BYTES ((size_t)4096)

struct arena_block {
	struct arena_block *older;
	size_t size;
	alignas(max_align_t) char bytes[];
};

void arena_fini(struct arena *a)
{
	struct arena_block *b, *older;

	for (b = a->blocks; b; b = older) {
		older = b->older;
		free(b);
	}
	*a = (struct arena){ 0 };
}

void *arena_take(struct arena *a, size_t n)
{
	size_t need, size;
	struct arena_block *b = a->blocks;
	void *piece;

	if (n > SIZE_MAX / 2) {
		a->failed = true;
		return NULL;
	}
	need = (n + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
	if (!b || need > b->size - a->used) {
		size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
		/* Each block is as large as all before it together, up to a point: few of them. */
		if (b && size < b->size * 2 && b->size < BLOCK_BYTES * 64)
			size = b->size * 2;
		b = calloc(1, sizeof(*b) + size);
		if (!b) {
			a->failed = true;
			return NULL;
		}
		b->older = a->blocks;
		b->size = size;
		a->blocks = b;
		a->used = 0;
	}
	piece = b->bytes + a->used;
	a->used += need;
	return piece;
}

char *arena_text(struct arena *a, struct slice s)
{
	char *copy = arena_take(a, s.len + 1);

	if (copy && s.len)
		memcpy(copy, s.ptr, s.len);
	return copy;
}

char *arena_string(struct arena *a, struct json_value v)
{
	char *text;

	if (v.kind != JSON_STRING)
		return NULL;
	text = arena_take(a, v.raw.len);
	return text && json_str_copy(v, text, v.raw.len) ? text : NULL;
}

struct json_value arena_quoted(struct arena *a, struct slice s)
{
	struct json_value v = { .kind = JSON_ABSENT, .raw = SLICE("") };
	struct buf b = { .max_bytes = s.len * 6 + 2 };
	char *text;

	buf_json_str(&b, s);
	text = buf_ok(&b) ? arena_text(a, buf_slice(&b)) : NULL;
	if (text)
		v = (struct json_value){ JSON_STRING, { text, b.len } };
	else
		a->failed = true;
	buf_fini(&b);
	return v;
}
