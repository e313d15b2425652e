/* usage, ledger, backup, restore and why, through a store that was filled by the ledger itself. */
#include "tests/unit/ledger_home.h"

#include "base/clock.h"
#include "store/keys.h"
#include "store/people.h"
#include "tests/unit/cli_run.h"

#include <sys/stat.h>

static char archive[128];
static struct key_info key;
static uint64_t user_number, model_name, provider_name;

static struct ledger_now now_of(int64_t minutes_ago)
{
	struct ledger_now now = ledger_now();

	now.wall_ms -= minutes_ago * 60000;
	return now;
}

static void settle(struct ledger *l, uint64_t id, int64_t cost, uint16_t status)
{
	struct ledger_lease lease = { .id = id_of(id) };
	struct record_settle what = { .key = key.number,
		.user = user_number,
		.provider = provider_name,
		.model = model_name,
		.asked_model = model_name,
		.cost_microusd = cost,
		.tokens = { 1200, 800, 0, 0, 340, 0 },
		.ttft_ms = 310,
		.latency_ms = 2000,
		.status = status,
		.attempts = 1,
		.usage_state = RECORD_USAGE_REPORTED };
	enum ledger_settled how;

	assert_int_equal(ledger_settle(l, now_of(0), &lease, &what, &how, &err), ERR_OK);
}

/* A user with 10 USD, a key with 5 USD a day of which all but 0.5 is used, an open request. */
static void fill(struct ledger *l)
{
	struct key_info want = { .name = "laptop",
		.user = "ana",
		.requests_per_minute = 60,
		.budget_microusd = 5 * USD,
		.budget_window = KEY_WINDOW_DAY };
	struct people_user user = { .id = "ana" }, made;
	char text[KEY_TEXT_SIZE];
	struct people_file *people;
	struct keys *keys;
	bool already;

	assert_int_equal(people_file_open(&people, home, &err), ERR_OK);
	assert_int_equal(people_user_create(people, &user, clock_wall_ms(), &made, &err), ERR_OK);
	user_number = made.number;
	people_file_close(people);
	assert_int_equal(keys_open(&keys, home, "", &err), ERR_OK);
	if (keys_create(keys, &want, clock_wall_ms(), text, &key, &err))
		fail_msg("%s", err.message);
	keys_close(keys);
	assert_int_equal(
		ledger_name(l, now_of(0), SLICE("openai/gpt-5.2"), &model_name, &err), ERR_OK);
	assert_int_equal(ledger_name(l, now_of(0), SLICE("openai"), &provider_name, &err), ERR_OK);
	assert_int_equal(ledger_credit(l, now_of(0), account_subject(ACCOUNT_USER, user_number),
				 10 * USD, id_of(1), 0, SLICE("=a gift"), &already, &err),
		ERR_OK);
	settle(l, 11, 4 * USD, 200);
	settle(l, 12, USD / 2, 502);
}

static int set_up(void **state)
{
	int rc = make_home(state);

	snprintf(archive, sizeof(archive), "%s.backup", home);
	clearenv();
	setenv("GATEWAY_HOME", home, 1);
	return rc;
}

static int tear_down(void **state)
{
	unlink(archive);
	return drop_home(state);
}

#define RUN(command, ...) run(command, WORDS(__VA_ARGS__))

static void usage_is_named_and_summed(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	fill(l);
	assert_int_equal(RUN(cli_usage, "usage"), CLI_OK);
	has("openai/gpt-5.2");
	has("$4.50");
	has("50.0%");
	has("TOTAL");
	assert_int_equal(RUN(cli_usage, "usage", "--by", "key,user", "--since", "1d"), CLI_OK);
	has(key.id);
	has("laptop");
	has("ana");
	assert_int_equal(
		RUN(cli_usage, "usage", "--by", "provider", "--format", "json", "--key", "laptop"),
		CLI_OK);
	has("\"provider\":\"openai\",\"requests\":2,");
	has("\"cost\":4.5,");
	assert_int_equal(RUN(cli_usage, "usage", "--format=csv"), CLI_OK);
	has("openai/gpt-5.2,2,2400,1600,0,680,0,0,1,0,4.5,0,362,362,0.5000,0.0000\r\n");
	assert_int_equal(
		RUN(cli_usage, "usage", "--since", "2020-01-01", "--until", "2020-01-31"), CLI_OK);
	has("Nothing was used");
	ledger_close(l);
}

static void what_is_misused_is_named_and_ends_with_2(void **state)
{
	(void)state;
	assert_int_equal(RUN(cli_usage, "usage", "--by", "colour"), CLI_USAGE);
	has("colour");
	assert_int_equal(RUN(cli_usage, "usage", "--since", "soon"), CLI_USAGE);
	has("soon");
	assert_int_equal(RUN(cli_usage, "usage", "--format", "xml"), CLI_USAGE);
	has("xml");
	assert_int_equal(RUN(cli_usage, "usage", "--since", "2026-02-02", "--until", "2026-02-01"),
		CLI_USAGE);
	assert_int_equal(RUN(cli_usage, "usage", "--key", "nobody"), CLI_FAILED);
	has("nobody");
	assert_int_equal(RUN(cli_ledger, "ledger"), CLI_USAGE);
	assert_int_equal(RUN(cli_ledger, "ledger", "burn"), CLI_USAGE);
	has("burn");
	assert_int_equal(RUN(cli_ledger, "ledger", "verify", "--format", "csv"), CLI_USAGE);
	assert_int_equal(RUN(cli_ledger, "ledger", "export", "--format", "xml"), CLI_USAGE);
	assert_int_equal(RUN(cli_backup, "backup"), CLI_USAGE);
	assert_int_equal(RUN(cli_restore, "restore"), CLI_USAGE);
	assert_int_equal(RUN(cli_restore, "restore", "/nonexistent"), CLI_FAILED);
	has("/nonexistent");
	assert_int_equal(RUN(cli_why, "why"), CLI_USAGE);
	assert_int_equal(RUN(cli_why, "why", "nobody"), CLI_FAILED);
	has("nobody");
	assert_int_equal(RUN(cli_why, "why", "laptop", "--lines", "x"), CLI_USAGE);
}

static void every_command_has_help(void **state)
{
	(void)state;
	assert_int_equal(RUN(cli_usage, "usage", "--help"), CLI_OK);
	has("Usage: tollgate usage");
	assert_int_equal(RUN(cli_ledger, "ledger", "-h"), CLI_OK);
	has("Usage: tollgate ledger status");
	assert_int_equal(RUN(cli_backup, "backup", "--help"), CLI_OK);
	has("secret");
	assert_int_equal(RUN(cli_restore, "restore", "--help"), CLI_OK);
	has("Usage: tollgate restore");
	assert_int_equal(RUN(cli_why, "why", "--help"), CLI_OK);
	has("Usage: tollgate why");
}

static void verify_shows_open_reservations_and_fails_when_the_books_differ(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit limit = { .kind = LEDGER_SPEND_DAY, .ceiling = 5 * USD };
	struct ledger_ask ask = { .id = id_of(0xabcd),
		.microusd = USD / 4,
		.deadline_ms = now_of(0).mono_ms + 60000,
		.limits = &limit,
		.limits_n = 1 };
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	struct account *a;

	(void)state;
	fill(l);
	limit.subject = account_subject(ACCOUNT_KEY, key.number);
	assert_int_equal(ledger_reserve(l, now_of(0), &ask, &lease, &refusal, &err), ERR_OK);
	assert_int_equal(RUN(cli_ledger, "ledger", "verify"), CLI_OK);
	has("reservation 000000000000abcd");
	has("$0.2500");
	has(key.id);
	has("The books agree");
	a = hot_account(&l->hot, account_subject(ACCOUNT_USER, user_number));
	a->charged += 7;
	assert_int_equal(RUN(cli_ledger, "ledger", "verify"), CLI_FAILED);
	has("DIFFERS");
	has("do not agree");
	a->charged -= 7;
	assert_int_equal(RUN(cli_ledger, "ledger", "status"), CLI_OK);
	has("open reservations        1 of");
	ledger_release(l, &lease);
	ledger_close(l);
}

static void a_replay_makes_the_same_books_from_the_journal(void **state)
{
	struct ledger *l;

	(void)state;
	setenv("GATEWAY_JOURNAL_KEEP", "on", 1);
	l = open_kept(LEDGER_COMPRESS);
	fill(l);
	assert_int_equal(RUN(cli_ledger, "ledger", "replay"), CLI_OK);
	has("2 requests, 1 credits");
	assert_int_equal(RUN(cli_ledger, "ledger", "verify"), CLI_OK);
	assert_int_equal(account_of(l, account_subject(ACCOUNT_USER, user_number)).charged,
		4 * USD + USD / 2);
	ledger_close(l);
}

static void an_export_has_one_line_for_each_record_and_no_secret(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	fill(l);
	assert_int_equal(RUN(cli_ledger, "ledger", "export"), CLI_OK);
	has("\"type\":\"credit\"");
	has("\"subject\":\"user ana\",\"credit_usd\":10,\"note\":\"=a gift\"}\n");
	has("\"provider\":\"openai\",\"model\":\"openai/gpt-5.2\"");
	has("\"status\":502,\"usage\":\"reported\",\"prompt_tokens\":1200,\"cached_tokens\":800");
	has("\"cost_usd\":0.5");
	has(key.id);
	assert_null(strstr(out, "sk-tg-"));
	assert_int_equal(RUN(cli_ledger, "ledger", "export", "--format", "csv"), CLI_OK);
	has("time,type,id,key,user,org,provider,model,");
	has("\"'=a gift\"\r\n");
	assert_int_equal(RUN(cli_ledger, "ledger", "export", "--since", "9999-01-01"), CLI_OK);
	assert_string_equal(out, "");
	ledger_close(l);
}

static void why_tells_which_limit_is_reached_and_by_what(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	fill(l);
	assert_int_equal(RUN(cli_why, "why", "laptop"), CLI_OK);
	has("user ana");
	has("spend per day of the key");
	has("$4.50");
	has("balance of the user");
	has("requests per minute of the key");
	has("No limit is used up");
	has("LATEST REQUESTS");
	has("openai/gpt-5.2");
	settle(l, 13, USD / 2, 200);
	assert_int_equal(RUN(cli_why, "why", key.id, "--lines", "1"), CLI_OK);
	has("Used up: spend per day of the key. Resets: ");
	has("$0.50 of");
	assert_null(strstr(out, "$4.00 of"));
	assert_int_equal(RUN(cli_why, "why", "laptop", "--org", "not here"), CLI_FAILED);
	ledger_close(l);
}

static void a_backup_is_checked_and_restored_with_the_gateway_running(void **state)
{
	struct ledger *l = open_ledger();
	struct stat st;

	(void)state;
	fill(l);
	assert_int_equal(RUN(cli_backup, "backup", archive), CLI_OK);
	has("secret");
	assert_int_equal(stat(archive, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(RUN(cli_backup, "backup", archive), CLI_FAILED);
	has("there already");
	assert_int_equal(RUN(cli_restore, "restore", archive, "--check"), CLI_OK);
	has("A whole backup of 20");
	settle(l, 13, USD, 200);
	assert_int_equal(RUN(cli_restore, "restore", archive), CLI_OK);
	has("Restored: 2 requests, 1 credits");
	has("replaced-");
	assert_int_equal(account_of(l, account_subject(ACCOUNT_USER, user_number)).charged,
		4 * USD + USD / 2);
	assert_int_equal(RUN(cli_ledger, "ledger", "verify"), CLI_OK);
	ledger_close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(usage_is_named_and_summed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_misused_is_named_and_ends_with_2, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_command_has_help, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			verify_shows_open_reservations_and_fails_when_the_books_differ, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_replay_makes_the_same_books_from_the_journal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_export_has_one_line_for_each_record_and_no_secret, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			why_tells_which_limit_is_reached_and_by_what, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_backup_is_checked_and_restored_with_the_gateway_running, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
