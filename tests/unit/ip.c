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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_client_is_the_last_address_no_trusted_proxy_wrote),
		cmocka_unit_test(a_block_holds_its_addresses_to_the_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
