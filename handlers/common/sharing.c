#include "handlers/common/sharing.h"

#include "base/clock.h"
#include "gateway/books.h"
#include "gateway/health_log.h"
#include "store/health_share.h"
#include "store/people_share.h"

static struct {
	struct redis *redis; /* NULL = this host is alone */
	struct health_share *health;
} shared;

enum err_code sharing_begin(const struct front *f, struct err *e)
{
	enum err_code rc = books_redis(f->conf, &shared.redis, e);

	if (rc || !shared.redis || !(f->spec->needs & FRONT_PLAN))
		return rc;
	return health_share_open(&shared.health, shared.redis, conf_str(f->conf, CONF_HOME), e);
}

void sharing_tick(const struct front *f, struct health *health)
{
	struct health_conf conf = health_log_conf(f->conf);
	int64_t now_ms = clock_mono_ms();

	if (!shared.redis)
		return;
	if (f->keys)
		people_share_tick(keys_people(f->keys), now_ms);
	if (f->byok)
		byok_share_tick(f->byok, now_ms);
	if (shared.health && health)
		health_share_tick(shared.health, health, &conf, now_ms);
}

void sharing_end(void)
{
	health_share_close(shared.health);
}
