#include "gateway/listing_row.h"

void listing_put_value(struct buf *out, struct json_value v)
{
	struct buf room = { 0 };
	struct json_iter it;
	struct json_value inner;
	struct slice key;

	switch (v.kind) {
	case JSON_STRING: /* spelled our way, whatever the file's */
		buf_json_str(out, json_str_text(v, &room));
		out->failed = out->failed || !buf_ok(&room);
		buf_fini(&room);
		break;
	case JSON_NUMBER:
	case JSON_BOOL:
		buf_slice_append(out, v.raw);
		break;
	case JSON_ARRAY:
		buf_char(out, '[');
		json_iter_init(&it, v);
		for (size_t i = 0; json_iter_next(&it, &key, &inner); i++) {
			buf_str(out, i ? "," : "");
			listing_put_value(out, inner);
		}
		buf_char(out, ']');
		break;
	case JSON_ABSENT:
	case JSON_NULL:
	case JSON_OBJECT: /* rows hold none where a listing looks */
		buf_str(out, "null");
	}
}

void listing_put(struct buf *out, const char *key, struct json_value v)
{
	buf_json_cstr(out, key);
	buf_char(out, ':');
	listing_put_value(out, v);
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

bool listing_is_on(struct json_value o, const char *name, bool otherwise)
{
	struct json_value v = json_get(o, name);

	return schema_has(v) ? json_is_true(v) : otherwise;
}

void listing_put_policy(struct buf *out, const char *key, struct json_value listing)
{
	static const char *const optional[][2] = { { "termsOfServiceURL", "terms_of_service_url" },
		{ "privacyPolicyURL", "privacy_policy_url" },
		{ "retentionDays", "retention_days" } };
	struct json_value policy = json_get(listing, "data_policy");

	buf_json_cstr(out, key);
	buf_str(out, ":{");
	/* What is not known counts as the worse case. */
	listing_put_switch(out, "training", listing_is_on(policy, "training", true));
	buf_char(out, ',');
	listing_put_switch(out, "retainsPrompts", listing_is_on(policy, "retains_prompts", true));
	buf_char(out, ',');
	listing_put_switch(out, "canPublish", listing_is_on(policy, "can_publish", false));
	for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
		struct json_value v = json_get(policy, optional[i][1]);

		if (!schema_has(v))
			continue;
		buf_char(out, ',');
		listing_put(out, optional[i][0], v);
	}
	buf_char(out, '}');
}

void listing_put_place(struct buf *out, struct json_value listing)
{
	struct json_value where = json_get(listing, "headquarters"),
			  centers = json_get(listing, "datacenters");

	if (schema_has(where))
		listing_put(out, "headquarters", where);
	else
		listing_put_text(out, "headquarters", "Unknown");
	buf_str(out, ",\"datacenters\":");
	if (schema_has(centers))
		listing_put_value(out, centers);
	else
		buf_str(out, "[]");
}
