#include "tests/unit/health_told.h"

#include <sched.h>
#include <sys/mman.h>

/* ---- room ---- */

/* The nth model (0..) whose row would begin its search at the place of the first one. */
static void model_at_same_place(unsigned n, char out[32])
{
	uint64_t first = health_name(OPENAI, SLICE("m0")) % HEALTH_ROWS;

	for (unsigned i = 0;; i++) {
		snprintf(out, 32, "m%u", i);
		if (health_name(OPENAI, slice_of(out)) % HEALTH_ROWS == first && n-- == 0)
			return;
	}
}

static void a_table_without_room_lets_everybody_go_and_keeps_what_it_has(void **state)
{
	char model[32];

	(void)state;
	for (unsigned i = 0; i < PLACE_WAYS; i++) {
		model_at_same_place(i, model);
		for (int k = 0; k < 5; k++)
			(void)tell_of(model, i < 15 ? HEALTH_FAILED : HEALTH_OK, T0, NULL);
	}
	model_at_same_place(PLACE_WAYS, model);
	for (int k = 0; k < 9; k++)
		assert_int_equal(tell_of(model, HEALTH_FAILED, T0, NULL), HEALTH_CLOSED);
	assert_int_equal(list(T0), PLACE_WAYS);
	/* What is closed and not heard of for long makes room, then what is not closed. */
	for (int k = 0; k < 5; k++)
		(void)tell_of(model, HEALTH_FAILED, T0 + PLACE_IDLE_MS, NULL);
	assert_int_equal(
		health_look(h, health_name(OPENAI, slice_of(model)), &conf, T0).state, HEALTH_OPEN);
	model_at_same_place(15, model);
	assert_int_equal(place_find(h, health_name(OPENAI, slice_of(model))), PLACE_NONE);
	assert_int_equal(tell_of(model, HEALTH_OK, T0 + PLACE_FORGET_MS - 1, NULL), HEALTH_CLOSED);
	assert_int_equal(place_find(h, health_name(OPENAI, slice_of(model))), PLACE_NONE);
	(void)tell_of(model, HEALTH_OK, T0 + PLACE_FORGET_MS, NULL);
	assert_int_not_equal(place_find(h, health_name(OPENAI, slice_of(model))), PLACE_NONE);
	assert_int_equal(list(T0), PLACE_WAYS);
}

static void rows_that_hash_to_one_place_are_kept_apart(void **state)
{
	char a[32], b[32];

	(void)state;
	model_at_same_place(0, a);
	model_at_same_place(1, b);
	for (int k = 0; k < 5; k++) {
		(void)tell_of(a, HEALTH_FAILED, T0, NULL);
		(void)tell_of(b, HEALTH_OK, T0, NULL);
	}
	assert_int_equal(
		health_look(h, health_name(OPENAI, slice_of(a)), &conf, T0).state, HEALTH_OPEN);
	assert_int_equal(
		health_look(h, health_name(OPENAI, slice_of(b)), &conf, T0).state, HEALTH_CLOSED);
	assert_int_equal(list(T0), 2);
}

static void a_place_that_changes_hands_is_empty_for_the_next(void **state)
{
	uint64_t other = NAME ^ UINT64_C(0x8000) << 48;
	struct place *p;

	(void)state;
	open_it(T0);
	p = &h->places[place_find(h, NAME)];
	h->names[place_find(h, NAME)] = other; /* the one step */
	assert_int_equal(health_look(h, other, &conf, T0).state, HEALTH_CLOSED);
	assert_int_equal(word_get(&p->total, word_tag(other)), 0);
	assert_int_equal(word_get(&p->in_row, word_tag(other)), 0);
	assert_int_equal(list(T0), 0); /* nor are another's texts taken for its own */
	/* One that is late does not spoil what the new one has. */
	word_store(&p->state, word_state(word_tag(other), KIND_OPEN, T0));
	assert_int_equal(health_look(h, NAME, &conf, T0).state, HEALTH_CLOSED);
	assert_int_equal(health_look(h, other, &conf, T0).state, HEALTH_OPEN);
}

static void put_it_elsewhere_too(void)
{
	no_fault();
	h->names[(NAME + 3) % HEALTH_ROWS] = NAME;
}

static void put_it_before_too(void)
{
	no_fault();
	h->names[NAME % HEALTH_ROWS] = NAME;
}

static void two_that_make_the_same_row_at_once_end_with_one(void **state)
{
	(void)state;
	do_at("health.named", put_it_elsewhere_too);
	(void)tell(HEALTH_OK, T0);
	assert_int_equal(place_find(h, NAME), NAME % HEALTH_ROWS);
	assert_int_equal(h->names[(NAME + 3) % HEALTH_ROWS], 0);
	memset(h, 0, health_bytes());
	h->names[NAME % HEALTH_ROWS] = NAME + HEALTH_ROWS; /* taken now, free in a moment */
	do_at("health.named", put_it_before_too);
	(void)tell(HEALTH_OK, T0);
	assert_int_equal(h->names[(NAME + 1) % HEALTH_ROWS], 0);
	assert_int_equal(list(T0), 1);
	/* One killed before it looked: the other row is in nobody's way, and not listed. */
	h->names[(NAME + 3) % HEALTH_ROWS] = NAME;
	h->places[(NAME + 3) % HEALTH_ROWS] = h->places[NAME % HEALTH_ROWS];
	assert_int_equal(list(T0), 1);
}

/* ---- processes ---- */

static struct shared {
	_Atomic int64_t clock_ms;
	_Atomic uint64_t opened, closed, probes_n, calls, wrong;
	_Atomic int64_t probes[1 << 16];
} * shared;

static int make_store(void **state)
{
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -1;
	atomic_store(&shared->clock_ms, T0);
	return make_home(state);
}

static int drop_store(void **state)
{
	munmap(shared, sizeof(*shared));
	return drop_home(state);
}

/* Starts n children, each with a ledger of its own, and waits for them. */
static void run_children(int n, void (*body)(int))
{
	pid_t pids[16];
	int status;

	fflush(NULL);
	for (int i = 0; i < n; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct ledger *l = open_ledger();

			h = ledger_health(l);
			body(i);
			ledger_close(l);
			_exit(0);
		}
	}
	for (int i = 0; i < n; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

#define CALLS 20000

/* Where all that saw a probe due are between seeing and taking it. */
static void let_others_go(void)
{
	sched_yield();
}

/* Time passes by asking. Nobody ever tells, so each probe is silent for an interval. */
static void probe_without_end(int child)
{
	static const struct health_conf quick = { .interval_ms = 50, .percent = 50, .min = 5 };
	int64_t now, wait_ms;

	(void)child;
	do_at("health.probe_due", let_others_go);
	for (int i = 0; i < CALLS; i++) {
		now = atomic_fetch_add(&shared->clock_ms, 1);
		if (health_enter(h, NAME, &quick, now, &wait_ms) == HEALTH_PROBE)
			atomic_store(&shared->probes[atomic_fetch_add(&shared->probes_n, 1)], now);
	}
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Fails when a probe is made by a store and not by a swap of what was seen. */
static void eight_processes_send_one_probe_an_interval(void **state)
{
	struct ledger *l;
	uint64_t n;
	int64_t *at;

	(void)state;
	l = open_ledger();
	h = ledger_health(l);
	open_it(T0 - 1000);
	ledger_close(l);
	run_children(8, probe_without_end);
	n = atomic_load(&shared->probes_n);
	at = malloc(n * sizeof(*at));
	assert_non_null(at);
	for (uint64_t i = 0; i < n; i++)
		at[i] = atomic_load(&shared->probes[i]);
	qsort(at, n, sizeof(*at), by_time);
	for (uint64_t i = 1; i < n; i++)
		assert_true(at[i] - at[i - 1] >= 50);
	free(at);
	/* And there is always another one. */
	assert_in_range(n, 8 * CALLS / 100, 8 * CALLS / 50);
}

/* Outcomes of requests and probes; every change of state that was told is counted. */
static void tell_without_end(int child)
{
	static const struct health_conf quick = { .interval_ms = 20, .percent = 50, .min = 5 };
	unsigned dice = (unsigned)child * 7919 + 1;
	int64_t now, wait_ms;
	bool changed;

	do_at("health.probe_due", let_others_go);
	for (int i = 0; i < CALLS; i++) {
		struct health_report report = { .outcome = HEALTH_FAILED };
		enum health_state is;

		now = atomic_fetch_add(&shared->clock_ms, 1);
		switch (health_enter(h, NAME, &quick, now, &wait_ms)) {
		case HEALTH_STOP:
			continue;
		case HEALTH_PROBE:
			if (rand_r(&dice) % 2) /* as if killed */
				continue;
			report.probe = true;
			report.entered_ms = now;
			report.outcome = HEALTH_OK;
			break;
		case HEALTH_GO:
			break;
		}
		is = health_tell(h, OPENAI, GPT, &quick, now, &report, &changed);
		if (report.outcome == HEALTH_OK) {
			atomic_fetch_add(&shared->closed, changed);
			atomic_fetch_add(&shared->wrong, is != HEALTH_CLOSED);
		} else {
			atomic_fetch_add(&shared->opened, changed);
		}
		atomic_fetch_add(&shared->calls, 1);
	}
}

/* States follow one another, so who opened and who closed must come out even. */
static void no_opening_and_no_closing_is_lost_among_processes(void **state)
{
	struct ledger *l;
	uint64_t open_now;

	(void)state;
	run_children(8, tell_without_end);
	l = open_ledger();
	h = ledger_health(l);
	open_now = state_at(atomic_load(&shared->clock_ms)) != HEALTH_CLOSED;
	assert_int_equal(shared->wrong, 0);
	assert_int_equal(shared->opened, shared->closed + open_now);
	assert_true(shared->closed > 10);
	assert_int_equal(list(T0), 1);
	assert_int_equal(listed[0].total, shared->calls);
	ledger_close(l);
}

static void probe_and_die(void)
{
	struct ledger *l = open_ledger();

	h = ledger_health(l);
	if (enter(T0 + conf.interval_ms) != HEALTH_PROBE)
		_exit(1);
	die();
}

static void a_killed_prober_costs_one_interval(void **state)
{
	const int64_t now = T0 + conf.interval_ms;
	struct ledger *l = open_ledger();

	(void)state;
	h = ledger_health(l);
	open_it(T0);
	assert_true(WIFSIGNALED(in_child(probe_and_die)));
	assert_int_equal(wait_of(now + conf.interval_ms - 1), 1);
	assert_int_equal(enter(now + conf.interval_ms), HEALTH_PROBE);
	assert_int_equal(tell_probe(HEALTH_OK, now + conf.interval_ms, now), HEALTH_CLOSED);
	ledger_close(l);
}

static const char *point;

static void tell_and_die(void)
{
	struct ledger *l = open_ledger();

	h = ledger_health(l);
	do_at(point, die);
	(void)tell(HEALTH_FAILED, T0);
}

static void one_killed_while_it_tells_leaves_a_row_for_the_others(void **state)
{
	static const struct {
		const char *point;
		size_t listed; /* a half-written row is never believed */
		int more;      /* failures that open it then */
	} rows[] = { { "health.named", 0, 5 }, { "health.half_text", 0, 5 },
		{ "health.counted", 1, 4 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ledger *l = open_ledger();

		print_message("  %s\n", rows[i].point);
		h = ledger_health(l);
		memset(h, 0, health_bytes());
		point = rows[i].point;
		assert_true(WIFSIGNALED(in_child(tell_and_die)));
		assert_int_equal(list(T0), rows[i].listed);
		for (int k = 1; k <= rows[i].more; k++)
			assert_int_equal(tell(HEALTH_FAILED, T0),
				k < rows[i].more ? HEALTH_CLOSED : HEALTH_OPEN);
		assert_int_equal(list(T0), 1);
		assert_string_equal(listed[0].model, "gpt-5");
		ledger_close(l);
	}
}

#define STORM_MODELS 24 /* for 16 places: rows come and go */
static char storm_models[STORM_MODELS][32];

static void storm(unsigned dice)
{
	struct ledger *l = open_ledger();
	int64_t now, wait_ms;

	h = ledger_health(l);
	for (;;) {
		const char *model = storm_models[rand_r(&dice) % STORM_MODELS];
		struct health_report report = { .outcome = (enum health_outcome)(rand_r(&dice) % 4),
			.ttft_ms = 100 };

		now = atomic_fetch_add(&shared->clock_ms, rand_r(&dice) % 100000);
		report.entered_ms = now;
		report.probe = health_enter(h, health_name(OPENAI, slice_of(model)), &conf, now,
				       &wait_ms) == HEALTH_PROBE;
		(void)health_tell(h, OPENAI, slice_of(model), &conf, now, &report, NULL);
		if (rand_r(&dice) % 500 == 0)
			health_forget(h, OPENAI);
		atomic_fetch_add(&shared->calls, 1);
	}
}

static bool is_storm_model(const char *model)
{
	for (int i = 0; i < STORM_MODELS; i++)
		if (strcmp(storm_models[i], model) == 0)
			return true;
	return false;
}

static void a_storm_of_kills_leaves_rows_that_are_whole(void **state)
{
	struct ledger *l;
	pid_t pids[4];
	int64_t now;

	(void)state;
	for (unsigned i = 0; i < STORM_MODELS; i++)
		model_at_same_place(i, storm_models[i]);
	l = open_ledger();
	h = ledger_health(l);
	fflush(NULL);
	for (unsigned round = 0; round < 60; round++) {
		uint64_t calls = atomic_load(&shared->calls);

		for (unsigned i = 0; i < 4; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				storm(round * 4 + i);
				_exit(0);
			}
		}
		/* In the middle of whatever they do. */
		for (int i = 0; i < 200000 && shared->calls < calls + 200 + round * 7; i++)
			usleep(50);
		assert_true(shared->calls >= calls + 200 + round * 7);
		for (int i = 0; i < 4; i++) {
			kill(pids[i], SIGKILL);
			assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
		}
		assert_true(list(atomic_load(&shared->clock_ms)) <= PLACE_WAYS);
		for (size_t i = 0; i < listed_n; i++) {
			assert_string_equal(listed[i].slug, "openai");
			assert_true(is_storm_model(listed[i].model));
			for (size_t k = 0; k < i; k++)
				assert_string_not_equal(listed[k].model, listed[i].model);
		}
	}
	/* Nothing is in the way of the next ones. */
	now = atomic_load(&shared->clock_ms) + 2 * PLACE_FORGET_MS;
	for (int i = 0; i < PLACE_WAYS; i++) {
		for (int k = 0; k < 5; k++)
			(void)tell_of(storm_models[i], HEALTH_OK, now, NULL);
		for (int k = 0; k < 5; k++)
			(void)tell_of(storm_models[i], HEALTH_FAILED, now, NULL);
	}
	assert_int_equal(list(now), PLACE_WAYS);
	for (size_t i = 0; i < PLACE_WAYS; i++)
		assert_int_equal(listed[i].state, HEALTH_OPEN);
	ledger_close(l);
}

static void rows_outlive_the_last_who_was_attached(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	assert_null(ledger_health(NULL));
	h = ledger_health(l);
	open_it(T0);
	ledger_close(l);
	l = open_ledger();
	h = ledger_health(l);
	assert_int_equal(state_at(T0), HEALTH_OPEN);
	ledger_close(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_rows, drop_rows)
#define P(f) cmocka_unit_test_setup_teardown(f, make_store, drop_store)
	const struct CMUnitTest tests[] = {
		T(a_table_without_room_lets_everybody_go_and_keeps_what_it_has),
		T(rows_that_hash_to_one_place_are_kept_apart),
		T(a_place_that_changes_hands_is_empty_for_the_next),
		T(two_that_make_the_same_row_at_once_end_with_one),
		P(eight_processes_send_one_probe_an_interval),
		P(no_opening_and_no_closing_is_lost_among_processes),
		P(a_killed_prober_costs_one_interval),
		P(one_killed_while_it_tells_leaves_a_row_for_the_others),
		P(a_storm_of_kills_leaves_rows_that_are_whole),
		P(rows_outlive_the_last_who_was_attached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
