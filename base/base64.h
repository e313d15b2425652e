/* base/base64.h - bytes as text: base64 of RFC 4648 section 4, and base64url of its section 5
 * without padding, which is safe in a URL. Exactly one text stands for given bytes: anything else
 * is not read.
 *
 * Ownership: appended to the caller's buffer, whose ceiling counts. Pure; threads: any.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"

/* With padding. */
void base64_write(struct slice bytes, struct buf *out);
/* As base64_url_read(), for the letters A-Z a-z 0-9 + / and the padding that belongs there. */
MUST_CHECK bool base64_read(struct slice text, struct buf *out);

void base64_url_write(struct slice bytes, struct buf *out);

/* Appends the bytes. False, and nothing is appended, for a letter outside A-Z a-z 0-9 - _ ('='
 * and blanks too), a length that cannot be, or bits left over that are not zero. Without room
 * out has failed, and the answer is false. */
MUST_CHECK bool base64_url_read(struct slice text, struct buf *out);

#endif
