#include "gateway/providers/members.h"

static bool spells(struct slice key, const char *name)
{
	if (key.len < 2 || (key.ptr[1] != name[0] && key.ptr[1] != '\\'))
		return false;
	return json_str_is(key, name);
}

void members_read(
	struct json_value object, const char *const *names, size_t n, struct json_value *values)
{
	struct json_value v;
	struct json_iter it;
	struct slice key;

	for (size_t i = 0; i < n; i++)
		values[i] = (struct json_value){ JSON_ABSENT, { "", 0 } };
	if (object.kind != JSON_OBJECT)
		return;
	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		for (size_t i = 0; i < n; i++) {
			if (!spells(key, names[i]))
				continue;
			if (v.kind == JSON_NULL)
				v = (struct json_value){ JSON_ABSENT, { "", 0 } };
			values[i] = v;
			break;
		}
	}
}

struct json_value member_read(struct json_value object, const char *name)
{
	struct json_value v;

	members_read(object, &name, 1, &v);
	return v;
}

bool member_is_blank(struct json_value v)
{
	struct slice s = member_inner(v);

	while (s.len) {
		if (s.ptr[0] == ' ')
			s = slice_from(s, 1);
		else if (slice_starts(s, "\\n") || slice_starts(s, "\\t") || slice_starts(s, "\\r"))
			s = slice_from(s, 2);
		else
			return false;
	}
	return true;
}
