#include "handlers/cli/json_out.h"

#include "base/clock.h"

#include <stdio.h>

void json_out_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	buf_json_cstr(out, text[0] ? text : NULL);
}

void json_out_time(struct buf *out, const char *name, int64_t ms)
{
	char iso[CLOCK_ISO_SIZE];

	if (ms)
		clock_iso(ms, iso);
	json_out_text(out, name, ms ? iso : "");
}

void json_out_rate(struct buf *out, const char *name, int64_t rate)
{
	buf_printf(out, ",\"%s\":", name);
	if (rate)
		buf_int(out, rate);
	else
		buf_str(out, "null");
}

void json_out_limit(struct buf *out, const char *name, struct people_limit limit)
{
	buf_printf(out, ",\"%s\":", name);
	if (limit.is_set)
		buf_int(out, limit.microusd);
	else
		buf_str(out, "null");
}

void json_out_list(struct buf *out, const char *name, const char *list)
{
	struct slice rest = slice_of(list);

	buf_printf(out, ",\"%s\":[", name);
	while (rest.len) {
		buf_json_str(out, slice_cut(&rest, ','));
		if (rest.len)
			buf_char(out, ',');
	}
	buf_char(out, ']');
}

void json_out_print(struct buf *out)
{
	if (buf_ok(out))
		fwrite(out->data, 1, out->len, stdout);
	else
		fputs("tollgate: the answer is too long\n", stderr);
	buf_fini(out);
}
