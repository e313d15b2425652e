/* base/ip.h - internet addresses as bytes, and the blocks they lie in.
 * IPv4 is kept in its IPv6-mapped form (RFC 4291 section 2.5.5.2), so one comparison serves both.
 * Pure; threads: any.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/str.h"

#define IP_TEXT_SIZE 46

struct ip {
	uint8_t bytes[16];
};

/* Reads "192.0.2.1", "2001:db8::1", and either in brackets or with a port as proxies write them
 * ("[2001:db8::1]:443", "192.0.2.1:80"); no host names, no zones. */
MUST_CHECK bool ip_parse(struct slice text, struct ip *out);

/* The usual spelling; IPv4 without its IPv6 prefix. */
void ip_text(const struct ip *ip, char out[IP_TEXT_SIZE]);

/* Does ip lie in one of the blocks of a comma-separated list ("10.0.0.0/8, ::1, unix")? Entries
 * that are no blocks match nothing. */
bool ip_in_list(const struct ip *ip, const char *list);

/* Is it an address that anybody on the internet may be: unicast, not private, shared, local,
 * reserved, for documentation, or a way into such a block (6to4, Teredo)? IANA's registries of
 * special-purpose addresses (RFC 6890). */
bool ip_is_public(const struct ip *ip);

/* Is every entry of the list an address, a block or the word "unix"? *bad is the first that is not.
 */
bool ip_list_is_valid(const char *list, struct slice *bad);

/* The address a request really comes from: peer, unless peer is in trusted; then the last address
 * in forwarded_for (X-Forwarded-For) that is not trusted itself. An entry that cannot be read ends
 * the walk. "unix" in trusted stands for a peer without an address. false when none is known. */
MUST_CHECK bool ip_of_client(
	const char *peer, const char *forwarded_for, const char *trusted, struct ip *out);

#endif
