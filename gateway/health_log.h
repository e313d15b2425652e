/* gateway/health_log.h - what becomes of providers, as lines in the log:
 *
 *     provider=openai status=unhealthy
 *     failover to=anthropic latency=12ms
 *     provider=openai status=recovered
 *
 * Threads: any. Blocking: as the log.
 */
#ifndef GATEWAY_HEALTH_LOG_H
#define GATEWAY_HEALTH_LOG_H

#include "base/conf.h"
#include "store/health.h"

/* The settings by which health is judged. */
struct health_conf health_log_conf(const struct conf *c);

/* health_tell() has said that a model's state at a provider is another one now. */
void health_log(const char *slug, const char *model, enum health_state now);

/* A request goes on at another provider, or with another model, so many ms after it came. */
void health_log_failover(const char *to, const char *model, int64_t latency_ms);

#endif
