#include "base/ip.h"

#include "base/buf.h"

#include <arpa/inet.h>

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* Takes brackets and a port away. */
static struct slice bare(struct slice text)
{
	const char *colon;

	text = slice_trim(text);
	if (text.len && text.ptr[0] == '[') {
		text = slice_from(text, 1);
		return slice_cut(&text, ']');
	}
	colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
	if (colon && memchr(text.ptr, '.', (size_t)(colon - text.ptr)))
		text.len = (size_t)(colon - text.ptr);
	return text;
}

bool ip_parse(struct slice text, struct ip *out)
{
	char copy[IP_TEXT_SIZE];

	if (!slice_copy(bare(text), copy, sizeof(copy)))
		return false;
	if (inet_pton(AF_INET, copy, out->bytes + 12) == 1) {
		memcpy(out->bytes, mapped, sizeof(mapped));
		return true;
	}
	return inet_pton(AF_INET6, copy, out->bytes) == 1;
}

void ip_text(const struct ip *ip, char out[IP_TEXT_SIZE])
{
	struct buf text = buf_over(out, IP_TEXT_SIZE);

	if (memcmp(ip->bytes, mapped, sizeof(mapped)) != 0) {
		inet_ntop(AF_INET6, ip->bytes, out, IP_TEXT_SIZE);
		return;
	}
	for (size_t i = 12; i < 16; i++) {
		buf_int(&text, ip->bytes[i]);
		buf_char(&text, i < 15 ? '.' : '\0');
	}
}

static bool same_bits(const struct ip *a, const struct ip *b, int64_t bits)
{
	size_t whole = (size_t)bits / 8;
	unsigned rest = (unsigned)bits % 8;

	if (memcmp(a->bytes, b->bytes, whole) != 0)
		return false;
	return !rest || ((a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest)) == 0;
}

static bool read_block(struct slice entry, struct ip *base, int64_t *bits)
{
	struct slice address = slice_cut(&entry, '/');
	int64_t most, n;

	if (!ip_parse(address, base))
		return false;
	most = memcmp(base->bytes, mapped, sizeof(mapped)) == 0 ? 32 : 128;
	n = most;
	if (entry.ptr && !str_int(entry, 0, most, &n))
		return false;
	*bits = n + 128 - most;
	return true;
}

bool ip_in_list(const struct ip *ip, const char *list)
{
	struct slice rest = slice_of(list);
	struct ip base;
	int64_t bits;

	while (rest.len) {
		struct slice entry = slice_trim(slice_cut(&rest, ','));

		if (read_block(entry, &base, &bits) && same_bits(ip, &base, bits))
			return true;
	}
	return false;
}

bool ip_is_public(const struct ip *ip)
{
	static const char v4_not[] =
		"0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,"
		"192.0.0.0/24,192.0.2.0/24,192.31.196.0/24,192.52.193.0/24,192.88.99.0/24,"
		"192.168.0.0/16,192.175.48.0/24,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,"
		"224.0.0.0/3";
	/* Everything that is given out to networks lies in 2000::/3. */
	static const char v6_not[] = "2001::/23,2001:db8::/32,2002::/16,3fff::/20";

	if (memcmp(ip->bytes, mapped, sizeof(mapped)) == 0)
		return !ip_in_list(ip, v4_not);
	return ip_in_list(ip, "2000::/3") && !ip_in_list(ip, v6_not);
}

bool ip_list_is_valid(const char *list, struct slice *bad)
{
	struct slice rest = slice_of(list);
	struct ip base;
	int64_t bits;

	while (rest.len) {
		struct slice entry = slice_trim(slice_cut(&rest, ','));

		if (!slice_is(entry, "unix") && !read_block(entry, &base, &bits)) {
			*bad = entry;
			return false;
		}
	}
	return true;
}

static bool names_unix(const char *list)
{
	struct slice rest = slice_of(list);

	while (rest.len)
		if (slice_is(slice_trim(slice_cut(&rest, ',')), "unix"))
			return true;
	return false;
}

bool ip_of_client(const char *peer, const char *forwarded_for, const char *trusted, struct ip *out)
{
	struct slice rest = slice_of(forwarded_for ? forwarded_for : "");
	struct ip next;
	bool known = peer && ip_parse(slice_of(peer), out);

	if (known ? !ip_in_list(out, trusted) : !names_unix(trusted))
		return known;
	/* From the right: the last entry was written by the proxy we trust. */
	while (rest.len) {
		const char *comma = memrchr(rest.ptr, ',', rest.len);
		size_t at = comma ? (size_t)(comma - rest.ptr) : 0;
		struct slice entry = comma ? slice_from(rest, at + 1) : rest;

		rest.len = at;
		if (!ip_parse(entry, &next))
			break;
		*out = next;
		known = true;
		if (!ip_in_list(&next, trusted))
			break;
	}
	return known;
}
