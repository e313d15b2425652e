#include "base/sigv4.h"

#include "base/clock.h"
#include "base/crypto.h"

#define HEX_SIZE (2 * SHA256_BYTES + 1)

/* "20260102T030405Z" and its first eight characters. */
struct stamp {
	char time[17], day[9];
};

static struct stamp stamp_of(int64_t now_ms)
{
	char iso[CLOCK_ISO_SIZE];
	struct stamp s = { "", "" };
	size_t n = 0;

	clock_iso(now_ms, iso);
	for (const char *c = iso; *c && *c != '.' && n < sizeof(s.time) - 2; c++)
		if (*c != '-' && *c != ':')
			s.time[n++] = *c;
	s.time[n] = 'Z';
	memcpy(s.day, s.time, sizeof(s.day) - 1);
	return s;
}

/* Host as curl sends it, without the scheme's own port, and path. */
static void split_url(struct slice url, struct slice *host, struct slice *path)
{
	bool tls = slice_starts_nocase(url, "https://");
	const char *at = memmem(url.ptr, url.len, "://", 3), *slash;
	struct slice rest = at ? slice_from(url, (size_t)(at - url.ptr) + 3) : url;

	slash = memchr(rest.ptr, '/', rest.len);
	*host = slash ? slice_first(rest, (size_t)(slash - rest.ptr)) : rest;
	*path = slash ? slice_from(rest, host->len) : SLICE("/");
	if (slice_ends(*host, tls ? ":443" : ":80"))
		host->len -= tls ? 4 : 3;
}

static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~", c));
}

/* Each segment is encoded again: "%3A" becomes "%253A". */
static void write_path(struct slice path, struct buf *out)
{
	for (size_t i = 0; i < path.len; i++)
		if (is_unreserved(path.ptr[i]) || path.ptr[i] == '/')
			buf_char(out, path.ptr[i]);
		else
			buf_printf(out, "%%%02X", (unsigned char)path.ptr[i]);
}

static void hash_hex(struct slice text, char out[HEX_SIZE])
{
	uint8_t hash[SHA256_BYTES];

	crypto_sha256(text, hash);
	crypto_hex(hash, sizeof(hash), out);
}

static const char *signed_headers(const struct sigv4_keys *keys)
{
	return keys->session_token[0] ? "content-type;host;x-amz-date;x-amz-security-token"
				      : "content-type;host;x-amz-date";
}

static void write_canonical(const struct sigv4_keys *keys, const struct sigv4_request *r,
	const struct stamp *s, struct buf *out)
{
	struct slice host, path;
	char body[HEX_SIZE];

	split_url(r->url, &host, &path);
	hash_hex(r->body, body);
	buf_str(out, "POST\n");
	write_path(path, out);
	buf_str(out, "\n\ncontent-type:"); /* an empty query between them */
	buf_slice_append(out, r->content_type);
	buf_str(out, "\nhost:");
	buf_slice_append(out, host);
	buf_printf(out, "\nx-amz-date:%s\n", s->time);
	if (keys->session_token[0]) {
		buf_str(out, "x-amz-security-token:");
		buf_str(out, keys->session_token);
		buf_char(out, '\n');
	}
	buf_printf(out, "\n%s\n%s", signed_headers(keys), body);
}

static void chain(uint8_t key[SHA256_BYTES], const char *text)
{
	crypto_hmac_sha256((struct slice){ (const char *)key, SHA256_BYTES }, slice_of(text), key);
}

/* The key of a day, a region and a service. */
static void derive(const struct sigv4_keys *keys, const char *service, const struct stamp *s,
	uint8_t key[SHA256_BYTES])
{
	struct buf first = { 0 };

	buf_str(&first, "AWS4");
	buf_str(&first, keys->secret);
	crypto_hmac_sha256(buf_slice(&first), slice_of(s->day), key);
	crypto_wipe(first.data, first.len);
	buf_fini(&first);
	chain(key, keys->region);
	chain(key, service);
	chain(key, "aws4_request");
}

void sigv4_sign(const struct sigv4_keys *keys, const struct sigv4_request *r, int64_t now_ms,
	struct buf *headers)
{
	struct stamp s = stamp_of(now_ms);
	struct buf text = { 0 };
	uint8_t key[SHA256_BYTES], signature[SHA256_BYTES];
	char hash[HEX_SIZE], hex[HEX_SIZE];

	write_canonical(keys, r, &s, &text);
	hash_hex(buf_slice(&text), hash);
	headers->failed |= !buf_ok(&text);
	if (text.data) /* it may hold a session token */
		crypto_wipe(text.data, text.len);
	buf_reset(&text);
	buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", s.time, s.day,
		keys->region, r->service, hash);
	derive(keys, r->service, &s, key);
	crypto_hmac_sha256(
		(struct slice){ (const char *)key, sizeof(key) }, buf_slice(&text), signature);
	crypto_hex(signature, sizeof(signature), hex);
	headers->failed |= !buf_ok(&text);
	buf_printf(headers, "X-Amz-Date: %s", s.time);
	buf_char(headers, '\0');
	if (keys->session_token[0]) {
		buf_str(headers, "X-Amz-Security-Token: ");
		buf_str(headers, keys->session_token);
		buf_char(headers, '\0');
	}
	buf_printf(headers,
		"Authorization: AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request, "
		"SignedHeaders=%s, Signature=%s",
		keys->id, s.day, keys->region, r->service, signed_headers(keys), hex);
	buf_char(headers, '\0');
	crypto_wipe(key, sizeof(key));
	buf_fini(&text);
}
