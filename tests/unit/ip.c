#include "base/ip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void the_client_is_the_last_address_no_trusted_proxy_wrote(void **state)
{
	static const struct {
		const char *peer, *forwarded, *trusted, *client; /* client NULL = unknown */
	} rows[] = {
		{ "192.0.2.1", "198.51.100.7", "", "192.0.2.1" },
		{ "127.0.0.1", "198.51.100.7", "127.0.0.0/8", "198.51.100.7" },
		{ "127.0.0.1", "6.6.6.6, 198.51.100.7", "127.0.0.0/8", "198.51.100.7" },
		{ "127.0.0.1", "6.6.6.6, 198.51.100.7, 10.1.2.3", "127.0.0.1,10.0.0.0/8",
			"198.51.100.7" },
		{ "127.0.0.1", "198.51.100.7, junk", "127.0.0.1", "127.0.0.1" },
		{ "127.0.0.1", NULL, "127.0.0.1", "127.0.0.1" },
		{ "127.0.0.1", "[2001:db8::1]:443", "127.0.0.1", "2001:db8::1" },
		{ "::ffff:127.0.0.1", "192.0.2.9:80", "127.0.0.1", "192.0.2.9" },
		{ NULL, "198.51.100.7", "unix", "198.51.100.7" },
		{ "255.255.255.255", NULL, "", "255.255.255.255" },
		{ "0.0.0.0", NULL, "", "0.0.0.0" },
		{ "", "198.51.100.7", "127.0.0.1", NULL },
		{ NULL, NULL, "unix", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip ip;
		char text[IP_TEXT_SIZE];
		bool known = ip_of_client(rows[i].peer, rows[i].forwarded, rows[i].trusted, &ip);

		print_message("row %zu\n", i);
		assert_int_equal(known, rows[i].client != NULL);
		if (known) {
			ip_text(&ip, text);
			assert_string_equal(text, rows[i].client);
		}
	}
}

static void a_block_holds_its_addresses_to_the_bit(void **state)
{
	struct ip ip;
	struct slice bad;

	(void)state;
	assert_true(ip_parse(SLICE("10.1.2.127"), &ip));
	assert_true(ip_in_list(&ip, "192.0.2.0/24, 10.1.2.0/25"));
	assert_false(ip_in_list(&ip, "10.1.2.128/25,::1"));
	assert_true(ip_list_is_valid("10.0.0.0/8, ::1, unix", &bad));
	assert_false(ip_list_is_valid("10.0.0.0/33", &bad));
	assert_false(ip_list_is_valid("localhost", &bad));
	assert_false(ip_parse(SLICE("1.2.3"), &ip));
	assert_false(ip_parse(SLICE("fe80::1%eth0"), &ip));
}

static void only_addresses_given_out_to_networks_are_public(void **state)
{
	static const char *const public[] = { "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0",
		"172.15.255.255", "172.32.0.1", "192.169.0.1", "198.20.0.1", "223.255.255.255",
		"2606:4700::1111", "2a00:1450::8" };
	static const char *const others[] = { "0.0.0.0", "10.255.0.1", "100.64.0.1", "127.0.0.1",
		"127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
		"192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
		"224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1",
		"64:ff9b::7f00:1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1",
		"fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1",
		"::ffff:127.0.0.1" };
	struct ip ip;

	(void)state;
	for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++) {
		assert_true(ip_parse(slice_of(public[i]), &ip));
		if (!ip_is_public(&ip))
			fail_msg("%s is public", public[i]);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_true(ip_parse(slice_of(others[i]), &ip));
		if (ip_is_public(&ip))
			fail_msg("%s is not public", others[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_client_is_the_last_address_no_trusted_proxy_wrote),
		cmocka_unit_test(a_block_holds_its_addresses_to_the_bit),
		cmocka_unit_test(only_addresses_given_out_to_networks_are_public),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
