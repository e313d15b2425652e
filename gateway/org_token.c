#include "gateway/org_token.h"

#include "base/crypto.h"
#include "store/pepper.h"

struct deployment {
	uint8_t secret[SHA256_BYTES];
	char env[33];
};

static enum err_code find_deployment(struct keys *keys, struct deployment *d, struct err *e)
{
	uint8_t pepper[PEPPER_BYTES], name[SHA256_BYTES];
	struct slice key = { (const char *)pepper, sizeof(pepper) };
	enum err_code rc = pepper_read(people_file_home(keys_people(keys)), pepper, e);

	if (rc)
		return rc;
	crypto_hmac_sha256(key, SLICE("tollgate organisation token 1"), d->secret);
	crypto_hmac_sha256(key, SLICE("tollgate deployment 1"), name);
	crypto_hex(name, 16, d->env);
	crypto_wipe(pepper, sizeof(pepper));
	return ERR_OK;
}

enum err_code org_token_make(struct keys *keys, const struct identity *who, int64_t now_ms,
	struct buf *out, int64_t *expires_ms, struct err *e)
{
	struct token t = { .issued_s = now_ms / 1000 };
	struct deployment d;
	enum err_code rc = find_deployment(keys, &d, e);

	if (rc)
		return rc;
	t.expires_s = t.issued_s + TOKEN_ORG_S;
	str_copy_cut(t.env, sizeof(t.env), d.env);
	str_copy_cut(t.user, sizeof(t.user), who->user.id);
	str_copy_cut(t.pepper, sizeof(t.pepper), who->key->id);
	str_copy_cut(t.org, sizeof(t.org), who->org->id);
	str_copy_cut(t.role, sizeof(t.role), people_role_name(who->role));
	*expires_ms = t.expires_s * 1000;
	rc = token_make(&t, (struct slice){ (const char *)d.secret, sizeof(d.secret) }, out, e);
	crypto_wipe(&d, sizeof(d));
	return rc;
}

static enum err_code refuse(struct err *e, const char *why)
{
	enum err_code rc = err_set(e, ERR_UNAUTHENTICATED, "%s", why);

	if (e)
		str_copy_cut(e->reason, sizeof(e->reason), "INVALID_TOKEN");
	return rc;
}

enum err_code org_token_check(struct keys *keys, struct slice text, int64_t now_ms,
	struct key_info *key, char org[PEOPLE_ORG_ID_SIZE], struct err *e)
{
	enum token_verdict verdict;
	struct deployment d;
	struct token t;
	enum err_code rc = find_deployment(keys, &d, e);

	if (rc == ERR_NOT_FOUND) /* no key was ever made here, and so no token */
		return refuse(e, token_verdict_text(TOKEN_FOREIGN));
	if (rc)
		return rc;
	verdict = token_read(text, (struct slice){ (const char *)d.secret, sizeof(d.secret) },
		d.env, now_ms / 1000, &t);
	crypto_wipe(&d, sizeof(d));
	if (verdict != TOKEN_VALID)
		return refuse(e, token_verdict_text(verdict));
	if (!t.org[0] || !slice_copy(slice_of(t.org), org, PEOPLE_ORG_ID_SIZE))
		return refuse(e, token_verdict_text(TOKEN_MALFORMED));
	rc = keys_get(keys, t.pepper, key, e);
	if (rc == ERR_STORE || rc == ERR_NO_MEMORY)
		return rc;
	/* keys_get takes names too, and a name may be spelt like the id of a key that is gone. */
	if (rc || strcmp(key->id, t.pepper) != 0 ||
		(key->revoked_ms && key->revoked_ms <= now_ms) ||
		(key->expires_ms && key->expires_ms <= now_ms))
		return refuse(
			e, "the key that this token was made with has been revoked or has expired");
	return ERR_OK;
}
