#include "gateway/token.h"

#include "base/base64.h"
#include "base/crypto.h"
#include "base/json_scan.h"

#define TIME_MAX INT64_C(253402300799) /* the end of the year 9999 */

static const struct json_limits limits = { .max_depth = 1, .max_keys = 16 };

static int64_t lifetime_max(const struct token *t)
{
	return t->org[0] ? TOKEN_ORG_S : TOKEN_USER_S;
}

static bool is_text(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s >= 0x7f)
			return false;
	return true;
}

/* The name of a claim whose value cannot be, or NULL. Making and reading both ask, so neither does
 * what the other refuses. */
static const char *wrong_claim(const struct token *t)
{
	if (!t->env[0] || !is_text(t->env))
		return "env";
	if (!t->user[0] || !is_text(t->user))
		return "kiloUserId";
	if (!is_text(t->pepper))
		return "apiTokenPepper";
	if (!is_text(t->org))
		return "organizationId";
	if (!is_text(t->role) || !t->role[0] != !t->org[0])
		return "organizationRole";
	if (t->issued_s < 0 || t->issued_s > TIME_MAX)
		return "iat";
	if (t->not_before_s < 0 || (t->not_before_s && t->not_before_s >= t->expires_s))
		return "nbf";
	if (t->expires_s > TIME_MAX || t->expires_s <= t->issued_s ||
		t->expires_s - t->issued_s > lifetime_max(t))
		return "exp";
	return NULL;
}

/* ---- making ---- */

static void put_name(struct buf *out, const char *name)
{
	buf_char(out, out->len ? ',' : '{');
	buf_json_cstr(out, name);
	buf_char(out, ':');
}

static void put_text(struct buf *out, const char *name, const char *text)
{
	put_name(out, name);
	buf_json_cstr(out, text);
}

static void put_number(struct buf *out, const char *name, int64_t number)
{
	put_name(out, name);
	buf_int(out, number);
}

static void write_claims(const struct token *t, struct buf *out)
{
	put_text(out, "env", t->env);
	put_text(out, "kiloUserId", t->user);
	put_text(out, "apiTokenPepper", t->pepper[0] ? t->pepper : NULL);
	put_number(out, "version", TOKEN_VERSION);
	if (t->org[0]) {
		put_text(out, "organizationId", t->org);
		put_text(out, "organizationRole", t->role);
	}
	put_number(out, "iat", t->issued_s);
	if (t->not_before_s)
		put_number(out, "nbf", t->not_before_s);
	put_number(out, "exp", t->expires_s);
	buf_char(out, '}');
}

enum err_code token_make(const struct token *t, struct slice secret, struct buf *out, struct err *e)
{
	struct buf claims = { .max_bytes = TOKEN_MAX }, text = { .max_bytes = TOKEN_MAX };
	uint8_t mac[SHA256_BYTES];
	const char *wrong = wrong_claim(t);
	enum err_code rc = ERR_OK;

	if (wrong)
		return err_param(e, ERR_RANGE, wrong, "%s: not what a token can carry", wrong);
	if (secret.len < TOKEN_SECRET_MIN)
		return err_param(e, ERR_RANGE, "secret",
			"the secret of tokens must have %d bytes or more", TOKEN_SECRET_MIN);
	write_claims(t, &claims);
	base64_url_write(SLICE("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), &text);
	buf_char(&text, '.');
	base64_url_write(buf_slice(&claims), &text);
	crypto_hmac_sha256(secret, buf_slice(&text), mac);
	buf_char(&text, '.');
	base64_url_write((struct slice){ (const char *)mac, sizeof(mac) }, &text);
	if (buf_ok(&claims) && buf_ok(&text))
		buf_slice_append(out, buf_slice(&text));
	if (!buf_ok(&claims) || !buf_ok(&text) || !buf_ok(out))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for a token");
	buf_fini(&claims);
	buf_fini(&text);
	return rc;
}

/* ---- reading ---- */

struct parts {
	struct slice header, claims, signature;
	struct slice is_signed; /* header and claims with the dot between */
};

static bool split(struct slice text, struct parts *p)
{
	struct slice left = text;

	p->header = slice_cut(&left, '.');
	p->claims = slice_cut(&left, '.');
	p->signature = left;
	p->is_signed = slice_first(text, p->header.len + 1 + p->claims.len);
	return p->header.len && p->claims.len && p->signature.len &&
	       !memchr(left.ptr, '.', left.len);
}

bool token_is_likely(struct slice text)
{
	struct parts p;

	return split(text, &p);
}

/* Decodes a part and finds the members wanted; *others says whether there are more. False unless
 * it is a flat JSON object without duplicates. */
static bool read_object(
	struct slice part, struct buf *text, struct json_member *want, size_t n, bool *others)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	size_t have = 0;

	if (!base64_url_read(part, text) || json_scan(buf_slice(text), &limits, want, n, NULL))
		return false;
	for (size_t i = 0; i < n; i++)
		have += want[i].value.kind != JSON_ABSENT;
	json_iter_init(&it, (struct json_value){ JSON_OBJECT, slice_trim(buf_slice(text)) });
	while (json_iter_next(&it, &key, &v))
		have--;
	*others = have != 0;
	return true;
}

static bool header_is_ours(struct slice part)
{
	struct json_member want[] = { { .name = "alg" }, { .name = "typ" } };
	struct buf text = { .max_bytes = TOKEN_MAX };
	bool others;
	bool ours = read_object(part, &text, want, 2, &others) && !others &&
		    want[0].value.kind == JSON_STRING && json_str_is(want[0].value.raw, "HS256") &&
		    want[1].value.kind == JSON_STRING && json_str_is(want[1].value.raw, "JWT");

	buf_fini(&text);
	return ours;
}

static bool signature_is_right(const struct parts *p, struct slice secret)
{
	struct buf given = { .max_bytes = TOKEN_MAX };
	uint8_t mac[SHA256_BYTES];
	bool right;

	if (secret.len < TOKEN_SECRET_MIN)
		return false;
	crypto_hmac_sha256(secret, p->is_signed, mac);
	right = base64_url_read(p->signature, &given) && given.len == sizeof(mac) &&
		crypto_equal(given.data, mac, sizeof(mac));
	crypto_wipe(mac, sizeof(mac)); /* it would sign what was just refused */
	buf_fini(&given);
	return right;
}

enum {
	CLAIM_ENV,
	CLAIM_USER,
	CLAIM_PEPPER,
	CLAIM_VERSION,
	CLAIM_ORG,
	CLAIM_ROLE,
	CLAIM_ISSUED,
	CLAIM_NOT_BEFORE,
	CLAIM_EXPIRES,
	CLAIMS
};

/* A text that is there and not empty, or that may be absent. */
static bool read_text(struct json_value v, bool required, char *dst, size_t size)
{
	if (v.kind == JSON_ABSENT)
		return !required;
	return json_str_copy(v, dst, size) && dst[0];
}

static bool read_number(struct json_value v, bool required, int64_t *out)
{
	if (v.kind == JSON_ABSENT)
		return !required;
	return json_int(v, out);
}

static bool read_claims(const struct json_member *c, struct token *t)
{
	const struct json_value *pepper = &c[CLAIM_PEPPER].value;

	return read_text(c[CLAIM_ENV].value, true, t->env, sizeof(t->env)) &&
	       read_text(c[CLAIM_USER].value, true, t->user, sizeof(t->user)) &&
	       (pepper->kind == JSON_NULL ||
		       read_text(*pepper, true, t->pepper, sizeof(t->pepper))) &&
	       read_text(c[CLAIM_ORG].value, false, t->org, sizeof(t->org)) &&
	       read_text(c[CLAIM_ROLE].value, false, t->role, sizeof(t->role)) &&
	       read_number(c[CLAIM_ISSUED].value, true, &t->issued_s) &&
	       read_number(c[CLAIM_NOT_BEFORE].value, false, &t->not_before_s) &&
	       read_number(c[CLAIM_EXPIRES].value, true, &t->expires_s) && !wrong_claim(t);
}

static enum token_verdict judge_times(const struct token *t, int64_t now_s)
{
	int64_t from_s = t->not_before_s > t->issued_s ? t->not_before_s : t->issued_s;

	if (from_s - TOKEN_SKEW_S > now_s)
		return TOKEN_EARLY;
	return t->expires_s + TOKEN_SKEW_S <= now_s ? TOKEN_EXPIRED : TOKEN_VALID;
}

static enum token_verdict judge_claims(
	struct slice part, const char *env, int64_t now_s, struct token *t)
{
	struct json_member c[CLAIMS] = {
		[CLAIM_ENV] = { .name = "env" },
		[CLAIM_USER] = { .name = "kiloUserId" },
		[CLAIM_PEPPER] = { .name = "apiTokenPepper" },
		[CLAIM_VERSION] = { .name = "version" },
		[CLAIM_ORG] = { .name = "organizationId" },
		[CLAIM_ROLE] = { .name = "organizationRole" },
		[CLAIM_ISSUED] = { .name = "iat" },
		[CLAIM_NOT_BEFORE] = { .name = "nbf" },
		[CLAIM_EXPIRES] = { .name = "exp" },
	};
	struct buf text = { .max_bytes = TOKEN_MAX };
	enum token_verdict verdict = TOKEN_MALFORMED;
	int64_t version;
	bool others;

	if (!read_object(part, &text, c, CLAIMS, &others) ||
		!read_number(c[CLAIM_VERSION].value, true, &version))
		goto out;
	/* Another version may have other claims: that is for its own reader to say. */
	if (version != TOKEN_VERSION)
		verdict = TOKEN_OUTDATED;
	else if (others || !read_claims(c, t))
		verdict = TOKEN_MALFORMED;
	else if (strcmp(t->env, env) != 0)
		verdict = TOKEN_FOREIGN;
	else
		verdict = judge_times(t, now_s);
out:
	buf_fini(&text);
	return verdict;
}

enum token_verdict token_read(
	struct slice text, struct slice secret, const char *env, int64_t now_s, struct token *out)
{
	enum token_verdict verdict;
	struct parts p;

	*out = (struct token){ 0 };
	if (text.len > TOKEN_MAX || !split(text, &p) || !header_is_ours(p.header))
		return TOKEN_MALFORMED;
	if (!signature_is_right(&p, secret))
		return TOKEN_FORGED;
	verdict = judge_claims(p.claims, env, now_s, out);
	if (verdict)
		*out = (struct token){ 0 };
	return verdict;
}

const char *token_verdict_text(enum token_verdict verdict)
{
	static const char *const texts[TOKEN_VERDICTS] = {
		[TOKEN_VALID] = "The token is valid",
		[TOKEN_MALFORMED] = "This is not a token of this gateway; ask for one anew",
		[TOKEN_FORGED] = "The token's signature is wrong; ask for a token anew",
		[TOKEN_OUTDATED] = "The token's version is not in use; ask for a token anew",
		[TOKEN_FOREIGN] = "The token belongs to another deployment; ask for one here",
		[TOKEN_EARLY] = "The token is not valid yet; check the clocks",
		[TOKEN_EXPIRED] = "The token has expired; ask for a token anew",
	};

	return texts[verdict];
}

bool token_has_pepper(const struct token *t, const char *current)
{
	size_t n = strlen(current);

	return n == 0 || (n == strlen(t->pepper) && crypto_equal(t->pepper, current, n));
}
