#include "gateway/policy.h"

#include "gateway/selftest.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* entry is in lower case already. */
static bool is_entry(struct slice entry, struct slice text)
{
	if (entry.len != text.len)
		return false;
	for (size_t i = 0; i < entry.len; i++)
		if (entry.ptr[i] != lower(text.ptr[i]))
			return false;
	return true;
}

static bool matches(struct slice entry, struct slice id)
{
	struct slice rest = id, prefix;

	if (!slice_ends(entry, "/*"))
		return is_entry(entry, id);
	prefix = slice_cut(&rest, '/');
	return rest.ptr && is_entry(slice_first(entry, entry.len - 2), prefix);
}

bool policy_list_allows(const char *list, struct slice model)
{
	struct slice rest = slice_of(list), variant = slice_trim(model);
	struct slice id = slice_cut(&variant, ':');

	if (!rest.len)
		return true;
	while (rest.len)
		if (matches(slice_cut(&rest, ','), id))
			return true;
	return false;
}

static bool has(const char *list, struct slice entry)
{
	struct slice rest = slice_of(list);

	while (rest.len)
		if (is_entry(slice_cut(&rest, ','), entry))
			return true;
	return false;
}

enum err_code policy_model(const struct identity *who, struct slice model, struct err *e)
{
	if (slice_starts_nocase(slice_trim(model), SELFTEST_AUTHOR) &&
		!(who->key && who->key->models[0]))
		return err_param(e, ERR_FORBIDDEN, "model",
			"the models of a self-test are for its own key only");
	if (who->key && !policy_list_allows(who->key->models, model))
		return err_param(e, ERR_FORBIDDEN, "model",
			"this API key may not use the model %.*s: choose one that it may use, or "
			"ask the operator for it",
			(int)(model.len > 128 ? 128 : model.len), model.ptr);
	if (who->org && !policy_list_allows(who->org->models, model))
		return err_param(e, ERR_FORBIDDEN, "model",
			"the organisation %s does not allow the model %.*s: choose one that it "
			"allows, or ask an owner for it",
			who->org->slug, (int)(model.len > 128 ? 128 : model.len), model.ptr);
	return ERR_OK;
}

bool policy_provider_is_allowed(const struct identity *who, struct slice provider)
{
	return !who->org ||
	       (!has(who->org->providers_denied, provider) &&
		       (!who->org->providers[0] || has(who->org->providers, provider)));
}

enum err_code policy_provider(const struct identity *who, struct slice provider, struct err *e)
{
	if (policy_provider_is_allowed(who, provider))
		return ERR_OK;
	return err_param(e, ERR_PROVIDER_DENIED, "provider",
		"the organisation %s does not allow the provider %.*s: choose a model of another "
		"one, or ask an owner to enable it",
		who->org->slug, (int)(provider.len > 64 ? 64 : provider.len), provider.ptr);
}

enum err_code policy_may_spend(const struct identity *who, struct err *e)
{
	enum err_code rc;

	if (!who->org || who->role == PEOPLE_OWNER || who->role == PEOPLE_MEMBER)
		return ERR_OK;
	rc = err_set(e, ERR_ACCESS_DENIED,
		"a billing manager of the organisation %s administers it and may not spend: use "
		"a free model, or ask an owner for another role",
		who->org->slug);
	if (e)
		str_copy_cut(e->reason, sizeof(e->reason), "ROLE_MAY_NOT_SPEND");
	return rc;
}

bool policy_denies_collection(const struct identity *who, bool request_denies)
{
	return request_denies || (who->org && who->org->data_collection == PEOPLE_DATA_DENY);
}

enum err_code policy_collection(
	const struct identity *who, bool request_denies, bool collects, struct err *e)
{
	if (!collects || !policy_denies_collection(who, request_denies))
		return ERR_OK;
	return err_param(e, ERR_DATA_COLLECTION, "provider.data_collection",
		"this model is served by who may keep prompts, which %s not allow: choose another "
		"model%s",
		request_denies ? "the request does" : "the organisation does",
		request_denies ? ", or allow data collection" : "");
}
