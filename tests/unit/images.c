/* Images by URL, for providers that take none: what is fetched, from where, and what is not. */
#include "gateway/images.h"
#include "tests/unit/scripted.h"

#define PNG "\x89PNG\r\n\x1a\n"

static struct provider_script server;
static struct pump *pump;

static int set_up(void **state)
{
	(void)state;
	pump = new_pump("");
	script_start(&server, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pump_stop(pump);
	script_stop(&server);
	return 0;
}

static struct images_conf conf_of(void)
{
	return (struct images_conf){ .fetch = true,
		.allow = "127.0.0.1",
		.max_bytes = 1000,
		.max_count = 2,
		.timeout_ms = 3000,
		.max_body = 4000,
		.connect_ms = 2000 };
}

static struct target target_of(const char *slug)
{
	return (struct target){
		.provider = &provider_openai, .quirks = quirks_of(slug), .slug = slug
	};
}

/* What becomes of a request with this content (one %u per image stands for the port). */
static enum err_code inline_into(
	const struct images_conf *conf, const char *content, struct buf *body, struct err *e)
{
	static const struct json_limits limits = { .max_depth = 20, .max_keys = 100 };
	struct target t = target_of("ollama");
	struct buf text = { 0 };
	struct chat_req req;
	enum err_code rc;

	buf_str(&text, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":");
	for (const char *p = content; *p; p++) {
		if (*p == '@')
			buf_printf(&text, "http://127.0.0.1:%u", server.port);
		else
			buf_char(&text, *p);
	}
	buf_str(&text, "}]}");
	*e = (struct err){ 0 };
	assert_int_equal(chat_parse(buf_slice(&text), &limits, &req, e), ERR_OK);
	rc = images_inline(pump, conf, &req, &t, NULL, body, e);
	if (!rc)
		assert_int_equal(json_validate(buf_slice(body), &limits, NULL, e), ERR_OK);
	buf_fini(&text);
	return rc;
}

#define IMAGE(url) "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" url "\"}}"

static bool shows_a_png(struct peer *p)
{
	say(p, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 8\r\n\r\n" PNG);
	return true;
}

static void an_image_by_url_comes_back_inline_and_all_else_as_it_was(void **state)
{
	struct images_conf conf = conf_of();
	struct buf body = { 0 };
	struct err e;

	(void)state;
	server.play = shows_a_png;
	assert_int_equal(
		inline_into(&conf,
			"[{\"type\":\"text\", \"text\":\"a\"}," IMAGE("@\\/x.png") "," IMAGE(
				"data:image/gif;base64,R0lGOA==") ",{\"type\":\"image_url\","
								  "\"image_"
								  "url\":\"@/"
								  "y\"}]",
			&body, &e),
		ERR_OK);
	buf_char(&body, '\0');
	assert_string_equal(body.data,
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
		" "
		"\"text\":\"a\"}," IMAGE("data:image/png;base64,iVBORw0KGgo=") "," IMAGE(
			"data:image/gif;base64,R0lGOA==") ",{\"type\":\"image_url\",\"image_url\":"
							  "\"data:image/"
							  "png;base64,iVBORw0KGgo=\"}]}]}");
	/* Never a connection that was made by other rules. */
	assert_int_equal(server.accepted, 2);
	buf_fini(&body);
}

static void no_request_chooses_an_address_that_is_not_public(void **state)
{
	struct images_conf conf = conf_of();
	struct buf body = { 0 };
	struct err e;

	(void)state;
	conf.allow = "";
	server.play = shows_a_png;
	assert_int_equal(inline_into(&conf, "[" IMAGE("@/x") "]", &body, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "not public"));
	assert_string_equal(e.param, "messages[0].content[0].image_url");
	/* Whatever its name or spelling. */
	static const char *const urls[] = { IMAGE("http://localhost/"), IMAGE("http://[::1]/"),
		IMAGE("http://[::ffff:127.0.0.1]/"), IMAGE("http://0x7f000001/"),
		IMAGE("http://2130706433/"), IMAGE("http://127.1/"), IMAGE("http://10.0.0.1/"),
		IMAGE("http://169.254.169.254/latest/meta-data"), IMAGE("https://[fe80::1]/") };
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		char content[200];

		snprintf(content, sizeof(content), "[%s]", urls[i]);
		assert_int_equal(inline_into(&conf, content, &body, &e), ERR_BAD_REQUEST);
		if (!strstr(e.message, "not public"))
			fail_msg("%s: %s", urls[i], e.message);
	}
	assert_int_equal(server.accepted, 0);
	buf_fini(&body);
}

static bool answers(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO STOP DONE);
	say_chunk(p, "");
	return true;
}

/* Without a connection of its own for the client's URL this one would be reused, and no address
 * looked at. */
static void a_kept_connection_of_the_operators_is_not_used(void **state)
{
	struct images_conf conf = conf_of();
	struct call c = call_of(true);
	struct buf body = { 0 };
	struct err e;

	(void)state;
	conf.allow = "";
	server.play = answers;
	place_call(pump, &server, &c);
	read_all(&c);
	assert_int_equal(c.rc, ERR_OK);
	end_call(&c);
	assert_int_equal(server.open, 1);
	assert_int_equal(inline_into(&conf, "[" IMAGE("@/x") "]", &body, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "not public"));
	buf_fini(&body);
}

static bool redirects(struct peer *p)
{
	say(p, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static bool is_missing(struct peer *p)
{
	say(p, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
	return true;
}

static bool is_large(struct peer *p)
{
	char many[1002];

	memset(many, 'x', 1001);
	many[1001] = '\0';
	say(p, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1001\r\n\r\n");
	say(p, many);
	return true;
}

static bool is_empty(struct peer *p)
{
	say(p, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static bool says_nothing(struct peer *p)
{
	(void)leaves(p);
	return false;
}

static bool breaks_off(struct peer *p)
{
	say(p, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\n" PNG);
	return false;
}

static void what_is_no_image_is_refused_with_its_reason(void **state)
{
	static const struct {
		script play;
		const char *words;
	} cases[] = {
		{ redirects, "HTTP 302 (redirects are not followed)" },
		{ is_missing, "HTTP 404" },
		{ is_large, "larger than 1000 bytes (GATEWAY_FETCH_MAX)" },
		{ is_empty, "it is empty" },
		{ says_nothing, "GATEWAY_FETCH_TIMEOUT" },
		{ breaks_off, "broke off" },
	};
	struct images_conf conf = conf_of();
	struct buf body = { 0 };
	struct err e;

	(void)state;
	conf.timeout_ms = 300;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		server.play = cases[i].play;
		assert_int_equal(
			inline_into(&conf, "[" IMAGE("@/x") "]", &body, &e), ERR_BAD_REQUEST);
		if (!strstr(e.message, cases[i].words))
			fail_msg("\"%s\" does not say \"%s\"", e.message, cases[i].words);
		assert_string_equal(e.param, "messages[0].content[0].image_url");
	}
	buf_fini(&body);
}

static void limits_are_named_with_their_settings(void **state)
{
	struct images_conf conf = conf_of();
	struct buf body = { 0 };
	struct err e;

	(void)state;
	server.play = shows_a_png;
	assert_int_equal(inline_into(&conf, "[" IMAGE("@/1") "," IMAGE("@/2") "," IMAGE("@/3") "]",
				 &body, &e),
		ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "GATEWAY_FETCH_COUNT"));
	assert_string_equal(e.param, "messages[0].content[2].image_url");
	conf.max_body = 100;
	buf_fini(&body);
	assert_int_equal(inline_into(&conf, "[" IMAGE("@/1") "]", &body, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "GATEWAY_MAX_BODY"));
	conf.fetch = false;
	assert_int_equal(inline_into(&conf, "[" IMAGE("@/1") "]", &body, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "ollama takes images only as data: URLs"));
	assert_non_null(strstr(e.message, "GATEWAY_FETCH_IMAGES"));
	buf_fini(&body);
}

static void providers_that_take_urls_get_them_as_they_are(void **state)
{
	static const struct json_limits limits = { .max_depth = 20, .max_keys = 100 };
	struct slice with_url = SLICE("{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
				      "\"content\":[" IMAGE("https://a.example/x") "]}]}");
	struct slice inlined = SLICE("{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
				     "\"content\":[" IMAGE("data:image/png;base64,AAAA") "]}]}");
	struct target takes = target_of("openai"), does_not = target_of("ollama");
	struct chat_req req;

	(void)state;
	assert_int_equal(chat_parse(with_url, &limits, &req, NULL), ERR_OK);
	assert_false(images_are_needed(&req, &takes));
	assert_true(images_are_needed(&req, &does_not));
	assert_int_equal(chat_parse(inlined, &limits, &req, NULL), ERR_OK);
	assert_false(images_are_needed(&req, &does_not));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_image_by_url_comes_back_inline_and_all_else_as_it_was),
		TEST(no_request_chooses_an_address_that_is_not_public),
		TEST(a_kept_connection_of_the_operators_is_not_used),
		TEST(what_is_no_image_is_refused_with_its_reason),
		TEST(limits_are_named_with_their_settings),
		cmocka_unit_test(providers_that_take_urls_get_them_as_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
