#include "gateway/providers/embed.h"

#include "base/base64.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/post.h"
#include "gateway/providers/refusal.h"

#include <math.h>
#include <stdlib.h>

/* ---- requests ---- */

/* A request on its way out. */
struct outgoing {
	const struct chat_req *req;
	const struct target *t;
	struct json_value body, input, dimensions, input_type;
	struct buf *out;
};

struct shape {
	const char *path;    /* ends so */
	int64_t max;         /* texts at one time */
	bool knows_tokens;   /* takes inputs that are tokens already */
	bool has_dimensions; /* the size of the vectors can be chosen */
	void (*write)(const struct outgoing *o);
};

/* Calls write for each text; input may be a single one. */
static void each_text(
	const struct outgoing *o, void (*write)(const struct outgoing *o, struct slice text))
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	bool first = true;

	buf_char(o->out, '[');
	if (o->input.kind == JSON_STRING)
		write(o, o->input.raw);
	json_iter_init(&it, o->input);
	for (; o->input.kind == JSON_ARRAY && json_iter_next(&it, &none, &v); first = false) {
		if (!first)
			buf_char(o->out, ',');
		write(o, v.raw);
	}
	buf_char(o->out, ']');
}

static void write_text(const struct outgoing *o, struct slice text)
{
	buf_slice_append(o->out, text);
}

static bool is_set(struct json_value v)
{
	return v.kind > JSON_NULL;
}

static void write_openai(const struct outgoing *o)
{
	static const char *const known[] = { "input", "dimensions", "input_type", "output_dtype",
		"output_dimension", NULL };
	const struct quirks *q = o->t->quirks;
	struct json_iter it;
	struct json_value v;
	struct slice key;
	char name[64];

	buf_str(o->out, "{\"model\":");
	buf_json_cstr(o->out, o->t->native_id);
	json_iter_init(&it, o->body);
	while (json_iter_next(&it, &key, &v)) {
		if (!is_set(v) || json_str_is(key, "model") || json_str_is(key, "user") ||
			!json_str_copy((struct json_value){ JSON_STRING, key }, name, sizeof(name)))
			continue;
		/* Who is strict about members may not know this one; floats are always right. */
		if (strcmp(name, "encoding_format") == 0 ? q->strict
							 : !quirks_has(known, slice_of(name)) &&
								   quirks_drops(q, slice_of(name)))
			continue;
		buf_char(o->out, ',');
		buf_json_str(o->out, quirks_name(q, slice_of(name)));
		buf_char(o->out, ':');
		buf_slice_append(o->out, v.raw);
	}
	buf_char(o->out, '}');
}

/* gemini.md section 1: each text is a request of its own, in one batch. */
static void write_gemini_text(const struct outgoing *o, struct slice text)
{
	static const struct {
		const char *type, *task;
	} tasks[] = {
		{ "search_document", "RETRIEVAL_DOCUMENT" },
		{ "search_query", "RETRIEVAL_QUERY" },
		{ "classification", "CLASSIFICATION" },
		{ "clustering", "CLUSTERING" },
	};

	buf_str(o->out, "{\"model\":\"");
	buf_str(o->out, strchr(o->t->native_id, '/') ? "" : "models/");
	buf_str(o->out, o->t->native_id); /* holds nothing that JSON would escape */
	buf_str(o->out, "\",\"content\":{\"parts\":[{\"text\":");
	buf_slice_append(o->out, text);
	buf_str(o->out, "}]}");
	for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++)
		if (json_str_is(o->input_type.raw, tasks[i].type))
			buf_printf(o->out, ",\"taskType\":\"%s\"", tasks[i].task);
	if (is_set(o->dimensions)) {
		buf_str(o->out, ",\"outputDimensionality\":");
		buf_slice_append(o->out, o->dimensions.raw);
	}
	buf_char(o->out, '}');
}

static void write_gemini(const struct outgoing *o)
{
	buf_str(o->out, "{\"requests\":");
	each_text(o, write_gemini_text);
	buf_char(o->out, '}');
}

/* providers.md section 8: input_type must be said. */
static void write_cohere(const struct outgoing *o)
{
	buf_str(o->out, "{\"model\":");
	buf_json_cstr(o->out, o->t->native_id);
	buf_str(o->out, ",\"texts\":");
	each_text(o, write_text);
	buf_str(o->out, ",\"input_type\":");
	buf_slice_append(o->out, o->input_type.kind == JSON_STRING ? o->input_type.raw
								   : SLICE("\"search_document\""));
	buf_str(o->out, ",\"embedding_types\":[\"float\"]");
	if (is_set(o->dimensions)) {
		buf_str(o->out, ",\"output_dimension\":");
		buf_slice_append(o->out, o->dimensions.raw);
	}
	buf_char(o->out, '}');
}

static void write_features(const struct outgoing *o)
{
	buf_str(o->out, "{\"inputs\":");
	each_text(o, write_text);
	buf_char(o->out, '}');
}

static const struct shape shapes[] = {
	{ ":batchEmbedContents", 100, false, true, write_gemini },
	{ "/v2/embed", 96, false, true, write_cohere },
	{ "/feature-extraction", EMBED_INPUTS_MAX, false, false, write_features },
	{ "", EMBED_INPUTS_MAX, true, true, write_openai },
};

static enum err_code check(const struct shape *s, const struct outgoing *o, struct err *e)
{
	struct json_value first = json_at(o->input, 0);

	if (o->req->n > s->max)
		return err_param(e, ERR_UNSUPPORTED, "input",
			"input has %lld texts, and %s takes %lld at one time: send them in parts",
			(long long)o->req->n, o->t->slug, (long long)s->max);
	if (!s->knows_tokens && o->input.kind == JSON_ARRAY && first.kind != JSON_STRING)
		return err_param(e, ERR_UNSUPPORTED, "input",
			"%s takes texts, not tokens: send input as strings", o->t->slug);
	if (!s->has_dimensions && is_set(o->dimensions))
		return err_param(e, ERR_UNSUPPORTED, "dimensions",
			"the size of vectors cannot be chosen at %s: leave dimensions out",
			o->t->slug);
	return ERR_OK;
}

static enum err_code encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e)
{
	struct json_value body = { JSON_OBJECT, req->body };
	const struct outgoing o = { .req = req,
		.t = t,
		.body = body,
		.input = req->field[CHAT_MESSAGES].value,
		.dimensions = json_get(body, "dimensions"),
		.input_type = json_get(body, "input_type"),
		.out = &out->body };
	const struct shape *s = shapes;
	enum err_code rc;

	while (!slice_ends(slice_of(t->chat_path), s->path))
		s++;
	rc = check(s, &o, e);
	if (!rc)
		rc = post_begin(t, false,
			req->body.len + (size_t)req->n * (2 * MODEL_ID_MAX) + 4096, out, e);
	if (rc)
		return rc;
	s->write(&o);
	return post_end(out, e);
}

static enum err_code decode_error(
	const struct target *t, int status, struct slice body, struct err *e)
{
	return refusal_of_body(t, status, body, e);
}

/* ---- answers ---- */

static enum err_code invalid(const struct dialect *d, const char *what, struct err *e)
{
	return err_set(e, ERR_UPSTREAM_INVALID, "%s sent %s", d->target->slug, what);
}

/* The list of vectors, wherever it stands. */
static struct json_value list_of(struct json_value tree)
{
	struct json_value v = tree.kind == JSON_ARRAY ? tree : json_get(tree, "data");

	if (v.kind != JSON_ARRAY)
		v = json_get(tree, "embeddings");
	if (v.kind == JSON_OBJECT)
		v = json_get(v, "float");
	return v;
}

/* A vector's element of the list: *place is changed when it says which it is. */
static struct json_value vector_of(struct json_value element, int64_t *place)
{
	struct json_value v = element, index = json_get(element, "index");

	if (element.kind != JSON_OBJECT)
		return v;
	if (index.kind == JSON_NUMBER && !json_int(index, place))
		*place = -1;
	v = json_get(element, "embedding");
	return v.kind ? v : json_get(element, "values");
}

static void take_tokens(struct dialect *d, struct json_value tree)
{
	static const char *const places[][3] = { { "meta", "billed_units", "input_tokens" },
		{ "usageMetadata", "promptTokenCount", NULL },
		{ "prompt_eval_count", NULL, NULL } };
	struct json_value usage = json_get(tree, "usage");
	int64_t n = 0;

	if (usage.kind == JSON_OBJECT) {
		usage_read(usage, d->target->quirks, &d->usage);
		buf_slice_append(&d->usage_json, usage.raw);
		return;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !n; i++) {
		struct json_value v = tree;

		for (size_t k = 0; k < 3 && places[i][k]; k++)
			v = json_get(v, places[i][k]);
		if (!json_int(v, &n) || n < 0 || n > INT32_MAX)
			n = 0;
	}
	if (!n)
		return;
	d->usage.state = USAGE_REPORTED;
	d->usage.prompt_tokens = n;
	buf_printf(&d->usage_json, "{\"prompt_tokens\":%lld,\"total_tokens\":%lld}", (long long)n,
		(long long)n);
}

/* Numbers as the bytes of 32-bit floats, least significant first. false: not numbers, or too
 * large. */
static bool write_base64(struct json_value vector, struct buf *out)
{
	struct buf bytes = { .max_bytes = 4 * vector.raw.len };
	struct json_iter it;
	struct json_value v;
	struct slice none;
	bool good = true;

	json_iter_init(&it, vector);
	while (good && json_iter_next(&it, &none, &v)) {
		/* Behind a number in a list comes something that is none of it. */
		float f = v.kind == JSON_NUMBER ? strtof(v.raw.ptr, NULL) : INFINITY;
		uint32_t bits;

		good = isfinite(f);
		memcpy(&bits, &f, sizeof(bits));
		for (unsigned i = 0; i < 4; i++)
			buf_char(&bytes, (char)(bits >> (8 * i) & 0xff));
	}
	buf_char(out, '"');
	base64_write(buf_slice(&bytes), out);
	buf_char(out, '"');
	good = good && buf_ok(&bytes);
	buf_fini(&bytes);
	return good;
}

/* And backwards. */
static bool write_numbers(struct json_value text, struct buf *out)
{
	struct buf coded = { .max_bytes = text.raw.len }, bytes = { .max_bytes = text.raw.len };
	bool good = json_str_decode(text, &coded) && base64_read(buf_slice(&coded), &bytes) &&
		    bytes.len % 4 == 0;

	buf_char(out, '[');
	for (size_t at = 0; good && at < bytes.len; at += 4) {
		uint32_t bits = 0;
		float f;

		for (unsigned i = 0; i < 4; i++)
			bits |= (uint32_t)(uint8_t)bytes.data[at + i] << (8 * i);
		memcpy(&f, &bits, sizeof(f));
		good = isfinite(f);
		buf_printf(out, at ? ",%.9g" : "%.9g", (double)f);
	}
	buf_char(out, ']');
	buf_fini(&coded);
	buf_fini(&bytes);
	return good;
}

static bool write_vector(struct json_value v, bool base64, struct buf *out)
{
	if (v.kind == JSON_STRING && !base64)
		return write_numbers(v, out);
	if (v.kind == JSON_ARRAY && base64)
		return write_base64(v, out);
	buf_slice_append(out, v.raw);
	return true;
}

/* Sorts the list into places: one vector for each input, none twice. */
static enum err_code sort(
	const struct dialect *d, struct json_value list, struct json_value *places, struct err *e)
{
	int64_t n = d->req->n, count = 0, place;
	struct json_value element, v;
	struct json_iter it;
	struct slice none;

	json_iter_init(&it, list);
	for (; json_iter_next(&it, &none, &element); count++) {
		place = count;
		v = vector_of(element, &place);
		if (place < 0 || place >= n || places[place].kind)
			return invalid(d, "embeddings whose order cannot be told", e);
		if (v.kind != JSON_STRING &&
			(v.kind != JSON_ARRAY || json_at(v, 0).kind != JSON_NUMBER))
			return invalid(d, "an embedding that is no vector of numbers", e);
		places[place] = v;
	}
	if (count != n)
		return err_set(e, ERR_UPSTREAM_INVALID, "%s sent %lld embeddings for %lld inputs",
			d->target->slug, (long long)count, (long long)n);
	return ERR_OK;
}

static enum err_code write_list(
	const struct dialect *d, const struct json_value *places, struct answer *out, struct err *e)
{
	struct json_value tree = { JSON_OBJECT, d->req->body };
	bool base64 = json_str_is(json_get(tree, "encoding_format").raw, "base64");

	buf_str(&out->json, "{\"object\":\"list\",\"data\":[");
	for (int64_t i = 0; i < d->req->n; i++) {
		buf_printf(&out->json,
			"%s{\"object\":\"embedding\",\"index\":%lld,\"embedding\":", i ? "," : "",
			(long long)i);
		if (!write_vector(places[i], base64, &out->json))
			return invalid(d, "an embedding that is no vector of numbers", e);
		buf_char(&out->json, '}');
	}
	buf_str(&out->json, "],\"model\":");
	buf_json_cstr(&out->json, d->target->public_id);
	buf_char(&out->json, '}');
	return buf_ok(&out->json) ? ERR_OK : err_set(e, ERR_NO_MEMORY, "the answer does not fit");
}

static enum err_code decode(struct dialect *d, struct slice content_type, struct slice body,
	int64_t now_s, struct answer *out, struct err *e)
{
	struct json_value tree = { JSON_ABSENT, slice_trim(body) }, error, *places;
	enum err_code rc = json_validate(tree.raw, &tongue_limits, &tree.kind, NULL);

	(void)content_type;
	(void)now_s;
	if (rc)
		return invalid(d, "an answer that is not JSON", e);
	error = json_get(tree, "error");
	if (json_is_truthy(error))
		return refusal_of_tree(d->target, tree, error, e);
	places = calloc((size_t)d->req->n, sizeof(*places));
	if (!places)
		return err_set(e, ERR_NO_MEMORY, "no memory for the embeddings");
	/* Short numbers become longer when their bits are written out. */
	out->json.max_bytes = 8 * body.len + (size_t)d->req->n * 64 + 4096;
	rc = sort(d, list_of(tree), places, e);
	if (!rc)
		rc = write_list(d, places, out, e);
	free(places);
	if (rc)
		return rc;
	take_tokens(d, tree);
	out->usage = d->usage;
	return ERR_OK;
}

const struct provider provider_embed = {
	.name = "embed",
	.encode = encode,
	.decode = decode,
	.decode_error = decode_error,
};
