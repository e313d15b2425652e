#include "gateway/byok_names.h"

#include "base/crypto.h"

#define KEY_MIN 8 /* characters of a plain key: less is a mistake */
#define KEY_MAX 4096

#define NATIVE(id, name, slug) \
	{ \
		id, name, slug, BYOK_NATIVE, BYOK_TEXT \
	}
#define NATIVE_AS(id, name, slug, shape) \
	{ \
		id, name, slug, BYOK_NATIVE, shape \
	}
#define PLAN(id, name, slug) \
	{ \
		id, name, slug, BYOK_PLAN, BYOK_TEXT \
	}

/* A slug that the catalogue lacks is one that the operator can add with GATEWAY_PROVIDERS. */
static const struct byok_name names[] = {
	NATIVE("anthropic", "Anthropic", "anthropic"),
	NATIVE("openai", "OpenAI", "openai"),
	NATIVE("google", "Google AI Studio", "google"),
	NATIVE("minimax", "MiniMax", "minimax"),
	NATIVE("mistral", "Mistral", "mistral"),
	NATIVE("xai", "xAI", "xai"),
	NATIVE("zai", "Z.AI", "zai"),
	NATIVE("codestral", "Codestral", "codestral"),
	NATIVE_AS("bedrock", "Amazon Bedrock", "bedrock", BYOK_BEDROCK),
	NATIVE("inception", "Inception", "inception"),
	NATIVE("deepseek", "DeepSeek", "deepseek"),
	NATIVE("fireworks", "Fireworks", "fireworks"),
	NATIVE("moonshotai", "Moonshot AI", "moonshot"),
	NATIVE("novita", "Novita", "novita"),
	NATIVE("perplexity", "Perplexity", "perplexity"),
	NATIVE("xiaomi", "Xiaomi", "xiaomi"),
	NATIVE_AS("azure", "Azure OpenAI", "azure", BYOK_AZURE),
	NATIVE_AS("vertex", "Google Vertex AI", "vertex", BYOK_VERTEX),
	NATIVE("nebius", "Nebius", "nebius"),
	PLAN("alibaba-token-plan", "Alibaba token plan", "alibaba-token-plan"),
	PLAN("byteplus-coding", "BytePlus coding plan", "byteplus-coding"),
	PLAN("chutes-byok", "Chutes", "chutes"),
	PLAN("crofai", "CrofAI", "crofai"),
	PLAN("edenai", "Eden AI", "edenai"),
	PLAN("inceptron-byok", "Inceptron", "inceptron-byok"),
	PLAN("kimi-coding", "Kimi coding plan", "kimi-coding"),
	PLAN("martian", "Martian", "martian"),
	PLAN("minimax-coding-plan", "MiniMax coding plan", "minimax"),
	PLAN("morph-byok", "Morph", "morph-byok"),
	PLAN("neuralwatt", "Neuralwatt", "neuralwatt"),
	PLAN("nvidia-byok", "NVIDIA", "nvidia"),
	PLAN("ollama-cloud", "Ollama Cloud", "ollama-cloud"),
	PLAN("opencode-go", "OpenCode Go", "opencode-go"),
	PLAN("orcarouter", "OrcaRouter", "orcarouter"),
	PLAN("synthetic", "Synthetic", "synthetic"),
	PLAN("xiaomi-token-plan-ams", "Xiaomi token plan (Amsterdam)", "xiaomi-token-plan-ams"),
	PLAN("xiaomi-token-plan-sgp", "Xiaomi token plan (Singapore)", "xiaomi-token-plan-sgp"),
	PLAN("zai-coding", "Z.AI coding plan", "zai-coding"),
	{ "openrouter-byok", "OpenRouter", "openrouter", BYOK_ROUTER, BYOK_TEXT },
	{ "vercel-ai-gateway", "Vercel AI Gateway", "vercel", BYOK_ROUTER, BYOK_TEXT },
};

#define NAMES (sizeof(names) / sizeof(names[0]))

const struct byok_name *byok_name_at(size_t i)
{
	return i < NAMES ? &names[i] : NULL;
}

const struct byok_name *byok_name_find(struct slice id)
{
	for (size_t i = 0; i < NAMES; i++)
		if (slice_is_nocase(id, names[i].id))
			return &names[i];
	return NULL;
}

enum err_code byok_name_read(struct slice id, const struct byok_name **out, struct err *e)
{
	struct buf all = { .max_bytes = 1024 };
	enum err_code rc;

	*out = byok_name_find(slice_trim(id));
	if (*out)
		return ERR_OK;
	/* Every id has to fit into a message, the wrong one cut short. */
	for (size_t i = 0; i < NAMES; i++)
		buf_printf(&all, "%s%s", i ? " " : "", names[i].id);
	rc = err_param(e, ERR_BAD_REQUEST, "provider_id", "no provider \"%.*s\"; known: %.*s",
		(int)(id.len > 24 ? 24 : id.len), id.ptr, SLICE_ARG(buf_slice(&all)));
	buf_fini(&all);
	return rc;
}

/* ---- secrets ---- */

static enum err_code wrong(struct err *e, const struct byok_name *n, const char *what)
{
	return err_param(e, ERR_BAD_REQUEST, "api_key", "the key for %s %s", n->id, what);
}

/* It is sent in a header: nothing may end one. */
static bool is_printable(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f)
			return false;
	return true;
}

static enum err_code check_text(const struct byok_name *n, struct slice secret, struct err *e)
{
	if (secret.len < KEY_MIN || secret.len > KEY_MAX)
		return err_param(e, ERR_BAD_REQUEST, "api_key",
			"the key for %s has %d to %d characters, this one has %zu", n->id, KEY_MIN,
			KEY_MAX, secret.len);
	if (!is_printable(secret))
		return wrong(e, n, "has printable ASCII without blanks only");
	return ERR_OK;
}

/* Is it a text that is fit for a header or an address? */
static bool is_word(struct json_value v)
{
	char word[KEY_MAX];
	bool fits = json_str_copy(v, word, sizeof(word)) && word[0] && is_printable(slice_of(word));

	crypto_wipe(word, sizeof(word));
	return fits;
}

/* A part of a host's name: the caller must not choose another host by it. */
static bool is_label(struct json_value v)
{
	char word[64];
	size_t n;

	if (!json_str_copy(v, word, sizeof(word)))
		return false;
	n = strlen(word);
	return n && strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && word[0] != '-' &&
	       word[n - 1] != '-';
}

static enum err_code check_object(const struct byok_name *n, struct slice secret, struct err *e)
{
	const struct json_limits limits = { .max_depth = 8, .max_keys = 256 };
	struct json_value o = { JSON_OBJECT, secret }, credentials;

	if (json_scan(secret, &limits, NULL, 0, NULL))
		return wrong(e, n,
			n->shape == BYOK_BEDROCK ? "is JSON: {\"accessKeyId\",\"secretAccessKey\","
						   "\"region\"}"
			: n->shape == BYOK_AZURE ? "is JSON: {\"apiKey\",\"resourceName\"}"
						 : "is JSON: {\"project\",\"location\","
						   "\"googleCredentials\":{\"privateKey\","
						   "\"clientEmail\"}}");
	switch (n->shape) {
	case BYOK_BEDROCK:
		if (!is_word(json_get(o, "accessKeyId")))
			return wrong(e, n, "lacks accessKeyId");
		if (!is_word(json_get(o, "secretAccessKey")))
			return wrong(e, n, "lacks secretAccessKey");
		if (!is_label(json_get(o, "region")))
			return wrong(e, n, "lacks region, such as us-east-1");
		return ERR_OK;
	case BYOK_AZURE:
		if (!is_word(json_get(o, "apiKey")))
			return wrong(e, n, "lacks apiKey");
		if (!is_label(json_get(o, "resourceName")))
			return wrong(e, n, "lacks resourceName: letters in lower case, digits, -");
		if (json_get(o, "modelMappings").kind > JSON_NULL &&
			json_get(o, "modelMappings").kind != JSON_OBJECT &&
			json_get(o, "modelMappings").kind != JSON_ARRAY)
			return wrong(e, n, "has modelMappings that are no object");
		return ERR_OK;
	default:
		break;
	}
	credentials = json_get(o, "googleCredentials");
	if (!is_label(json_get(o, "project")))
		return wrong(e, n, "lacks project");
	if (!is_label(json_get(o, "location")))
		return wrong(e, n, "lacks location, such as europe-west4 or global");
	if (!json_str_bytes(json_get(credentials, "privateKey")))
		return wrong(e, n, "lacks googleCredentials.privateKey");
	if (!is_word(json_get(credentials, "clientEmail")))
		return wrong(e, n, "lacks googleCredentials.clientEmail");
	return ERR_OK;
}

enum err_code byok_name_check(const struct byok_name *n, struct slice secret, struct err *e)
{
	return n->shape == BYOK_TEXT ? check_text(n, secret, e) : check_object(n, secret, e);
}

/* ---- models ---- */

/* Authors whose name is not the key's id. */
static const struct byok_name *by_author(struct slice author)
{
	static const char *const rows[][2] = { { "mistralai", "mistral" }, { "x-ai", "xai" },
		{ "z-ai", "zai" } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (slice_is_nocase(author, rows[i][0]))
			return byok_name_find(slice_of(rows[i][1]));
	return byok_name_find(author);
}

static const struct byok_name *by_slug(const char *slug)
{
	for (size_t i = 0; i < NAMES; i++)
		if (names[i].kind == BYOK_NATIVE && strcmp(names[i].slug, slug) == 0)
			return &names[i];
	return NULL;
}

static size_t add(struct byok_candidate *out, size_t n, const struct byok_name *name,
	const char *model, bool is_native)
{
	if (name)
		out[n++] = (struct byok_candidate){ name, model, is_native };
	return n;
}

size_t byok_name_candidates(
	const struct catalog *c, const char *model, struct byok_candidate out[BYOK_CANDIDATES])
{
	struct slice id = slice_trim(slice_of(model)), rest, author;
	const struct catalog_provider *maker;
	const struct catalog_model *m;
	const struct byok_name *name;
	size_t n = 0;

	if (slice_starts_nocase(id, "kilocode/"))
		id = slice_from(id, strlen("kilocode/"));
	rest = id;
	author = slice_cut(&rest, '/');
	name = rest.len ? by_author(author) : NULL;
	if (name && name->kind != BYOK_NATIVE)
		return add(out, 0, name, rest.ptr, true);
	m = catalog_model_find(c, id);
	if ((m && m->free) || slice_ends(id, ":free"))
		return 0;
	if (slice_starts_nocase(id, "mistralai/codestral"))
		n = add(out, n, byok_name_find(SLICE("codestral")), id.ptr, false);
	if (!name) {
		maker = route_maker(c, id);
		name = maker ? by_slug(maker->slug) : NULL;
	}
	/* Open weights that OpenAI publishes and does not serve. */
	if (!slice_starts_nocase(id, "openai/gpt-oss"))
		n = add(out, n, name, id.ptr, false);
	if (rest.len)
		for (size_t i = 0; i < NAMES; i++)
			if (names[i].kind == BYOK_ROUTER)
				n = add(out, n, &names[i], id.ptr, true);
	return n;
}
