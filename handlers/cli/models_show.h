/* handlers/cli/models_show.h - prices and models as the operator reads them: USD for a million
 * tokens, and USD for a request or an image.
 */
#ifndef HANDLERS_CLI_MODELS_SHOW_H
#define HANDLERS_CLI_MODELS_SHOW_H

#include "gateway/prices.h"

/* Today in UTC: "2026-11-21". */
#define MODELS_DAY_SIZE 11
void models_day(int64_t wall_ms, char out[MODELS_DAY_SIZE]);

/* What a price of a row is called: "prompt"; also the option that sets it. */
const char *models_price_name(const char *member);

/* By how many powers of ten a price in our file is below what the operator writes: 6 for a million
 * tokens, 0 for what is counted one by one. */
int models_price_shift(const char *member);

/* "$1.25", or "-" for none. */
#define MODELS_PRICE_SIZE 48
void models_price(struct json_object *row, const char *member, char out[MODELS_PRICE_SIZE]);

int models_list(const struct catalog *c, const char *provider, bool all, bool json);
int models_show(const struct catalog *c, const char *id, bool json);

/* The model, or NULL after a complaint that names near ids. */
const struct catalog_model *models_find(const struct catalog *c, const char *id);

#endif
