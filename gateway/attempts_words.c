#include "gateway/attempts_inside.h"

#include <stdio.h>

static const char *word_of(const struct attempt *at, char number[12])
{
	switch (at->end) {
	case ATTEMPT_OK:
		return "ok";
	case ATTEMPT_RUNNING:
	case ATTEMPT_OVERTAKEN:
		return "slow";
	case ATTEMPT_CUT:
		return "cut";
	case ATTEMPT_FAILED:
		break;
	}
	if (at->status >= 400) {
		(void)snprintf(number, 12, "%d", at->status);
		return number;
	}
	switch (at->error) {
	case ERR_UPSTREAM_STATUS: /* under status 200 */
		return "error";
	case ERR_UPSTREAM_CONNECT:
		return "connect";
	case ERR_UPSTREAM_TLS:
		return "tls";
	case ERR_UPSTREAM_TIMEOUT:
		return "timeout";
	case ERR_UPSTREAM_CLOSED:
		return "closed";
	case ERR_UPSTREAM_INVALID:
	case ERR_UPSTREAM_TOO_LARGE:
		return "invalid";
	default:
		return err_name(at->error);
	}
}

void attempts_write(const struct attempt *at, size_t n, struct buf *out)
{
	char number[12];

	for (size_t i = 0; i < n; i++) {
		buf_str(out, i ? ", " : "");
		buf_str(out, at[i].slug);
		buf_char(out, ':');
		buf_str(out, word_of(&at[i], number));
	}
}

void attempts_add_list(const struct attempt *list, size_t n, struct buf *head)
{
	struct buf text = { .max_bytes = 1024 };
	const char *value;

	attempts_write(list, n, &text);
	value = buf_cstr(&text);
	if (value)
		head_add(head, "X-Attempts", value);
	buf_fini(&text);
}

void attempts_add_who(const struct candidate *c, struct buf *head)
{
	head_add(head, "X-Provider", c->route.target.slug);
	head_add(head, "X-Model", c->route.target.public_id);
}

void attempts_add_head(const struct attempts *a, struct buf *head)
{
	if (a->answered)
		attempts_add_who(a->answered, head);
	if (a->count)
		attempts_add_list(a->list, a->count, head);
}
