/* gateway/listing_row.h - members of a listing, written from checked rows of the catalogue.
 *
 * Nothing here changes a row: a catalogue is shared by threads.
 */
#ifndef GATEWAY_LISTING_ROW_H
#define GATEWAY_LISTING_ROW_H

#include "gateway/schema.h"

/* Append a value; "key": and a value, null when absent; "key": and a text, a switch. */
void listing_put_value(struct buf *out, struct json_value v);
void listing_put(struct buf *out, const char *key, struct json_value v);
void listing_put_text(struct buf *out, const char *key, const char *value);
void listing_put_switch(struct buf *out, const char *key, bool value);

/* Of what providers.json says of a provider: a switch that it may leave out; "key": and its policy
 * for data; where it is. */
bool listing_is_on(struct json_value listing, const char *name, bool otherwise);
void listing_put_policy(struct buf *out, const char *key, struct json_value listing);
void listing_put_place(struct buf *out, struct json_value listing);

#endif
