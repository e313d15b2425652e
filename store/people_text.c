#include "store/people_text.h"

#include "base/crypto.h"

#include <stdio.h>

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_alnum(char c)
{
	return is_lower(lower(c)) || is_digit(c);
}

bool people_name_is_valid(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] < 0x20 || name.ptr[i] > 0x7e)
			return false;
	return name.len >= 1 && name.len <= PEOPLE_NAME_MAX && slice_trim(name).len == name.len;
}

bool people_id_is_valid(struct slice id)
{
	for (size_t i = 0; i < id.len; i++)
		if (!is_alnum(id.ptr[i]) && (i == 0 || !id.ptr[i] || !strchr("._@+-", id.ptr[i])))
			return false;
	return id.len >= 1 && id.len <= PEOPLE_ID_MAX && !slice_starts(id, "key_");
}

bool people_slug_is_valid(struct slice slug)
{
	char uuid[PEOPLE_ORG_ID_SIZE];

	for (size_t i = 0; i < slug.len; i++) {
		bool at_end = i == 0 || i == slug.len - 1;

		if (!is_lower(slug.ptr[i]) && !is_digit(slug.ptr[i]) &&
			(at_end || slug.ptr[i] != '-'))
			return false;
	}
	return slug.len >= 1 && slug.len < PEOPLE_SLUG_SIZE && !people_uuid_read(slug, uuid);
}

bool people_uuid_read(struct slice text, char out[PEOPLE_ORG_ID_SIZE])
{
	out[0] = '\0';
	if (text.len != PEOPLE_ORG_ID_SIZE - 1)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
		char c = lower(text.ptr[i]);

		if (is_dash ? c != '-' : !is_digit(c) && !(c >= 'a' && c <= 'f')) {
			out[0] = '\0';
			return false;
		}
		out[i] = c;
	}
	out[text.len] = '\0';
	return true;
}

void people_uuid_make(char out[PEOPLE_ORG_ID_SIZE])
{
	uint8_t b[16];
	char hex[33];

	crypto_random(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	crypto_hex(b, sizeof(b), hex);
	snprintf(out, PEOPLE_ORG_ID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
		hex + 16, hex + 20);
}

uint64_t people_number(struct slice id)
{
	uint8_t hash[SHA256_BYTES];
	uint64_t n;

	crypto_sha256(id, hash);
	memcpy(&n, hash, sizeof(n));
	return n ? n : 1;
}

/* ---- lists ---- */

/* A pattern of 10.1: letters, digits and what ids of models have; '/' inside, a last part of one
 * star. */
static bool is_pattern(struct slice entry)
{
	struct slice body = entry;

	if (slice_ends(entry, "/*"))
		body = slice_first(entry, entry.len - 2);
	if (!body.len || body.ptr[0] == '/' || body.ptr[body.len - 1] == '/')
		return false;
	/* A star stands for all models of one provider, which has no '/' in its name. */
	if (body.len != entry.len && memchr(body.ptr, '/', body.len))
		return false;
	for (size_t i = 0; i < body.len; i++)
		if (!is_alnum(body.ptr[i]) && (!body.ptr[i] || !strchr("/._-+~@", body.ptr[i])))
			return false;
	return true;
}

static bool is_provider(struct slice entry)
{
	for (size_t i = 0; i < entry.len; i++)
		if (!is_alnum(entry.ptr[i]) &&
			(i == 0 || !entry.ptr[i] || !strchr("._-", entry.ptr[i])))
			return false;
	return entry.len > 0;
}

bool people_list_has(const char *list, struct slice entry)
{
	struct slice rest = slice_of(list);

	while (rest.len)
		if (slice_eq(slice_cut(&rest, ','), entry))
			return true;
	return false;
}

static enum err_code read_list(struct slice text, bool (*is_entry)(struct slice), const char *kind,
	const char *param, char *out, size_t max, struct err *e)
{
	struct slice rest = text, item;
	size_t used = 0;

	out[0] = '\0';
	while (rest.len) {
		char *at = out + used + (used > 0);

		item = slice_trim(slice_cut(&rest, ','));
		if (!item.len)
			continue;
		if (!is_entry(item)) {
			out[0] = '\0';
			return err_param(e, ERR_BAD_REQUEST, param, "%s: \"%.*s\" is not %s", param,
				(int)(item.len > 80 ? 80 : item.len), item.ptr, kind);
		}
		if ((size_t)(at - out) + item.len > max) {
			out[0] = '\0';
			return err_param(e, ERR_BAD_REQUEST, param,
				"%s: the list is longer than %zu bytes", param, max);
		}
		for (size_t i = 0; i < item.len; i++)
			at[i] = lower(item.ptr[i]);
		/* The entry lies behind the list's end until the comma joins it. */
		if (used && people_list_has(out, (struct slice){ at, item.len })) {
			out[used] = '\0';
			continue;
		}
		if (used)
			out[used] = ',';
		at[item.len] = '\0';
		used = (size_t)(at - out) + item.len;
	}
	return ERR_OK;
}

enum err_code people_models_read(
	struct slice text, const char *param, char *out, size_t max, struct err *e)
{
	return read_list(text, is_pattern,
		"a model: write provider/model, or provider/* for all of a provider, without a "
		"variant (\":free\")",
		param, out, max, e);
}

enum err_code people_providers_read(
	struct slice text, const char *param, char *out, size_t max, struct err *e)
{
	return read_list(text, is_provider, "the short name of a provider", param, out, max, e);
}
