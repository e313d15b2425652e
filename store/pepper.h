/* store/pepper.h - the secret that API keys are hashed with: 32 random bytes in
 * GATEWAY_HOME/pepper, made once. Without it no key of keys.gdbm can be recognised: it belongs
 * into every backup, apart from keys.gdbm.
 * Threads: no shared state.
 */
#ifndef STORE_PEPPER_H
#define STORE_PEPPER_H

#include "base/err.h"

#define PEPPER_BYTES 32

/* ERR_NOT_FOUND when there is none; ERR_STORE when it is open to others, cannot be read or has
 * another size. */
MUST_CHECK enum err_code pepper_read(const char *home, uint8_t out[PEPPER_BYTES], struct err *e);

/* Reads it, or makes it first. Of several that make it at one time all get the same. */
MUST_CHECK enum err_code pepper_make(const char *home, uint8_t out[PEPPER_BYTES], struct err *e);

#endif
