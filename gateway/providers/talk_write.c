#include "gateway/providers/members.h"
#include "gateway/providers/talk.h"

/* A call whose arguments are nested deeper, or hold more keys at once, goes on as a text. */
static const struct json_limits argument_limits = {
	.max_depth = 100, .max_keys = 100000, .allow_duplicates = true
};

void talk_write_arguments(const struct part *call, struct buf *out)
{
	struct buf copy = { .max_bytes = out->max_bytes };
	size_t start = out->len;
	enum json_kind kind = JSON_ABSENT;
	struct slice text;

	if (call->value.kind == JSON_OBJECT) {
		buf_slice_append(out, call->value.raw);
		return;
	}
	/* Decoded where it belongs: most are objects, and stay as they are. */
	if (!json_str_decode(call->value, out)) {
		buf_str(out, "{}");
		return;
	}
	if (!buf_ok(out))
		return;
	text = slice_trim(slice_from(buf_slice(out), start));
	if (!text.len) {
		out->len = start;
		buf_str(out, "{}");
		return;
	}
	if (!json_validate(text, &argument_limits, &kind, NULL) && kind == JSON_OBJECT)
		return;
	buf_slice_append(&copy, text);
	out->len = start;
	buf_str(out, kind == JSON_ABSENT ? "{\"raw\":" : "{\"value\":");
	if (kind == JSON_ABSENT)
		buf_json_str(out, buf_slice(&copy));
	else
		buf_slice_append(out, buf_slice(&copy));
	buf_char(out, '}');
	out->failed |= !buf_ok(&copy);
	buf_fini(&copy);
}

void talk_write_text(struct json_value content, struct buf *out)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	if (content.kind == JSON_STRING) {
		buf_slice_append(out, content.raw);
		return;
	}
	buf_char(out, '"');
	if (content.kind == JSON_ARRAY) {
		json_iter_init(&it, content);
		while (json_iter_next(&it, &none, &v))
			if (json_str_is(member_read(v, "type").raw, "text"))
				buf_slice_append(out, member_inner(member_read(v, "text")));
	}
	buf_char(out, '"');
}
