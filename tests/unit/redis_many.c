#include "store/redis_inside.h"
#include "tests/unit/redis_played.h"

/* ---- TLS ---- */

static struct redis *redis_with_ca(const char *url, const char *ca_file, int64_t timeout_ms)
{
	struct redis *r = NULL;

	err.message[0] = '\0';
	if (redis_open(&r, &(struct redis_conf){ url, "test", ca_file, timeout_ms }, &err))
		print_message("%s\n", err.message);
	assert_non_null(r);
	return r;
}

static void a_certificate_must_be_good_and_for_this_host(void **state)
{
	struct redis_rig rig = { .tls = true, .password = "SECRET" },
			 other = { .tls = true, .names = "DNS:elsewhere.example,IP:127.0.0.2" };
	char ip[300];
	struct redis *r;

	(void)state;
	assert_true(redis_rig_start(&rig));
	assert_true(redis_rig_start(&other));
	r = redis_with_ca(rig.url, rig.ca_file, LONG_MS);
	assert_string_equal(said(r, "SET a b"), "OK");
	assert_string_equal(said(r, "GET a"), "b");
	redis_close(r);
	snprintf(ip, sizeof(ip), "rediss://:SECRET@127.0.0.1:%u", rig.port);
	r = redis_with_ca(ip, rig.ca_file, LONG_MS);
	assert_string_equal(said(r, "GET a"), "b");
	redis_close(r);
	/* Another authority; the system's; another host; another address. */
	r = redis_with_ca(rig.url, other.ca_file, LONG_MS);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "certificate"));
	assert_null(strstr(err.message, "SECRET"));
	redis_close(r);
	r = redis_with_ca(rig.url, "", LONG_MS);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "certificate"));
	redis_close(r);
	r = redis_with_ca(other.url, other.ca_file, LONG_MS);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "ostname mismatch"));
	redis_close(r);
	snprintf(ip, sizeof(ip), "rediss://127.0.0.1:%u", other.port);
	r = redis_with_ca(ip, other.ca_file, LONG_MS);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "IP address mismatch"));
	redis_close(r);
	redis_rig_stop(&other);
	redis_rig_stop(&rig);
}

static void much_goes_through_tls_and_a_killed_server_ends_it(void **state)
{
	struct redis_rig rig = { .tls = true };
	struct redis_reply reply = { .own = NULL };
	size_t n = (size_t)5 << 20;
	char *bytes = malloc(n);
	struct redis *r;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 11 + i / 253);
	assert_true(redis_rig_start(&rig));
	r = redis_with_ca(rig.url, rig.ca_file, LONG_MS);
	assert_int_equal(redis_call(r, (struct slice[]){ SLICE("SET"), SLICE("a"), { bytes, n } },
				 3, 1, &reply, &err),
		ERR_OK);
	redis_reply_fini(&reply);
	assert_int_equal(call(r, "GET a", &reply), ERR_OK);
	assert_int_equal(reply.value.text.len, n);
	assert_memory_equal(reply.value.text.ptr, bytes, n);
	redis_reply_fini(&reply);
	redis_rig_kill(&rig);
	assert_string_equal(said(r, "GET a"), "store");
	assert_true(redis_rig_restart(&rig));
	assert_true(says_at_last(r, "GET a", "nil"));
	redis_close(r);
	redis_rig_stop(&rig);
	free(bytes);
}

static void who_does_not_speak_tls_is_left_in_time(void **state)
{
	struct redis_rig plain = { .tcp = true };
	char url[300];
	struct redis *r;

	(void)state;
	assert_true(redis_rig_start(&plain));
	snprintf(url, sizeof(url), "rediss://127.0.0.1:%u", plain.port);
	r = redis_with_ca(url, "", 4 * SHORT_MS); /* neither does it hang up */
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "TLS"));
	redis_close(r);
	redis_rig_pause(&plain); /* takes the connection, and says nothing */
	r = redis_with_ca(url, "", SHORT_MS);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "no handshake in time"));
	redis_close(r);
	redis_rig_resume(&plain);
	redis_rig_stop(&plain);
	assert_int_equal(
		redis_open(&r,
			&(struct redis_conf){ "rediss://h", "test", "/nowhere/ca.pem", LONG_MS },
			&err),
		ERR_CONF);
	assert_non_null(strstr(err.message, "/nowhere/ca.pem"));
}

/* ---- Sentinel ---- */

static void start_sentinel(
	struct redis_rig *sentinel, const struct redis_rig *master, char *conf, size_t size)
{
	snprintf(conf, size,
		"sentinel monitor mine 127.0.0.1 %u 1\nsentinel down-after-milliseconds mine 500\n"
		"sentinel failover-timeout mine 3000\n%s%s",
		master->port, master->password ? "sentinel auth-pass mine " : "",
		master->password ? master->password : "");
	*sentinel = (struct redis_rig){ .sentinel = conf };
	assert_true(redis_rig_start(sentinel));
}

static void sentinels_name_the_master_also_after_it_died(void **state)
{
	struct redis_rig master = { .tcp = true, .password = "SECRET" },
			 replica = { .password = "SECRET" }, sentinel = { 0 };
	char conf[512], url[300];
	struct redis *r;

	(void)state;
	assert_true(redis_rig_start(&master));
	replica.replica_of = master.port;
	assert_true(redis_rig_start(&replica));
	assert_true(redis_rig_await(&replica, "INFO replication", "master_link_status:up"));
	start_sentinel(&sentinel, &master, conf, sizeof(conf));
	assert_true(redis_rig_await(&sentinel, "SENTINEL replicas mine", "slave"));
	/* The first of the Sentinels is not there at all. */
	snprintf(url, sizeof(url), "redis+sentinel://:SECRET@127.0.0.1:1,127.0.0.1:%u/mine",
		sentinel.port);
	r = redis_of(url, LONG_MS);
	assert_string_equal(said(r, "SET a b"), "OK");
	assert_true(redis_rig_await(&replica, "GET a", "b"));
	redis_rig_kill(&master);
	assert_string_equal(said(r, "SET a lost"), "store");
	assert_null(strstr(err.message, "SECRET"));
	assert_true(says_at_last(r, "SET a c", "OK"));
	assert_true(redis_rig_await(&replica, "GET a", "c"));
	redis_close(r);
	r = redis_of(url, LONG_MS);
	assert_string_equal(said(r, "GET a"), "c");
	redis_close(r);
	redis_rig_stop(&sentinel);
	redis_rig_stop(&replica);
	redis_rig_stop(&master);
}

static void a_master_that_became_a_replica_is_left_for_the_new_one(void **state)
{
	struct redis_rig master = { .tcp = true }, replica = { 0 }, sentinel = { 0 };
	char conf[512], url[300];
	struct redis *r;

	(void)state;
	assert_true(redis_rig_start(&master));
	replica.replica_of = master.port;
	assert_true(redis_rig_start(&replica));
	assert_true(redis_rig_await(&replica, "INFO replication", "master_link_status:up"));
	start_sentinel(&sentinel, &master, conf, sizeof(conf));
	assert_true(redis_rig_await(&sentinel, "SENTINEL replicas mine", "slave"));
	snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u/mine", sentinel.port);
	r = redis_of(url, LONG_MS);
	assert_string_equal(said(r, "SET a b"), "OK");
	assert_true(redis_rig_await(&sentinel, "SENTINEL FAILOVER mine", "+OK"));
	assert_true(redis_rig_await(&master, "INFO replication", "role:slave"));
	assert_true(says_at_last(r, "SET a moved", "OK"));
	assert_true(redis_rig_await(&replica, "GET a", "moved"));
	redis_close(r);
	redis_rig_stop(&sentinel);
	redis_rig_stop(&replica);
	redis_rig_stop(&master);
}

static void a_sentinel_that_knows_no_such_master_says_so(void **state)
{
	struct redis_rig master = { .tcp = true }, sentinel = { 0 };
	char conf[512], url[300];
	struct redis *r;

	(void)state;
	assert_true(redis_rig_start(&master));
	start_sentinel(&sentinel, &master, conf, sizeof(conf));
	snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u/other", sentinel.port);
	r = redis_of(url, LONG_MS);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "knows no master \"other\""));
	redis_close(r);
	/* A Redis that is no Sentinel. */
	snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u/mine", master.port);
	r = redis_of(url, LONG_MS);
	assert_string_equal(said(r, "GET a"), "store");
	redis_close(r);
	redis_rig_stop(&sentinel);
	redis_rig_stop(&master);
}

/* ---- Cluster ---- */

static void slots_are_those_of_the_specification(void **state)
{
	(void)state;
	assert_int_equal(redis_slot(SLICE("123456789")), 0x31c3 % 16384);
	assert_int_equal(redis_slot(SLICE("foo")), 12182);
	assert_int_equal(redis_slot(SLICE("{foo}bar")), 12182);
	assert_int_equal(redis_slot(SLICE("bar{foo}{zap}")), 12182);
	assert_int_equal(redis_slot(SLICE("foo{{bar}}zap")), redis_slot(SLICE("{bar")));
	assert_int_not_equal(redis_slot(SLICE("{}foo")), redis_slot(SLICE("foo")));
	assert_int_equal(redis_slot(SLICE("")), 0);
}

#define KEYS 60

static enum err_code count_node(void *ctx, struct redis *r, size_t node, struct err *e)
{
	const struct slice words[] = { SLICE("DBSIZE") };
	struct redis_reply reply = { .own = NULL };
	enum err_code rc = redis_call_node(r, node, words, 1, &reply, e);
	int64_t *sums = ctx;

	if (!rc) {
		sums[0]++;
		sums[1] += reply.value.integer;
	}
	redis_reply_fini(&reply);
	return rc;
}

static void keys_go_to_their_nodes_and_come_back_together(void **state)
{
	static struct redis_script script = { .text = "return redis.call('GET', KEYS[1])" };
	struct redis_rig nodes[3] = { { .password = "SECRET" }, { .password = "SECRET" },
		{ .password = "SECRET" } };
	struct redis_reply replies[KEYS] = { { .own = NULL } };
	struct redis_command commands[KEYS];
	struct slice words[KEYS][3];
	char names[KEYS][8], url[300];
	int64_t sums[2] = { 0 };
	struct redis *r;

	(void)state;
	assert_true(redis_rig_cluster(nodes, 3, url, sizeof(url)));
	r = redis_of(url, LONG_MS);
	assert_true(redis_is_cluster(r));
	for (size_t i = 0; i < KEYS; i++) {
		snprintf(names[i], sizeof(names[i]), "k%zu", i);
		words[i][0] = SLICE("SET");
		words[i][1] = words[i][2] = slice_of(names[i]);
		commands[i] = (struct redis_command){ words[i], 3, 1 };
	}
	assert_int_equal(redis_calls(r, commands, KEYS, replies, &err), ERR_OK);
	for (size_t i = 0; i < KEYS; i++) {
		assert_true(slice_is(replies[i].value.text, "OK"));
		redis_reply_fini(&replies[i]);
		words[i][0] = SLICE("GET");
		commands[i].n = 2;
	}
	assert_int_equal(redis_calls(r, commands, KEYS, replies, &err), ERR_OK);
	for (size_t i = 0; i < KEYS; i++) {
		assert_true(slice_eq(replies[i].value.text, words[i][1]));
		redis_reply_fini(&replies[i]);
		assert_int_equal(
			redis_eval(r, &script, &words[i][1], 1, 1, &replies[i], &err), ERR_OK);
		assert_true(slice_eq(replies[i].value.text, words[i][1]));
		redis_reply_fini(&replies[i]);
	}
	assert_int_equal(redis_each_node(r, count_node, sums, &err), ERR_OK);
	assert_int_equal(sums[0], 3);
	assert_int_equal(sums[1], KEYS);
	redis_close(r);
	for (size_t i = 0; i < 3; i++)
		redis_rig_stop(&nodes[i]);
}

/* The id of a node, as CLUSTER MYID has it. */
static void id_of(const struct redis_rig *g, char id[41])
{
	char out[128];

	assert_true(redis_rig_ask(g, "CLUSTER MYID", out, sizeof(out)));
	assert_true(strlen(out) > 45);
	memcpy(id, out + 5, 40);
	id[40] = '\0';
}

static void a_slot_that_moves_is_followed(void **state)
{
	struct redis_rig nodes[2] = { { 0 }, { 0 } };
	char url[300], command[128], out[256], ids[2][41];
	unsigned slot = redis_slot(SLICE("{x}"));
	size_t from = slot < 8192 ? 0 : 1, to = 1 - from;
	struct redis *r;

	(void)state;
	assert_true(redis_rig_cluster(nodes, 2, url, sizeof(url)));
	id_of(&nodes[0], ids[0]);
	id_of(&nodes[1], ids[1]);
	r = redis_of(url, LONG_MS);
	assert_string_equal(said(r, "SET {x}a 1"), "OK");
	/* On its way: what is not there any more is asked for at the other node (ASK). */
	snprintf(command, sizeof(command), "CLUSTER SETSLOT %u IMPORTING %s", slot, ids[from]);
	assert_true(redis_rig_await(&nodes[to], command, "OK"));
	snprintf(command, sizeof(command), "CLUSTER SETSLOT %u MIGRATING %s", slot, ids[to]);
	assert_true(redis_rig_await(&nodes[from], command, "OK"));
	assert_string_equal(said(r, "GET {x}a"), "1");
	assert_string_equal(said(r, "SET {x}b 2"), "OK");
	assert_true(redis_rig_ask(&nodes[from], "GET {x}b", out, sizeof(out)));
	assert_non_null(strstr(out, "ASK"));
	assert_string_equal(said(r, "GET {x}b"), "2");
	snprintf(command, sizeof(command), "MIGRATE 127.0.0.1 %u {x}a 0 5000", nodes[to].port);
	assert_true(redis_rig_await(&nodes[from], command, "OK"));
	assert_string_equal(said(r, "GET {x}a"), "1");
	/* There: MOVED. */
	snprintf(command, sizeof(command), "CLUSTER SETSLOT %u NODE %s", slot, ids[to]);
	assert_true(redis_rig_await(&nodes[to], command, "OK"));
	assert_true(redis_rig_await(&nodes[from], command, "OK"));
	assert_string_equal(said(r, "GET {x}a"), "1");
	assert_string_equal(said(r, "GET {x}b"), "2");
	redis_close(r);
	for (size_t i = 0; i < 2; i++)
		redis_rig_stop(&nodes[i]);
}

static void a_dead_node_takes_its_own_slots_with_it_and_no_others(void **state)
{
	struct redis_rig nodes[2] = { { .more = "cluster-require-full-coverage no" },
		{ .more = "cluster-require-full-coverage no" } };
	struct redis_reply replies[2] = { { .own = NULL } };
	struct slice words[2][3] = { { SLICE("SET"), SLICE("{bar}"), SLICE("1") }, /* slot 5061 */
		{ SLICE("SET"), SLICE("{foo}"), SLICE("2") } };                    /* slot 12182 */
	struct redis_command commands[] = { { words[0], 3, 1 }, { words[1], 3, 1 } };
	char url[300];
	struct redis *r;

	(void)state;
	assert_true(redis_rig_cluster(nodes, 2, url, sizeof(url)));
	r = redis_of(url, LONG_MS);
	assert_int_equal(redis_calls(r, commands, 2, replies, &err), ERR_OK);
	redis_reply_fini(&replies[0]);
	redis_reply_fini(&replies[1]);
	redis_rig_kill(&nodes[1]);
	assert_int_equal(redis_calls(r, commands, 2, replies, &err), ERR_STORE);
	assert_true(slice_is(replies[0].value.text, "OK"));
	redis_reply_fini(&replies[0]);
	redis_reply_fini(&replies[1]);
	assert_string_equal(said(r, "GET {bar}"), "1");
	assert_string_equal(said(r, "GET {foo}"), "store");
	assert_true(redis_rig_restart(&nodes[1]));
	assert_true(says_at_last(r, "SET {foo} 3", "OK"));
	redis_close(r);
	for (size_t i = 0; i < 2; i++)
		redis_rig_stop(&nodes[i]);
}

static void nodes_that_send_each_other_on_do_not_hold_a_call(void **state)
{
	struct redis_rig nodes[2] = { { 0 }, { 0 } };
	char url[300], command[128], ids[2][41];
	unsigned slot = redis_slot(SLICE("{y}"));
	struct redis *r;

	(void)state;
	assert_true(redis_rig_cluster(nodes, 2, url, sizeof(url)));
	id_of(&nodes[0], ids[0]);
	id_of(&nodes[1], ids[1]);
	r = redis_of(url, LONG_MS);
	assert_string_equal(said(r, "GET {y}"), "nil");
	for (size_t i = 0; i < 2; i++) {
		snprintf(command, sizeof(command), "CLUSTER SETSLOT %u NODE %s", slot, ids[1 - i]);
		assert_true(redis_rig_await(&nodes[i], command, "OK"));
	}
	assert_string_equal(said(r, "GET {y}"), "store");
	redis_close(r);
	for (size_t i = 0; i < 2; i++)
		redis_rig_stop(&nodes[i]);
}

static void a_redis_alone_is_no_cluster(void **state)
{
	struct redis_rig plain = { .tcp = true };
	char url[300];
	struct redis *r;

	(void)state;
	assert_true(redis_rig_start(&plain));
	snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%u", plain.port);
	r = redis_of(url, LONG_MS);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "cluster support disabled"));
	redis_close(r);
	redis_rig_stop(&plain);
}

int main(void)
{
	const struct CMUnitTest pure[] = {
		cmocka_unit_test(slots_are_those_of_the_specification),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_are_those_of_the_specification),
		cmocka_unit_test(a_certificate_must_be_good_and_for_this_host),
		cmocka_unit_test(much_goes_through_tls_and_a_killed_server_ends_it),
		cmocka_unit_test(who_does_not_speak_tls_is_left_in_time),
		cmocka_unit_test(sentinels_name_the_master_also_after_it_died),
		cmocka_unit_test(a_master_that_became_a_replica_is_left_for_the_new_one),
		cmocka_unit_test(a_sentinel_that_knows_no_such_master_says_so),
		cmocka_unit_test(keys_go_to_their_nodes_and_come_back_together),
		cmocka_unit_test(a_slot_that_moves_is_followed),
		cmocka_unit_test(a_dead_node_takes_its_own_slots_with_it_and_no_others),
		cmocka_unit_test(nodes_that_send_each_other_on_do_not_hold_a_call),
		cmocka_unit_test(a_redis_alone_is_no_cluster),
	};

	/* Without hiredis there is only what needs no server: tests/unit/redis.c has the rest. */
	if (!redis_is_built())
		return cmocka_run_group_tests(pure, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
