/* gateway/providers/members.h - several members of an object, found in one walk.
 *
 * Pure; nothing is copied.
 */
#ifndef GATEWAY_PROVIDERS_MEMBERS_H
#define GATEWAY_PROVIDERS_MEMBERS_H

#include "base/json_scan.h"

/* Sets each of the n values to the member with that name; JSON_ABSENT for those that are missing
 * or null, and for all when object is none. The last of several counts. */
void members_read(
	struct json_value object, const char *const *names, size_t n, struct json_value *values);

/* One member, by the same rule. */
struct json_value member_read(struct json_value object, const char *name);

/* A string without its quotes, as it is written; empty for other kinds. */
static inline struct slice member_inner(struct json_value v)
{
	if (v.kind != JSON_STRING || v.raw.len < 2)
		return SLICE("");
	return (struct slice){ v.raw.ptr + 1, v.raw.len - 2 };
}

/* Does a string hold nothing but blanks? */
bool member_is_blank(struct json_value v);

#endif
