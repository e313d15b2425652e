/* Two jobs of the pump for one client, thousands of times, under every sanitizer there is. */
#include "tests/unit/runner.h"

static struct provider_script server, other_server;
static struct pump *pump;

#define DUELLISTS 4
#define DUELS     500 /* of each */

static enum job_next on_duel(struct job *j, struct slice bytes, struct err *e)
{
	struct runner *r = j->ctx, *nobody = NULL, *watcher = atomic_load(&r->duel->watcher);

	if (r->pieces++)
		return on_bytes(j, bytes, e);
	if (!atomic_compare_exchange_strong(&r->duel->speaker, &nobody, r))
		return err_set(e, ERR_OVERTAKEN, "too late") ? JOB_FAIL : JOB_MORE;
	if (watcher != r) {
		job_overtake(j, &watcher->job);
		atomic_store(&r->duel->watcher, r);
	}
	return on_bytes(j, bytes, e);
}

static const struct job_ops duel_ops = { on_head, on_duel, on_end, on_beat, on_idle };

static atomic_uint turn;

static bool answers_somehow(struct peer *p)
{
	unsigned way = turn++ * 2654435761u >> 20;

	usleep(way % 7 * 100);
	switch (way % 11) {
	case 0:
		return false;
	case 1:
		say_events_head(p);
		return false;
	case 2:
		say_events_head(p);
		say_chunk(p, HELLO);
		return false;
	case 3:
		return says_nothing(p);
	default:
		return plays_hello(p);
	}
}

/* What a request thread does when one of its two jobs may have ended. */
static void go_on(struct duel *d, struct runner *const r[2])
{
	struct runner *w = atomic_load(&d->watcher), *other = w == r[0] ? r[1] : r[0];

	if (!job_has_ended(&w->job) || job_has_ended(&other->job))
		return;
	if (atomic_load(&d->speaker) || !w->job.rc) {
		pump_cancel(pump, &other->job);
		return;
	}
	atomic_store(&d->watcher, other);
	pump_give_client(pump, &other->job, d->client);
}

static void fight(unsigned seed)
{
	struct call c = call_of(true);
	struct out out;
	struct duel d = { .client = &out.sink };
	struct job_group group;
	struct runner *r[2];
	bool leaves_early = rand_r(&seed) % 8 == 0, spins = rand_r(&seed) % 2;
	unsigned patience = (unsigned)rand_r(&seed) % (spins ? 50000 : 20);

	open_client(&c);
	out_init(&out, c.client[1], false, 1);
	job_group_init(&group);
	r[0] = new_runner(rand_r(&seed) % 4 ? &server : NULL, &out.sink);
	r[1] = new_runner(&other_server, NULL);
	r[0]->job.pause_ms = rand_r(&seed) % 3;
	r[0]->job.ops = r[1]->job.ops = &duel_ops;
	r[0]->duel = r[1]->duel = &d;
	r[0]->job.heartbeat_ms = r[1]->job.heartbeat_ms = 1;
	r[0]->job.first_byte_ms = r[1]->job.first_byte_ms = 50;
	d.watcher = r[0];
	pump_submit(pump, &r[0]->job, &group);
	usleep((useconds_t)(rand_r(&seed) % 5 * 100));
	pump_submit(pump, &r[1]->job, &group);
	if (leaves_early)
		close(c.client[0]);
	for (unsigned i = 0; !job_has_ended(&r[0]->job) || !job_has_ended(&r[1]->job); i++) {
		if (!spins)
			(void)job_group_wait(&group, clock_mono_ms() + 20);
		if (i > patience && rand_r(&seed) % 4 == 0)
			pump_cancel(pump, &r[rand_r(&seed) % 2]->job);
		go_on(&d, r);
	}
	job_group_fini(&group);
	/* From here on nothing of it is the pump's: a post that comes too late would be seen. */
	memset(&group, 0xa5, sizeof(group));
	if (d.speaker && !d.speaker->job.rc && !leaves_early) {
		shutdown(c.client[1], SHUT_WR);
		read_all(&c);
		if (!slice_ends(buf_slice(&c.seen), HELLO STOP DONE))
			abort();
	}
	free_runner(r[0]);
	free_runner(r[1]);
	out_fini(&out);
	close(c.client[1]);
	c.client[0] = leaves_early ? -1 : c.client[0];
	end_call(&c);
	for (size_t i = 0; i < sizeof(group); i++)
		if (((const unsigned char *)&group)[i] != 0xa5)
			abort();
}

static void *fights(void *arg)
{
	for (unsigned i = 0; i < DUELS; i++)
		fight((unsigned)(uintptr_t)arg * DUELS + i);
	return NULL;
}

static void thousands_of_races_end_well_and_leave_nothing_behind(void **state)
{
	struct call c = call_of(true);
	pthread_t threads[DUELLISTS];

	(void)state;
	pump = new_pump("");
	script_start(&server, answers_somehow);
	script_start(&other_server, answers_somehow);
	for (uintptr_t i = 0; i < DUELLISTS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fights, (void *)i), 0);
	for (int i = 0; i < DUELLISTS; i++)
		pthread_join(threads[i], NULL);
	/* Whatever went wrong before, the next request is served (promise 8). */
	server.play = plays_hello;
	place_call(pump, &server, &c);
	read_all(&c);
	assert_int_equal(c.rc, ERR_OK);
	end_call(&c);
	pump_stop(pump);
	script_stop(&server);
	script_stop(&other_server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_of_races_end_well_and_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
