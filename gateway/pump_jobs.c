#include "gateway/upstream_inside.h"

#include <stdatomic.h>
#include <unistd.h>

void pump_wake(struct pump *p)
{
	uint64_t one = 1;

	/* It fails when the count, which nobody reads, is full: after 2^64 of them. */
	if (write(p->wake, &one, sizeof(one)) < 0)
		return;
}

/* ---- on the pump thread ---- */

static void forget_order(struct pump *p, struct job *j)
{
	struct job *next = j->order.next;

	*j->order.at = next;
	if (next)
		next->order.at = j->order.at;
	else
		p->orders_end = j->order.at;
	j->order = (struct job_order){ 0 };
}

/* Its request thread may free the job as soon as it is marked, but the group only when it has taken
 * the post: see job_group_fini(). */
void pump_give_back(struct pump *p, struct job *j, enum err_code rc)
{
	struct job_group *g = j->group;
	int runs = JOB_RUNS;

	j->rc = rc;
	if (!atomic_compare_exchange_strong(&j->phase, &runs, JOB_ENDED)) {
		pthread_mutex_lock(&p->lock);
		forget_order(p, j);
		atomic_store(&j->phase, JOB_ENDED);
		pthread_mutex_unlock(&p->lock);
	}
	sem_post(&g->stirred);
}

struct job *pump_first_order(struct pump *p)
{
	struct job *j;

	pthread_mutex_lock(&p->lock);
	j = p->orders;
	pthread_mutex_unlock(&p->lock);
	return j;
}

struct job_order pump_take_order(struct pump *p, struct job *j)
{
	struct job_order order;

	if (atomic_load(&j->phase) != JOB_ORDERED)
		return (struct job_order){ 0 };
	pthread_mutex_lock(&p->lock);
	order = j->order;
	forget_order(p, j);
	atomic_store(&j->phase, JOB_RUNS);
	pthread_mutex_unlock(&p->lock);
	return order;
}

/* ---- on request threads ---- */

void pump_submit(struct pump *p, struct job *j, struct job_group *g)
{
	bool first;

	j->status = 0;
	j->bytes_in = 0;
	j->content_type[0] = '\0';
	j->kept[0] = '\0';
	j->error_type[0] = '\0';
	j->retry_after_ms = -1;
	j->err = (struct err){ 0 };
	j->wrote = j->called_off = false;
	j->group = g;
	j->transfer = NULL;
	j->next = NULL;
	j->order = (struct job_order){ 0 };
	atomic_store_explicit(&j->phase, JOB_RUNS, memory_order_release);
	g->outstanding++;
	pthread_mutex_lock(&p->lock);
	first = !p->queue;
	*p->queue_end = j;
	p->queue_end = &j->next;
	pthread_mutex_unlock(&p->lock);
	if (first)
		pump_wake(p);
}

/* A job that has an order is ended by the pump under the lock only (pump_give_back()), so that it
 * is there for as long as the lock is held. */
static void give_order(struct pump *p, struct job *j, struct sink *client, bool cancel)
{
	int runs = JOB_RUNS;
	bool first = false;

	pthread_mutex_lock(&p->lock);
	if (atomic_compare_exchange_strong(&j->phase, &runs, JOB_ORDERED)) {
		first = !p->orders;
		j->order.at = p->orders_end;
		*p->orders_end = j;
		p->orders_end = &j->order.next;
	}
	if (runs != JOB_ENDED) {
		j->order.client = client ? client : j->order.client;
		j->order.cancel = j->order.cancel || cancel;
	}
	pthread_mutex_unlock(&p->lock);
	if (first)
		pump_wake(p);
}

void pump_cancel(struct pump *p, struct job *j)
{
	give_order(p, j, NULL, true);
}

void pump_give_client(struct pump *p, struct job *j, struct sink *client)
{
	give_order(p, j, client, false);
}

enum err_code pump_run(struct pump *p, struct job *j, struct err *e)
{
	struct job_group alone;

	job_group_init(&alone);
	pump_submit(p, j, &alone);
	(void)job_group_wait(&alone, INT64_MAX);
	job_group_fini(&alone);
	if (j->rc && e)
		*e = j->err;
	return j->rc;
}
