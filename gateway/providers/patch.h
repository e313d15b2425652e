/* gateway/providers/patch.h - a JSON text sent on with changes, in one walk from front to back:
 * what nobody touches is copied in long runs and never taken apart.
 *
 * splice.h notes changes in any order and makes them at the end; a patch makes each at once, so
 * that it needs no memory however many there are. All calls must come in the order of the text.
 *
 *     struct patch p = { .out = out, .done = text.ptr };
 *     patch_list_begin(&m, object);
 *     while (json_iter_next(&it, &key, &v))
 *             if (drop) patch_list_drop(&m); else patch_list_keep(&p, &m, key, v);
 *     patch_list_add(&p, &m); buf_str(p.out, "\"more\":1");
 *     patch_list_end(&p, &m);
 *     patch_end(&p, text);
 */
#ifndef GATEWAY_PROVIDERS_PATCH_H
#define GATEWAY_PROVIDERS_PATCH_H

#include "base/json_scan.h"

struct patch {
	struct buf *out;
	const char *done; /* what stands before it in the text is in out, as it should be */
};

/* Copies up to from and leaves out the rest up to to; what is then appended to out comes instead.
 */
void patch_cut(struct patch *p, const char *from, const char *to);
void patch_value(struct patch *p, struct json_value v, const char *with);
void patch_end(struct patch *p, struct slice text);

/* The members of one object, or elements of one array, some of which are left out. */
struct patch_list {
	const char *end;   /* of the last one kept, or of the opening bracket */
	const char *close; /* the closing bracket */
	bool any, gap;
};
void patch_list_begin(struct patch_list *m, struct json_value container);
/* key: as json_iter_next() gives it; empty in arrays. Call it before the value is changed. */
void patch_list_keep(struct patch *p, struct patch_list *m, struct slice key, struct json_value v);
static inline void patch_list_drop(struct patch_list *m)
{
	m->gap = true;
}
/* Something is appended behind all others: everything up to it, and a comma, are in out. */
void patch_list_add(struct patch *p, struct patch_list *m);
void patch_list_end(struct patch *p, struct patch_list *m);

#endif
