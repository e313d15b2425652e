#include "gateway/attempts_inside.h"

/* The next event's data; ptr NULL: there is none. */
static struct slice take_event(struct slice *events)
{
	while (events->len) {
		struct slice line = slice_cut(events, '\n');

		if (slice_starts(line, "data: {"))
			return slice_from(line, 6);
	}
	return (struct slice){ NULL, 0 };
}

/* Who said it, as the events have it: provider and model. */
static const struct candidate *find_who(const struct attempts *a, struct slice chunk)
{
	struct json_value object = { JSON_OBJECT, chunk };
	struct json_value provider = json_get(object, "provider"),
			  model = json_get(object, "model");

	for (size_t i = 0; i < a->plan->count; i++) {
		const struct target *t = &a->plan->at[i].route.target;

		if (provider.kind == JSON_STRING && json_str_is(provider.raw, t->slug) &&
			model.kind == JSON_STRING && json_str_is(model.raw, t->public_id))
			return &a->plan->at[i];
	}
	return NULL;
}

/* The answer goes on under the name that the client knows it by. */
static void take_name(struct run *r, struct slice chunk)
{
	struct json_value object = { JSON_OBJECT, chunk };
	struct json_value id = json_get(object, "id");

	if (id.kind != JSON_STRING || !json_str_copy(id, r->client.id, sizeof(r->client.id)))
		r->client.id[0] = '\0';
	if (!json_int(json_get(object, "created"), &r->client.created))
		r->client.created = 0;
}

void attempts_take_spoken(struct run *r, struct err *e)
{
	struct attempts *a = r->a;
	struct slice events = a->spoken, chunk = take_event(&events);

	a->answered = chunk.ptr ? find_who(a, chunk) : NULL;
	if (chunk.ptr)
		take_name(r, chunk);
	for (; chunk.ptr; chunk = take_event(&events))
		said_note(&r->said, chunk);
	r->spoken = true;
	/* Somebody else asked for it, and pays. */
	a->res.usage = (struct usage){ .state = USAGE_PARTIAL,
		.completion_tokens = (int64_t)((said_text_bytes(r->said) + 3) / 4) };
	(void)!err_set(e, ERR_UPSTREAM_CLOSED,
		"the identical request whose answer this one shared has ended before its last "
		"event");
}
