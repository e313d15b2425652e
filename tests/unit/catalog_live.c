#include "tests/unit/catalog_env.h"

#include "gateway/catalog_live.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/tollgate-live-XXXXXX";

struct live {
	struct conf *conf;
	struct catalog_live *l;
	int64_t now;
	_Atomic int64_t takes;
	atomic_bool written;
};

static void write_prices(const char *prompt)
{
	char path[128], aside[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/prices.json", home);
	snprintf(aside, sizeof(aside), "%s.new", path);
	f = fopen(aside, "w");
	assert_non_null(f);
	assert_int_equal(chmod(aside, 0600), 0);
	fprintf(f,
		"{\"version\":1,\"date\":\"2026-12-24\",\"models\":[{\"id\":\"openai/gpt-5\","
		"\"date\":\"2026-12-24\",\"prices\":{\"price_prompt_usd_per_token\":\"%s\","
		"\"price_completion_usd_per_token\":\"0.00001\"}}]}",
		prompt);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(aside, path), 0);
}

static void open_live(struct live *t)
{
	struct err e;

	clearenv();
	setenv("GATEWAY_HOME", home, 1);
	setenv("GATEWAY_CATALOGUE", "conf", 1);
	assert_int_equal(conf_load(&t->conf, &e), ERR_OK);
	if (catalog_live_open(t->conf, t->now, &t->l, &e))
		fail_msg("%s", e.message);
}

static void close_live(struct live *t)
{
	char path[128];

	catalog_live_close(t->l);
	conf_fini(t->conf);
	snprintf(path, sizeof(path), "%s/prices.json", home);
	unlink(path);
}

static int64_t price(const struct catalog_copy *copy)
{
	return catalog_model_find(copy->catalog, SLICE("openai/gpt-5"))->prices->base.prompt;
}

static void a_changed_file_is_used_a_second_later_and_not_earlier(void **state)
{
	struct catalog_copy *before, *soon, *after;
	struct live t = { .now = 5000 };

	(void)state;
	open_live(&t);
	before = catalog_live_take(t.l, t.now);
	assert_int_equal(price(before), 1250000);
	write_prices("0.000003");
	soon = catalog_live_take(t.l, t.now + CATALOG_LIVE_LOOK_MS - 1);
	assert_ptr_equal(soon, before);
	after = catalog_live_take(t.l, t.now + CATALOG_LIVE_LOOK_MS);
	assert_int_equal(price(after), 3000000);
	/* Who took the old one still has it, as it was. */
	assert_int_equal(price(before), 1250000);
	catalog_live_drop(t.l, before);
	assert_int_equal(price(soon), 1250000);
	catalog_live_drop(t.l, soon);
	catalog_live_drop(t.l, after);
	close_live(&t);
}

static void an_unchanged_file_is_not_read_again(void **state)
{
	struct catalog_copy *copies[2];
	struct live t = { .now = 5000 };

	(void)state;
	open_live(&t);
	for (int i = 0; i < 2; i++)
		copies[i] = catalog_live_take(t.l, t.now + i * 10 * CATALOG_LIVE_LOOK_MS);
	assert_ptr_equal(copies[0], copies[1]);
	catalog_live_drop(t.l, copies[0]);
	catalog_live_drop(t.l, copies[1]);
	catalog_live_drop(t.l, NULL);
	close_live(&t);
}

static void a_broken_file_changes_nothing_until_it_is_mended(void **state)
{
	struct catalog_copy *copy;
	struct live t = { .now = 5000 };

	(void)state;
	write_prices("0.000003");
	open_live(&t);
	write_prices("cheap");
	copy = catalog_live_take(t.l, t.now + CATALOG_LIVE_LOOK_MS);
	assert_int_equal(price(copy), 3000000);
	catalog_live_drop(t.l, copy);
	write_prices("0.000004");
	copy = catalog_live_take(t.l, t.now + 2 * CATALOG_LIVE_LOOK_MS);
	assert_int_equal(price(copy), 4000000);
	catalog_live_drop(t.l, copy);
	close_live(&t);
}

static void a_listing_is_made_once_for_a_catalogue_and_anew_for_the_next(void **state)
{
	struct catalog_copy *copy;
	const struct buf *text, *same;
	struct live t = { .now = 5000 };
	struct buf first = { 0 };

	(void)state;
	open_live(&t);
	copy = catalog_live_take(t.l, t.now);
	text = catalog_live_listing(t.l, copy, catalog_write_models, true);
	same = catalog_live_listing(t.l, copy, catalog_write_models, true);
	assert_true(buf_ok(text) && text->len > 1000);
	assert_ptr_equal(text->data, same->data);
	buf_slice_append(&first, buf_slice(text));
	catalog_live_drop(t.l, copy);
	write_prices("0.000003");
	copy = catalog_live_take(t.l, t.now + CATALOG_LIVE_LOOK_MS);
	text = catalog_live_listing(t.l, copy, catalog_write_models, true);
	assert_true(buf_ok(text));
	assert_false(slice_eq(buf_slice(text), buf_slice(&first)));
	buf_fini(&first);
	catalog_live_drop(t.l, copy);
	close_live(&t);
}

static void *take_until_written(void *arg)
{
	struct live *t = arg;

	while (!atomic_load(&t->written)) {
		struct catalog_copy *copy = catalog_live_take(
			t->l, t->now + atomic_fetch_add(&t->takes, 1) * CATALOG_LIVE_LOOK_MS);
		int64_t p = price(copy);

		catalog_live_drop(t->l, copy);
		if (p != 1250000 && p != 3000000)
			return t;
	}
	return NULL;
}

static void threads_take_and_drop_while_it_changes(void **state)
{
	pthread_t threads[4];
	struct live t = { .now = 5000 };
	void *failed;

	(void)state;
	open_live(&t);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_until_written, &t), 0);
	for (int i = 0; i < 20; i++)
		write_prices(i % 2 ? "0.000003" : "0.00000125");
	atomic_store(&t.written, true);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	close_live(&t);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(home) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_changed_file_is_used_a_second_later_and_not_earlier),
		cmocka_unit_test(an_unchanged_file_is_not_read_again),
		cmocka_unit_test(a_broken_file_changes_nothing_until_it_is_mended),
		cmocka_unit_test(a_listing_is_made_once_for_a_catalogue_and_anew_for_the_next),
		cmocka_unit_test(threads_take_and_drop_while_it_changes),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
