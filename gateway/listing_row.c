#include "gateway/listing_row.h"

struct json_object *listing_member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, name, &v);
	return v;
}

/* Not json_write(): json-c keeps the text inside the object it prints, and a catalogue is shared
 * by threads. */
void listing_put_value(struct buf *out, struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_string:
		buf_json_cstr(out, json_object_get_string(v));
		break;
	case json_type_int:
		buf_int(out, json_object_get_int64(v));
		break;
	case json_type_boolean:
		buf_str(out, json_object_get_boolean(v) ? "true" : "false");
		break;
	case json_type_array:
		buf_char(out, '[');
		for (size_t i = 0; i < json_object_array_length(v); i++) {
			buf_str(out, i ? "," : "");
			listing_put_value(out, json_object_array_get_idx(v, i));
		}
		buf_char(out, ']');
		break;
	default: /* rows hold no other kinds where a listing looks */
		buf_str(out, "null");
	}
}

/* A member of a checked row, as JSON; null when absent. */
void listing_put(struct buf *out, const char *key, struct json_object *row, const char *name)
{
	buf_json_cstr(out, key);
	buf_char(out, ':');
	listing_put_value(out, listing_member(row, name));
}

void listing_put_text(struct buf *out, const char *key, const char *value)
{
	buf_json_cstr(out, key);
	buf_char(out, ':');
	buf_json_cstr(out, value);
}

void listing_put_switch(struct buf *out, const char *key, bool value)
{
	buf_json_cstr(out, key);
	buf_str(out, value ? ":true" : ":false");
}

bool listing_is_true(struct json_object *row, const char *name)
{
	return json_object_get_boolean(listing_member(row, name));
}
