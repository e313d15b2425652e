#include "gateway/plan_inside.h"

#include <stdlib.h>

/* How many parts a text has between these, empty ones included. */
static size_t parts(struct slice text, char between)
{
	size_t n = 1;

	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == between;
	return n;
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the settings of routing");
}

/* ---- weights ---- */

static enum err_code bad_weights(struct err *e)
{
	return err_param(e, ERR_CONF, "GATEWAY_WEIGHTS",
		"GATEWAY_WEIGHTS: expected a whole number from 0 to %d for each name in "
		"GATEWAY_PROVIDERS, one of them above 0",
		PLAN_WEIGHT_MAX);
}

/* The next entry of a list that is not empty; false at the end. */
static bool next(struct slice *rest, struct slice *entry)
{
	while (rest->ptr) {
		*entry = slice_trim(slice_cut(rest, ','));
		if (entry->len)
			return true;
	}
	return false;
}

static enum err_code read_weights(struct plan_conf *c, const struct conf *conf, struct err *e)
{
	struct slice weights = slice_of(conf_str(conf, CONF_WEIGHTS)), weight;
	struct slice names = slice_of(conf_str(conf, CONF_PROVIDERS)), name;
	int64_t all = 0;

	if (!slice_trim(weights).len)
		return ERR_OK;
	c->shares = calloc(parts(names, ','), sizeof(*c->shares));
	if (!c->shares)
		return no_memory(e);
	while (next(&names, &name)) {
		struct plan_share *s = &c->shares[c->share_count++];

		s->slug = name;
		if (!next(&weights, &weight) || !str_int(weight, 0, PLAN_WEIGHT_MAX, &s->weight))
			return bad_weights(e);
		all += s->weight;
	}
	return next(&weights, &weight) || !all ? bad_weights(e) : ERR_OK;
}

/* ---- fallbacks ---- */

static enum err_code bad_chain(struct slice text, const char *what, struct err *e)
{
	return err_param(e, ERR_CONF, "GATEWAY_FALLBACKS",
		"GATEWAY_FALLBACKS: \"%.*s\" %s; expected model=model2,model3",
		(int)(text.len > 80 ? 80 : text.len), text.ptr, what);
}

static enum err_code read_chain(struct plan_chain *chain, struct slice text, struct err *e)
{
	struct slice rest = text, model;

	chain->of = slice_trim(slice_cut(&rest, '='));
	if (!rest.ptr || !chain->of.len)
		return bad_chain(text, "names no model that it is for", e);
	while (next(&rest, &model)) {
		if (chain->count == WISHES_MODELS)
			return bad_chain(text, "has more than 8 models", e);
		if (model.len >= MODEL_ID_MAX || chain->of.len >= MODEL_ID_MAX)
			return bad_chain(text, "has a name that is too long", e);
		chain->models[chain->count++] = model;
	}
	return chain->count ? ERR_OK : bad_chain(text, "names no model to try", e);
}

static enum err_code read_chains(struct plan_conf *c, const struct conf *conf, struct err *e)
{
	struct slice rest = slice_of(conf_str(conf, CONF_FALLBACKS));
	enum err_code rc = ERR_OK;

	if (!slice_trim(rest).len)
		return ERR_OK;
	c->chains = calloc(parts(rest, ';'), sizeof(*c->chains));
	if (!c->chains)
		return no_memory(e);
	while (!rc && rest.ptr) {
		struct slice text = slice_trim(slice_cut(&rest, ';'));

		if (text.len)
			rc = read_chain(&c->chains[c->chain_count++], text, e);
	}
	return rc;
}

static bool same(struct slice a, struct slice b)
{
	return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static struct slice without_author(const char *id)
{
	const char *slash = strchr(id, '/');

	return slice_of(slash ? slash + 1 : id);
}

const struct plan_chain *plan_conf_chain(
	const struct plan_conf *c, struct slice id, const struct catalog_model *m)
{
	id = slice_trim(id);
	if (slice_starts_nocase(id, "kilocode/"))
		id = slice_from(id, strlen("kilocode/"));
	for (size_t i = 0; i < c->chain_count; i++) {
		struct slice of = c->chains[i].of;

		if (same(of, id) ||
			(m && (slice_is_nocase(of, m->id) || same(of, without_author(m->id)) ||
				      (!m->free && slice_is_nocase(of, m->native_id)))))
			return &c->chains[i];
	}
	return NULL;
}

/* ---- all of it ---- */

enum err_code plan_conf_load(const struct conf *conf, struct plan_conf **out, struct err *e)
{
	struct plan_conf *c = calloc(1, sizeof(*c));
	enum err_code rc;

	*out = NULL;
	if (!c)
		return no_memory(e);
	c->strategy = (enum conf_strategy)conf_int(conf, CONF_STRATEGY);
	c->sticky = conf_int(conf, CONF_STICKY) == 1;
	rc = read_weights(c, conf, e);
	if (!rc)
		rc = read_chains(c, conf, e);
	if (rc)
		plan_conf_fini(c);
	else
		*out = c;
	return rc;
}

void plan_conf_fini(struct plan_conf *c)
{
	if (!c)
		return;
	free(c->shares);
	free(c->chains);
	free(c);
}

bool plan_is_called(const struct catalog_provider *p, struct slice slug)
{
	if (slice_is_nocase(slug, p->slug))
		return true;
	for (const char *const *a = p->aliases; a && *a; a++)
		if (slice_is_nocase(slug, *a))
			return true;
	return false;
}
