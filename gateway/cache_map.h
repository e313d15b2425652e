/* gateway/cache_map.h - where the members of a JSON object are, at every depth, in the order of
 * their names: for cache_canon.c. Nobody else.
 *
 * Memory:  16 bytes for each object and member; CACHE_MAP_HERE of them need no heap.
 * Threads: no shared state.
 */
#ifndef GATEWAY_CACHE_MAP_H
#define GATEWAY_CACHE_MAP_H

#include "base/json_text.h"

#define CACHE_MAP_DEPTH   1000
#define CACHE_MAP_HERE    96
#define CACHE_MAP_MAX     ((size_t)1 << 21) /* 32 MiB of them */
#define CACHE_MAP_ARRAY   UINT32_MAX        /* in place of an object's node */
#define CACHE_MAP_ESCAPED (UINT32_C(1) << 31)

/* A member; or an object, which stands before its members. Places are counted from the begin of
 * the text. The nodes of a member's value follow it. */
struct cache_node {
	uint32_t at;    /* what stands between the quotes of its name; object: behind its brace */
	uint32_t len;   /* of that, with CACHE_MAP_ESCAPED; object: unused */
	uint32_t value; /* where its value begins; object: the node behind its last one */
	uint32_t next;  /* the member that comes after it; object: the first; 0 = none */
};

struct cache_map {
	const char *text, *end;
	struct cache_node *nodes;
	size_t count, cap;
	enum err_code rc;
	struct cache_node here[CACHE_MAP_HERE];
	uint32_t frames[CACHE_MAP_DEPTH]; /* the open objects' nodes, or CACHE_MAP_ARRAY */
};

/* Notes all members of text, one object of less than 2 GiB. ERR_NO_MEMORY: none, or there are more
 * than CACHE_MAP_MAX; ERR_BAD_REQUEST: it is no JSON. Of a text that was not validated only so much
 * is checked that whoever walks it by the same rules finds everything where it was found here.
 * cache_map_fini() ends it, whatever it returned. */
MUST_CHECK enum err_code cache_map_make(struct cache_map *m, struct slice text);
void cache_map_fini(struct cache_map *m);

/* p stands on a quote. Returns the byte behind the closing one, or end. */
static inline const char *cache_map_string(const char *p, const char *end, bool *escaped)
{
	*escaped = false;
	for (p++; p < end; p += 2) {
		p = json_text_special(p, end, false);
		if (p == end || *p == '"')
			return p < end ? p + 1 : end;
		*escaped = true;
	}
	return end;
}

static inline const char *cache_map_scalar(const char *p, const char *end)
{
	while (p < end && *p != ',' && *p != '}' && *p != ']' && *p > ' ')
		p++;
	return p;
}

#endif
