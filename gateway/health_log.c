#include "gateway/health_log.h"

#include "base/log.h"

#include <inttypes.h>

struct health_conf health_log_conf(const struct conf *c)
{
	return (struct health_conf){ .interval_ms = conf_int(c, CONF_HEALTH_CHECK_INTERVAL),
		.percent = conf_int(c, CONF_BREAKER_PERCENT),
		.min = conf_int(c, CONF_BREAKER_MIN) };
}

/* The sentence for people, then what programs look for. */
static void write_line(enum log_level level, struct slice text, const char *slug, const char *model)
{
	struct buf line = { .max_bytes = 4096 };

	buf_str(&line, "\"msg\":");
	buf_json_str(&line, text);
	buf_str(&line, ",\"provider\":");
	buf_json_cstr(&line, slug);
	buf_str(&line, ",\"model\":");
	buf_json_cstr(&line, model);
	if (buf_ok(&line))
		log_object(level, buf_slice(&line));
	buf_fini(&line);
}

void health_log(const char *slug, const char *model, enum health_state now)
{
	static const struct {
		const char *word;
		enum log_level level;
	} states[] = { [HEALTH_CLOSED] = { "recovered", LOG_INFO },
		[HEALTH_OPEN] = { "unhealthy", LOG_WARN },
		[HEALTH_HALF_OPEN] = { "probing", LOG_INFO },
		[HEALTH_LIMITED] = { "limited", LOG_WARN } };
	struct buf text = { .max_bytes = 1024 };

	buf_printf(&text, "provider=%s status=%s model=%s", slug, states[now].word, model);
	write_line(states[now].level, buf_slice(&text), slug, model);
	buf_fini(&text);
}

void health_log_failover(const char *to, const char *model, int64_t latency_ms)
{
	struct buf text = { .max_bytes = 1024 };

	buf_printf(&text, "failover to=%s latency=%" PRId64 "ms model=%s", to, latency_ms, model);
	write_line(LOG_INFO, buf_slice(&text), to, model);
	buf_fini(&text);
}
